"""Messages that many filters of many clients match: no long turn of the event loop, and the same receivers."""

import asyncio
from itertools import islice, product

import pytest
from tests.support.brokers.broker import AT_LEAST_ONCE, Bench, Device, charged_bytes, reachable_bytes
from tests.support.machine.turn_watch import TurnSelector, begin, run_watched

from thingmint.core.topics.names import ANY_LEVEL
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Publish, QoS, RetainHandling, Subscription, Will
from thingmint.mqtt.codec.properties import ConnectProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.counters import Loss
from thingmint.mqtt.queues.limits import MAX_SUBSCRIPTIONS, BrokerLimits

TOPIC = "a/b/c/d/e/f"
# The most filters of one client, all of which match the topic.
FILTERS = [
    "/".join(levels)
    for levels in islice(product(*((ANY_LEVEL, level) for level in TOPIC.split("/"))), MAX_SUBSCRIPTIONS)
]
CLIENTS = 4_000
# Enough that a message's receivers are not found at once.
SEVERAL = 100
WEEK = 7 * 24 * 3600


def test_a_message_that_all_filters_of_a_fleet_match_makes_no_long_turn() -> None:
    async def work(selector: TurnSelector) -> int:
        plane = LocalDataPlane(BrokerLimits(), asyncio.get_running_loop().time)
        devices = [Device(f"device-{number}") for number in range(CLIENTS)]
        for device in devices:
            await plane.open(device, Connect(device.version, device.client_id))
            plane.resume(device)
            await plane.subscribe(device, [Subscription(each) for each in FILTERS])
        await begin(selector)
        await plane.publish(devices[0], Publish(TOPIC, b"m"))
        await plane.stop()
        return sum(len(device.delivered) for device in devices)

    assert run_watched(work, budget=12.0) == CLIENTS


def overlapping(bench: Bench, *, away: bool = False) -> list[Device]:
    """Return clients whose filters all match the topic; every second client has one filter of QoS 1 among them."""
    devices = []
    for number in range(SEVERAL):
        device = bench.connect(f"device-{number}", expiry=WEEK)
        for index, each in enumerate(FILTERS):
            qos = QoS(index == number % MAX_SUBSCRIPTIONS and number % 2)
            bench.subscribe_as(device, Subscription(each, qos, retain_handling=RetainHandling.NEVER))
        if away:
            bench.leave(device)
        devices.append(device)
    return devices


def test_each_client_gets_one_copy_at_the_highest_qos_of_its_filters() -> None:
    bench = Bench()
    devices = overlapping(bench)
    assert bench.publish(bench.connect("sender"), TOPIC) is ReasonCode.SUCCESS
    assert [[message.qos for message in device.delivered] for device in devices] == [
        [QoS(number % 2)] for number in range(SEVERAL)
    ]


def test_a_message_whose_receivers_are_still_being_found_is_not_accepted_yet() -> None:
    bench = Bench()
    devices = overlapping(bench)
    fan_out = bench.broker.begin(bench.connect("sender"), Publish(TOPIC, b"m", AT_LEAST_ONCE, packet_id=1), bench.now)
    assert not fan_out.is_done
    # Clients come and go meanwhile.
    bench.broker.unsubscribe(devices[-1], FILTERS)
    late = bench.connect("late")
    bench.subscribe(late, TOPIC)
    bench.leave(devices[-2])
    assert not fan_out.run(bench.now, until=0.0)
    assert fan_out.run(bench.now)
    assert fan_out.code is ReasonCode.SUCCESS
    assert all(device.payloads == [b"m"] for device in devices[:-2])
    assert not devices[-1].delivered
    assert charged_bytes(bench.broker) == reachable_bytes(bench.broker)


@pytest.mark.parametrize("version", ProtocolVersion)
def test_a_message_without_room_for_its_receivers_is_refused_after_they_are_found(version: ProtocolVersion) -> None:
    bench = Bench(BrokerLimits(queued_bytes_in_all=20_000))
    overlapping(bench, away=True)
    sender = bench.connect("sender", version=version)
    codes = [bench.publish(sender, TOPIC, b"x" * 100, retain=True) for _ in range(10)]
    assert codes[0] is ReasonCode.SUCCESS
    assert codes[-1] is ReasonCode.QUOTA_EXCEEDED
    assert bench.losses.of(Loss.PUBLISH_WITHOUT_ROOM) == codes.count(ReasonCode.QUOTA_EXCEEDED)
    assert charged_bytes(bench.broker) == reachable_bytes(bench.broker)
    # The refused messages are not in progress any more.
    assert not bench.broker._flow.running


def test_a_will_without_room_is_counted_after_its_receivers_are_found() -> None:
    bench = Bench(BrokerLimits(queued_bytes_in_all=20_000))
    overlapping(bench, away=True)
    device = Device("device")
    bench.broker.open(
        device,
        Connect(
            device.version,
            device.client_id,
            will=Will(TOPIC, b"gone", AT_LEAST_ONCE),
            properties=ConnectProperties(),
        ),
        bench.now,
    )
    sender = bench.connect("sender")
    while bench.publish(sender, TOPIC, b"x" * 100) is ReasonCode.SUCCESS:
        pass
    bench.leave(device, clean=False)
    assert bench.losses.of(Loss.WILL_WITHOUT_ROOM) == 1
    assert charged_bytes(bench.broker) == reachable_bytes(bench.broker)


def test_a_failure_while_receivers_are_found_ends_the_message_and_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    device = bench.connect("device")
    bench.subscribe(device, TOPIC)
    sender = bench.connect("sender")

    def fail(*_: object) -> ReasonCode:
        raise RuntimeError("for the log")

    with monkeypatch.context() as patch:
        patch.setattr(bench.broker._flow, "_accept", fail)
        assert bench.publish(sender, TOPIC) is ReasonCode.UNSPECIFIED_ERROR
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert bench.publish(sender, TOPIC) is ReasonCode.SUCCESS
    assert device.payloads == [b"m"]
    assert not bench.broker._flow.running
