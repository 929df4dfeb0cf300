"""What is logged of committed mutations."""

from structlog.testing import capture_logs
from tests.support.stores import sample_audit_entry

from thingmint.app import LoggedEvents


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
