"""Wills that are due: who is asked first, how often, and what becomes of them when nobody answers."""

import asyncio
import logging
from dataclasses import dataclass, field

import pytest
from tests.support.brokers.broker import OTHER, SCOPE, Device, Losses, all_decided, scopes_of

from thingmint.core.errors import LimitExceeded, MalformedPolicy, ServiceUnavailable, ThingmintError, Throttled
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.broker.due_wills import DueWills
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Publish, QoS, Subscription, Will
from thingmint.mqtt.counters import Counters, Loss, Observer
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.rights import will_right
from thingmint.mqtt.rights.ports import ConnectionFacts, Denial, DeviceRefusal, DeviceRefused
from thingmint.mqtt.rights.will_right import DeviceWillRight

WILL = Publish("gone", b"x")


@dataclass
class Right:
    """Answers when the test says so."""

    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    is_allowed: bool = True

    async def allows(self, message: Publish) -> bool:
        await self.may_answer.wait()
        return self.is_allowed


def ready(*, is_allowed: bool = True) -> Right:
    right = Right(is_allowed=is_allowed)
    right.may_answer.set()
    return right


class Decided:
    """What was decided, in order."""

    def __init__(self, wills: DueWills) -> None:
        self.wills = wills
        self.found: list[tuple[str, bool]] = []

    def add(self, account: str, client_id: str, right: Right | None = None) -> None:
        name = f"{account}/{client_id}"
        self.wills.add(account, client_id, WILL, right or ready(), lambda answer: self.found.append((name, answer)))


async def test_accounts_take_turns_and_each_keeps_its_order() -> None:
    decided = Decided(DueWills())
    for number in range(100):
        decided.add("many", f"{number}")
    decided.add("few", "a")
    decided.add("few", "b", ready(is_allowed=False))

    await all_decided(decided.wills)

    of_few = [(place, name, answer) for place, (name, answer) in enumerate(decided.found) if name.startswith("few")]
    assert of_few == [(1, "few/a", True), (3, "few/b", False)]
    assert [name for name, _ in decided.found if name.startswith("many")] == [f"many/{each}" for each in range(100)]


async def test_a_stop_tells_each_will_once_that_it_is_not_published() -> None:
    decided = Decided(DueWills())
    decided.add("a", "asked", Right())
    decided.add("a", "waiting")
    await asyncio.sleep(0)

    await decided.wills.stop()

    assert decided.found == [("a/asked", False), ("a/waiting", False)]


async def test_a_stop_before_the_first_question_leaves_nothing_behind() -> None:
    decided = Decided(DueWills())
    decided.add("a", "early")
    await decided.wills.stop()
    assert decided.found == [("a/early", False)]
    async with asyncio.timeout(60):
        await all_decided(decided.wills)

    decided.add("a", "late")
    async with asyncio.timeout(60):
        await all_decided(decided.wills)
    assert decided.found[1:] == [("a/late", True)]


async def test_a_will_that_cannot_be_published_does_not_hold_up_the_next(caplog: pytest.LogCaptureFixture) -> None:
    decided = Decided(DueWills())

    def fails(_answer: bool) -> None:
        raise RuntimeError("for the log")

    decided.wills.add("a", "broken", WILL, ready(), fails)
    decided.add("a", "next")
    await all_decided(decided.wills)

    assert decided.found == [("a/next", True)]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


# What one will is answered


@dataclass
class Policies:
    """Allows everything but RetainPublish."""

    def allows(self, action: str, resource: str) -> bool:
        return action != "iot:RetainPublish"

    def denial(self, action: str, resource: str) -> Denial:
        raise AssertionError("nobody asks for more")


@dataclass
class Registered:
    """A device whose registry fails so often before it answers."""

    failures: list[Exception]
    principal_id: str = "ab" * 32
    asked: int = 0

    async def check(self) -> None:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)

    async def authorizer(self, facts: ConnectionFacts) -> Policies:
        return Policies()


def right_of(device: Registered, observer: Observer | None = None) -> DeviceWillRight:
    facts = ConnectionFacts("lamp", "127.0.0.1", None, frozenset(), "gone")
    return DeviceWillRight(device, facts, Counters(observer))  # type: ignore[arg-type]  # only what a will asks for


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(will_right, "_RETRY_SECONDS", 0)


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("error", [ServiceUnavailable(), Throttled()])
async def test_a_registry_that_does_not_answer_is_asked_again(error: ThingmintError) -> None:
    device = Registered([error] * 29)
    assert await right_of(device).allows(WILL)
    assert device.asked == 30


@pytest.mark.usefixtures("_no_pauses")
async def test_a_registry_that_never_answers_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    device = Registered([ServiceUnavailable()] * 99)
    assert not await right_of(device).allows(WILL)
    assert device.asked == 30
    assert "the registry cannot be read" in caplog.text


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (MalformedPolicy("1:1: a stored policy cannot be read"), "1:1: a stored policy cannot be read"),
        (LimitExceeded("too large together"), "too large together"),
        (DeviceRefused(DeviceRefusal.REVOKED), DeviceRefusal.REVOKED.value),
        (RuntimeError("for the log"), "it could not be decided"),
    ],
)
async def test_what_will_not_change_is_asked_once(error: Exception, why: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    device = Registered([error])
    losses = Losses()
    assert not await right_of(device, losses).allows(WILL)
    assert device.asked == 1
    assert why in caplog.text
    is_refused = isinstance(error, DeviceRefused)
    assert losses.counts == {Loss.WILL_NOT_ALLOWED if is_refused else Loss.WILL_UNDECIDED: 1}


async def test_a_retained_will_needs_the_permission_to_retain() -> None:
    assert await right_of(Registered([])).allows(WILL)
    assert not await right_of(Registered([])).allows(Publish("gone", b"x", retain=True))


# What it takes of the data plane


async def test_a_will_takes_room_until_it_is_decided_and_its_broker_stays_as_long() -> None:
    plane = LocalDataPlane(BrokerLimits(), lambda: 0.0)
    right, device = Right(is_allowed=False), Device("mortal", scope=OTHER)
    device.will_right = right  # type: ignore[assignment]  # any right will do
    await plane.open(device, Connect(ProtocolVersion.MQTT_5, "mortal", True, will=Will("gone", b"x" * 1000)))
    await plane.close(device, clean=False)
    plane.advance()
    memory = plane._brokers[OTHER]._flow.memory
    assert memory.queued.taken > 1000

    right.may_answer.set()
    await all_decided(plane._wills)
    plane.advance()

    assert (memory.queued.taken, scopes_of(plane)) == (0, frozenset())


async def test_other_accounts_replay_at_their_own_rate_while_one_has_much_that_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Each turn has time for one thing that is due.
    monkeypatch.setattr("thingmint.mqtt.broker.data_plane._TURN_SECONDS", 0.0)
    now = 1000.0
    plane = LocalDataPlane(BrokerLimits(replayed_per_second=1), lambda: now)
    for number in range(50):
        short = Device(f"short{number}", scope=OTHER)
        await plane.open(short, Connect(ProtocolVersion.MQTT_3_1_1, short.client_id, False))
        await plane.close(short, clean=True)
    now += 1000
    stored = Connect(ProtocolVersion.MQTT_3_1_1, "sleeper", False)
    sleeper = Device("sleeper", scope=SCOPE)
    await plane.open(sleeper, stored)
    await plane.subscribe(sleeper, [Subscription("a", QoS.AT_LEAST_ONCE)])
    await plane.close(sleeper, clean=True)
    for _ in range(20):
        await plane.publish_own(SCOPE, Publish("a", b"m", QoS.AT_LEAST_ONCE))
    now += 2000
    awake = Device("sleeper", scope=SCOPE)
    await plane.open(awake, stored)
    plane.resume(awake)
    assert len(awake.delivered) == 1

    now += 601
    plane.advance()
    plane.advance()
    turns = 0
    while not plane._brokers[OTHER].is_empty:
        await asyncio.sleep(0)
        turns += 1

    # The sleeper was sent one message at each of the two calls, and the other account got one turn's work per turn.
    assert (len(awake.delivered), turns) == (3, 48)
    await plane.stop()


async def test_stored_messages_of_many_clients_are_replayed_over_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each turn has time for one client.
    monkeypatch.setattr("thingmint.mqtt.broker.data_plane._TURN_SECONDS", 0.0)
    plane = LocalDataPlane(BrokerLimits(replayed_per_second=1), lambda: 0.0)
    names = [f"sleeper{number}" for number in range(5)]
    stored = {name: Connect(ProtocolVersion.MQTT_3_1_1, name, False) for name in names}
    for name in names:
        device = Device(name)
        await plane.open(device, stored[name])
        await plane.subscribe(device, [Subscription("a", QoS.AT_LEAST_ONCE)])
        await plane.close(device, clean=True)
    for _ in range(9):
        await plane.publish_own(SCOPE, Publish("a", b"m", QoS.AT_LEAST_ONCE))
    awake = [Device(name) for name in names]
    for device in awake:
        await plane.open(device, stored[device.client_id])
        plane.resume(device)
        device.take()

    plane.advance()
    by_turn = []
    for _ in range(6):
        by_turn.append([len(device.delivered) for device in awake])
        await asyncio.sleep(0)
    assert by_turn == [[1] * each + [0] * (5 - each) for each in (1, 2, 3, 4, 5, 5)]

    # A second that ends before everyone has had a turn: those that waited come first, and one has left.
    plane.advance()
    await plane.close(awake[1], clean=True)
    plane.advance()
    for _ in range(6):
        await asyncio.sleep(0)
    assert [len(device.delivered) for device in awake] == [2, 1, 2, 2, 2]
    await plane.stop()
