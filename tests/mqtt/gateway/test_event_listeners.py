"""Who is told of events: those that listen, for as long as they do, and nobody who does not."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from tests.support.brokers.broker import OTHER, SCOPE, Losses

from thingmint.core.identifiers import Scope
from thingmint.mqtt.codec.packets import QoS
from thingmint.mqtt.counters import Counters, Loss
from thingmint.mqtt.gateway import event_listeners
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


class Loop:
    """The event loop of a test: a list of calls, and a clock that each look at it advances."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []
        self.now = 0.0

    def clock(self) -> float:
        self.now += 0.0015
        return self.now

    def call_soon(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def turn(self) -> bool:
        calls, self.calls = self.calls, []
        for call in calls:
            call()
        return bool(calls)


def test_many_listeners_get_their_events_in_order_and_in_time_slices() -> None:
    loop, losses = Loop(), Losses()
    listeners = EventListeners(Counters(losses), loop.call_soon, loop.clock)
    devices = [listening(listeners, EVENTS) for _ in range(40)]
    listeners.publish_event(SCOPE, "first", b"")
    at_once = [device for device in devices if device.heard]
    assert 0 < len(at_once) < len(devices)
    listeners.publish_event(SCOPE, "second", b"")
    gone = next(device for device in devices if not device.heard)
    gone.is_over = True
    turns = 0
    while loop.turn():
        turns += 1
    assert turns > 1
    assert gone.heard == []
    assert all(device.heard == ["first", "second"] for device in devices if device is not gone)
    listeners.publish_event(SCOPE, "third", b"")
    while loop.turn():
        pass
    assert at_once[0].heard == ["first", "second", "third"]
    assert losses.counts.total() == 0


def test_an_account_with_many_events_does_not_keep_out_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_listeners, "MAX_WAITING_EVENTS", 5)
    loop, losses = Loop(), Losses()
    listeners = EventListeners(Counters(losses), loop.call_soon, loop.clock)
    many = [listening(listeners, EVENTS) for _ in range(40)]
    few = listening(listeners, EVENTS, scope=OTHER)
    for number in range(10):
        listeners.publish_event(SCOPE, f"{number}", b"")
    listeners.publish_event(OTHER, "other", b"")
    while loop.turn():
        pass
    # One was being sent, five waited, and one of these made way.
    assert many[0].heard == ["0", "1", "2", "3", "4"]
    assert few.heard == ["other"]
    assert losses.counts == {Loss.EVENT_UNSENT.value: 5}


def test_an_event_without_listeners_does_not_wait(listeners: EventListeners) -> None:
    listeners.publish_event(SCOPE, "event", b"")
    device = listening(listeners, EVENTS)
    listeners.publish_event(SCOPE, "next", b"")
    assert device.heard == ["next"]
