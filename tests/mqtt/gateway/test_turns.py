"""What a turn of the event loop may take: requests wait for a later turn, and messages are passed on in slices."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.support.brokers.broker import AT_LEAST_ONCE, OTHER, SCOPE, Device, Losses

from thingmint.core.identifiers import Scope
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Publish, Subscribe, Subscription, Will
from thingmint.mqtt.codec.properties import ConnectProperties, PublishProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.counters import Counters, Loss
from thingmint.mqtt.data_plane import Delivery, Opened
from thingmint.mqtt.gateway.link.device_protocol import DeviceProtocol
from thingmint.mqtt.gateway.request_turns import next_in_turn
from thingmint.mqtt.pacing.turns import Turns
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.transport.memory_trimmer import MemoryTrimmer, glibc_trim


class Watch:
    """A clock that moves only when something is worked on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def work(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


class SlowDevice(Device):
    """Each delivery takes a tenth of a millisecond."""

    def __init__(self, client_id: str, watch: Watch, heard: Callable[[str, bytes], None], *, scope: Scope) -> None:
        super().__init__(client_id, scope=scope)
        self._watch = watch
        self._heard = heard

    def deliver(self, message: Publish) -> Delivery:
        self._watch.work(0.0001)
        encode(message, ProtocolVersion.MQTT_5)
        self._heard(self.client_id, message.payload)
        return super().deliver(message)


class Plane:
    """A data plane of slow devices, and what they heard in which turn of the loop."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.now = 0.0
        self.losses = Losses()
        self.plane = LocalDataPlane(BrokerLimits(), lambda: self.now, Counters(self.losses))
        self.heard: list[tuple[str, bytes, int]] = []
        self.turn = 0

    async def connect(self, name: str, *topics: str, scope: Scope = SCOPE, will: Will | None = None) -> SlowDevice:
        device = SlowDevice(
            name, self.watch, lambda name, payload: self.heard.append((name, payload, self.turn)), scope=scope
        )
        properties = ConnectProperties(session_expiry_interval=60)
        await self.plane.open(device, Connect(ProtocolVersion.MQTT_5, name, will=will, properties=properties))
        self.plane.resume(device)
        await self.plane.subscribe(device, [Subscription(topic, AT_LEAST_ONCE) for topic in topics])
        return device

    def publish(self, topic: str, payload: bytes, scope: Scope = SCOPE) -> "asyncio.Task[ReasonCode]":
        return asyncio.create_task(self.plane.publish_own(scope, Publish(topic, payload, AT_LEAST_ONCE)))

    async def until_done(self, *tasks: "asyncio.Task[ReasonCode]") -> None:
        while not all(task.done() for task in tasks):
            before = self.watch.now
            await asyncio.sleep(0)
            self.turn += 1
            assert self.watch.now - before <= 0.010, "a turn took longer than its time and some slices"


async def test_a_message_for_many_is_passed_on_in_slices_and_acknowledged_at_the_end(watch: Watch) -> None:
    plane = Plane(watch)
    for number in range(500):
        await plane.connect(f"device{number}", "a")
    task = plane.publish("a", b"1")
    await asyncio.sleep(0)
    assert not task.done()
    await plane.until_done(task)
    assert task.result() is ReasonCode.SUCCESS
    assert [name for name, _, _ in plane.heard] == [f"device{number}" for number in range(500)]
    assert len({turn for _, _, turn in plane.heard}) >= 500 * 0.0001 / 0.0075


async def test_messages_of_one_topic_reach_everyone_in_the_same_order(watch: Watch) -> None:
    plane = Plane(watch)
    for number in range(100):
        await plane.connect(f"device{number}", "a", "b")
    payloads = [b"%d" % number for number in range(5)]
    await plane.until_done(*(plane.publish("a", payload) for payload in payloads), plane.publish("b", b"other"))
    for number in range(100):
        own = [payload for name, payload, _ in plane.heard if name == f"device{number}"]
        assert [payload for payload in own if payload != b"other"] == payloads
        assert sorted(own) == sorted([*payloads, b"other"])


async def test_another_topic_and_another_account_do_not_wait_for_a_long_fan_out(watch: Watch) -> None:
    plane = Plane(watch)
    for number in range(1_000):
        await plane.connect(f"device{number}", "all")
    await plane.connect("own", "own")
    for number in range(100):
        await plane.connect(f"foreign{number}", "all", scope=OTHER)
    storm = [plane.publish("all", b"storm") for _ in range(5)]
    await asyncio.sleep(0)
    own, foreign = plane.publish("own", b"own"), plane.publish("all", b"foreign", OTHER)
    await plane.until_done(own, foreign)
    assert not any(task.done() for task in storm)
    await plane.until_done(*storm)
    await plane.plane.stop()


async def test_what_expires_while_it_is_passed_on_is_dropped_and_does_not_hold_up_the_account(watch: Watch) -> None:
    plane = Plane(watch)
    for number in range(100):
        await plane.connect(f"device{number}", "a")
    short = Publish("a", b"short", properties=PublishProperties(message_expiry_interval=1))
    tasks = [asyncio.create_task(plane.plane.publish_own(SCOPE, short))]
    await asyncio.sleep(0)
    assert not tasks[0].done()
    heard = len(plane.heard)
    plane.now += 60
    tasks.append(plane.publish("a", b"next"))
    await plane.until_done(*tasks)

    assert [task.result() for task in tasks] == [ReasonCode.SUCCESS] * 2
    assert [payload for _, payload, _ in plane.heard] == [b"short"] * heard + [b"next"] * 100
    assert 0 < heard < 100
    assert plane.losses.counts == {Loss.EXPIRED: 100 - heard}


async def test_a_message_that_cannot_be_passed_on_does_not_hold_up_the_account(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    plane = Plane(watch)
    for number in range(100):
        device = await plane.connect(f"device{number}", "a")

    def fails(_topic: str) -> bool:
        device.may_receive = lambda topic: True
        raise RuntimeError("for the log")

    device.may_receive = fails
    tasks = [plane.publish("a", payload) for payload in (b"1", b"2")]
    await plane.until_done(*tasks)

    assert [task.result() for task in tasks] == [ReasonCode.UNSPECIFIED_ERROR, ReasonCode.SUCCESS]
    assert [payload for _, payload, _ in plane.heard] == [b"1"] * 99 + [b"2"] * 100
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert plane.plane._brokers[SCOPE]._flow.running == 0


async def test_clients_that_go_while_a_message_is_passed_on_do_not_get_it_and_cost_no_room(watch: Watch) -> None:
    plane = Plane(watch)
    devices = [await plane.connect(f"device{number}", "a") for number in range(200)]
    task = plane.publish("a", b"1")
    await asyncio.sleep(0)
    for device in devices[100:150]:
        await plane.plane.close(device, clean=True, session_expiry_interval=0)
    for device in devices[150:]:
        await plane.plane.close(device, clean=True)
    await plane.until_done(task)
    assert {name for name, _, _ in plane.heard} == {f"device{number}" for number in range(100)}
    memory = plane.plane._brokers[SCOPE]._flow.memory
    assert memory.messages == 150
    broker = plane.plane._brokers[SCOPE]
    for session in list(broker._sessions.values()):
        broker._end(session, 0.0)
    assert memory.queued.taken == 0


async def test_wills_that_are_due_at_once_are_published_over_several_turns(watch: Watch) -> None:
    plane = Plane(watch)
    await plane.connect("watcher", "wills/#")
    now = 0.0
    plane.plane._clock = lambda: now
    will = Will("wills/gone", b"gone", AT_LEAST_ONCE)
    for number in range(300):
        device = await plane.connect(f"device{number}", will=Will(will.topic, b"%d" % number, AT_LEAST_ONCE))
        session = plane.plane._brokers[SCOPE]._sessions[device.client_id]
        session.will_delay = 5
        await plane.plane.close(device, clean=False)
    now = 5.0
    before = watch.now
    plane.plane.advance()
    assert watch.now - before <= 0.0075
    for _ in range(200):
        await asyncio.sleep(0)
        for name, _, _ in plane.heard[-100:]:
            assert name == "watcher"
        watcher = plane.plane._brokers[SCOPE]._sessions["watcher"]
        for packet_id in list(watcher.outbox._in_flight):
            watcher.outbox.acknowledge(packet_id, now)
        watcher.flush(now)
    assert len(plane.heard) == 300
    await plane.plane.stop()


async def test_requests_wait_for_a_later_turn_and_accounts_take_turns(watch: Watch) -> None:
    turns = Turns(asyncio.get_running_loop(), 0.005)
    done: list[str] = []

    async def work(account: str, name: str) -> None:
        if turns.is_over:
            await turns.later(account)
        watch.work(0.003)
        done.append(name)

    tasks = [asyncio.create_task(work("large", f"large{number}")) for number in range(40)]
    tasks.append(asyncio.create_task(work("small", "small")))
    await asyncio.sleep(0)
    assert done == ["large0", "large1"]
    await asyncio.gather(*tasks)
    assert done.index("small") < 5
    assert [name for name in done if name != "small"] == [f"large{number}" for number in range(40)]


async def test_an_account_that_uses_up_each_turn_does_not_keep_another_account_waiting(watch: Watch) -> None:
    turns = Turns(asyncio.get_running_loop(), 0.005)
    done: list[str] = []

    async def work(account: str) -> None:
        await turns.later(account)
        watch.work(0.006)
        done.append(account)

    await asyncio.gather(*(work("large") for _ in range(20)), *(work("small") for _ in range(3)), work("other"))
    # Only the first connection that is woken finds time.
    assert done[:9] == ["large", "small", "other"] + ["large", "small"] * 2 + ["large"] * 2


@pytest.mark.parametrize("quick", [0, 2_000])
async def test_who_finds_the_time_used_up_again_keeps_its_place(watch: Watch, quick: int) -> None:
    turns = Turns(asyncio.get_running_loop(), 0.005)
    done: list[int] = []

    async def work(number: int, seconds: float) -> None:
        await turns.later("account")
        watch.work(seconds)
        done.append(number)

    # After quick ones many are woken at once, and find no time.
    seconds = [0.00001] * quick + [0.006] * 300
    await asyncio.gather(*(work(number, each) for number, each in enumerate(seconds)))
    assert done == list(range(len(seconds)))


async def test_a_task_that_was_cancelled_while_it_waited_does_not_hold_up_others(watch: Watch) -> None:
    turns = Turns(asyncio.get_running_loop(), 0.005)
    waiting = [asyncio.create_task(turns.later("account")) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not turns.is_over


def test_memory_is_given_back_once_after_a_mass_departure() -> None:
    given: list[int] = []
    trimmer = MemoryTrimmer(lambda: given.append(1))
    for connections in (0, 500, 1_000, 1_000):
        trimmer.observe(connections)
    for connections in range(1_000, 900, -1):
        trimmer.observe(connections)
    for _ in range(10):
        trimmer.observe(900)
    assert not given, "only a few have gone"
    for _ in range(5):
        trimmer.observe(100)
    assert not given, "others may still go"
    for _ in range(20):
        trimmer.observe(100)
    assert given == [1]


def test_glibc_gives_memory_back() -> None:
    trim = glibc_trim()
    if trim is None:
        pytest.skip("the C library is not glibc")
    assert trim(0) in (0, 1)


async def test_more_go_on_in_a_turn_where_the_last_one_had_time_left(watch: Watch) -> None:
    turns = Turns(asyncio.get_running_loop(), 0.005)
    done = 0

    async def work(seconds: float) -> None:
        nonlocal done
        await turns.later("account")
        watch.work(seconds)
        done += 1

    quick = [asyncio.create_task(work(0.00001)) for _ in range(2_000)]
    counts = []
    while not all(task.done() for task in quick):
        before = done
        await asyncio.sleep(0)
        counts.append(done - before)
    assert len(counts) < 30
    assert max(counts) == 256
    slow = [asyncio.create_task(work(0.004)) for _ in range(100)]
    counts = []
    while not all(task.done() for task in slow):
        before = done
        await asyncio.sleep(0)
        counts.append(done - before)
    assert max(counts[-20:]) == 2


@dataclass
class TwoLines:
    """What `next_in_turn` sees of the gateway's services."""

    turns: Turns
    slow_turns: Turns


async def test_messages_do_not_wait_for_requests_that_change_sessions(watch: Watch) -> None:
    loop = asyncio.get_running_loop()
    services = TwoLines(Turns(loop), Turns(loop))
    protocols = {}
    for name, packet in (("slow", Subscribe(1, (Subscription("a"),))), ("quick", Publish("a", b"m"))):
        protocol = protocols[name] = DeviceProtocol(1_000)
        protocol.feed(encode(Connect(ProtocolVersion.MQTT_5, name), ProtocolVersion.MQTT_5))
        assert protocol.next_changes_session
        protocol.next_request()
        protocol.accept(Opened(False, 0))
        protocol.feed(encode(packet, ProtocolVersion.MQTT_5))
    looks = [services.slow_turns.is_over]
    watch.work(0.006)
    assert [*looks, services.slow_turns.is_over] == [False, True]
    quick, slow = (
        next_in_turn(protocols[name], services, SCOPE, lambda: True)  # type: ignore[arg-type]  # has all that is asked
        for name in ("quick", "slow")
    )
    # Without giving the loop a turn, in which the time would begin anew.
    with pytest.raises(StopIteration) as returned:
        quick.send(None)
    assert isinstance(returned.value.value, Publish)
    assert slow.send(None) is not None
    slow.close()


async def test_a_connection_that_has_sent_nothing_waits_for_no_turn(watch: Watch) -> None:
    loop = asyncio.get_running_loop()
    services = TwoLines(Turns(loop), Turns(loop))
    looks = [services.turns.is_over]
    watch.work(0.006)
    assert [*looks, services.turns.is_over] == [False, True]
    nothing = next_in_turn(DeviceProtocol(1_000), services, SCOPE, lambda: True)  # type: ignore[arg-type]  # has all that is asked
    with pytest.raises(StopIteration) as returned:
        nothing.send(None)
    assert returned.value.value is None


async def test_a_connection_that_has_ended_while_it_waited_is_given_no_request(watch: Watch) -> None:
    loop = asyncio.get_running_loop()
    services = TwoLines(Turns(loop), Turns(loop))
    protocol = DeviceProtocol(1_000)
    protocol.feed(encode(Connect(ProtocolVersion.MQTT_5, "device"), ProtocolVersion.MQTT_5))
    request = await next_in_turn(protocol, services, None, lambda: False)  # type: ignore[arg-type]  # has all that is asked
    assert request is None
    assert protocol.buffered
