"""Who is told of events: those that listen, for as long as they do, and nobody who does not."""

from dataclasses import dataclass, field

import pytest
from tests.support.brokers.broker import OTHER, SCOPE

from thingmint.core.identifiers import Scope
from thingmint.mqtt.codec.packets import QoS
from thingmint.mqtt.gateway.event_listeners import EventListeners
from thingmint.mqtt.rights.own_filters import OwnFilters

EVENTS = "$aws/events/presence/#"
ANSWERS = "$aws/certificates/create/json/+"


@dataclass(eq=False)
class Listening:
    """A device that remembers what it was told."""

    scope: Scope = SCOPE
    is_over: bool = False
    filters: OwnFilters = field(default_factory=OwnFilters)
    heard: list[str] = field(default_factory=list)

    def send_event(self, topic: str, payload: bytes) -> None:
        self.heard.append(topic)


@pytest.fixture
def listeners() -> EventListeners:
    return EventListeners()


def listening(listeners: EventListeners, *patterns: str, scope: Scope = SCOPE) -> Listening:
    device = Listening(scope)
    for pattern in patterns:
        device.filters.add(pattern, QoS.AT_MOST_ONCE)
    listeners.update(device)
    return device


def test_an_event_is_told_to_the_listeners_of_its_account(listeners: EventListeners) -> None:
    own, foreign = listening(listeners, EVENTS), listening(listeners, EVENTS, scope=OTHER)
    listeners.publish_event(SCOPE, "event", b"")
    assert (own.heard, foreign.heard) == (["event"], [])


@pytest.mark.parametrize("pattern", ["$aws/#", "$aws/+/presence/connected/a", "$aws/events/#", EVENTS])
def test_any_filter_that_an_event_may_match_makes_a_listener(listeners: EventListeners, pattern: str) -> None:
    device = listening(listeners, ANSWERS, pattern)
    listeners.publish_event(SCOPE, "event", b"")
    assert device.heard == ["event"]


def test_who_waits_for_an_answer_is_no_listener(listeners: EventListeners) -> None:
    device = listening(listeners, ANSWERS)
    listeners.publish_event(SCOPE, "event", b"")
    assert device.heard == []


def test_who_unsubscribed_is_told_no_more(listeners: EventListeners) -> None:
    device, other = listening(listeners, EVENTS), listening(listeners, EVENTS)
    device.filters.remove(EVENTS)
    listeners.update(device)
    listeners.publish_event(SCOPE, "event", b"")
    assert (device.heard, other.heard) == ([], ["event"])


def test_a_connection_that_is_over_is_listed_no_more_and_not_again(listeners: EventListeners) -> None:
    device = listening(listeners, EVENTS)
    device.is_over = True
    listeners.forget(device)
    listeners.forget(device)
    # Its last request was still under way.
    listeners.update(device)
    listeners.publish_event(SCOPE, "event", b"")
    assert device.heard == []


def test_a_listener_that_ends_of_what_it_is_told_keeps_nothing_from_the_others(listeners: EventListeners) -> None:
    class Ending(Listening):
        def send_event(self, topic: str, payload: bytes) -> None:
            super().send_event(topic, payload)
            listeners.forget(self)

    devices = [Ending(), Ending()]
    for device in devices:
        device.filters.add(EVENTS, QoS.AT_MOST_ONCE)
        listeners.update(device)
    for _ in range(2):
        listeners.publish_event(SCOPE, "event", b"")
    assert [device.heard for device in devices] == [["event"], ["event"]]
