"""What is logged of committed mutations."""

from tests.support.databases.stores import sample_audit_entry
from tests.support.registration.authority import Listener
from tests.support.services.logged import capture_logs

from thingmint.core.identifiers import ThingName
from thingmint.core.registry.registry_event import EventOperation, ThingEvent
from thingmint.core.registry.thing import Thing
from thingmint.service.logged_events import LoggedEvents


def test_a_detail_of_any_name_is_logged_beside_what_every_line_has() -> None:
    entry = sample_audit_entry(1, principal="certificate", event="attached", resource="lamp", version="2")

    with capture_logs() as lines:
        LoggedEvents().recorded(entry)

    (line,) = lines
    assert (line["event"], line["principal"], line["resource"]) == ("recorded", entry.principal_arn, entry.resource)
    assert (line["detail_principal"], line["detail_event"], line["detail_resource"], line["version"]) == (
        "certificate",
        "attached",
        "lamp",
        "2",
    )


def test_whoever_listens_hears_of_what_is_recorded_and_of_what_happened() -> None:
    listeners, entry = [Listener(), Listener()], sample_audit_entry(1)
    lamp = Thing(entry.scope, ThingName("lamp"), "lamp-id", entry.at)
    event = ThingEvent(EventOperation.CREATED, lamp)
    events = LoggedEvents([*listeners])

    events.recorded(entry)
    events.happened(event)

    assert [(each.entries, each.events) for each in listeners] == [([entry], [event])] * 2
