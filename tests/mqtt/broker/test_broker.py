"""The built-in broker brings messages to who is subscribed and allowed, at the right QoS, in order."""

import pytest
from tests.support.brokers.broker import (
    AT_LEAST_ONCE,
    Bench,
    Device,
    charged_bytes,
    has_no_subscriptions,
    reachable_bytes,
)

from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Publish, QoS, Subscription
from thingmint.mqtt.codec.properties import PublishProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.counters import Loss
from thingmint.mqtt.data_plane import DATA_PLANE_PACKET_IDS, DataPlane, Delivery
from thingmint.mqtt.queues.limits import BrokerLimits

AT_MOST_ONCE = QoS.AT_MOST_ONCE


@pytest.mark.parametrize(
    ("published", "granted", "delivered"),
    [
        (AT_LEAST_ONCE, AT_LEAST_ONCE, AT_LEAST_ONCE),
        (AT_LEAST_ONCE, AT_MOST_ONCE, AT_MOST_ONCE),
        (AT_MOST_ONCE, AT_LEAST_ONCE, AT_MOST_ONCE),
        (AT_LEAST_ONCE, QoS.EXACTLY_ONCE, AT_LEAST_ONCE),
    ],
)
def test_a_message_comes_at_the_lower_qos(published: QoS, granted: QoS, delivered: QoS) -> None:
    bench = Bench()
    device = bench.connect("device")
    assert bench.subscribe(device, "a/+", granted).value == min(granted, AT_LEAST_ONCE).value
    assert bench.publish(bench.connect("sender"), "a/b", b"hello", published) is ReasonCode.SUCCESS
    assert device.delivered == [Publish("a/b", b"hello", delivered, packet_id=int(delivered))]


def test_nobody_else_gets_the_message() -> None:
    bench = Bench()
    device = bench.connect("device")
    bench.subscribe(device, "a/b")
    sender = bench.connect("sender")
    bench.publish(sender, "a/c")
    assert not device.delivered
    assert not sender.delivered


def test_a_message_comes_once_for_overlapping_filters_at_the_highest_qos() -> None:
    bench = Bench()
    device = bench.connect("device")
    for topic_filter, qos in (("a/+", AT_MOST_ONCE), ("a/b", AT_LEAST_ONCE), ("#", AT_MOST_ONCE)):
        bench.subscribe(device, topic_filter, qos)
    bench.publish(device, "a/b")
    assert [message.qos for message in device.delivered] == [AT_LEAST_ONCE]


def test_a_subscription_replaces_the_one_with_the_same_filter() -> None:
    bench = Bench()
    device = bench.connect("device")
    bench.subscribe(device, "a", AT_LEAST_ONCE)
    bench.subscribe(device, "a", AT_MOST_ONCE)
    bench.publish(device, "a")
    assert [message.qos for message in device.delivered] == [AT_MOST_ONCE]


def test_after_unsubscribe_nothing_comes() -> None:
    bench = Bench()
    device = bench.connect("device")
    bench.subscribe(device, "a")
    assert bench.broker.unsubscribe(device, ["a", "never"]) == (ReasonCode.SUCCESS, ReasonCode.SUCCESS)
    bench.publish(device, "a")
    assert not device.delivered


def test_no_local_keeps_a_clients_own_messages_from_it() -> None:
    bench = Bench()
    device, other = bench.connect("device"), bench.connect("other")
    bench.subscribe_as(device, Subscription("a", AT_LEAST_ONCE, no_local=True))
    bench.publish(device, "a", b"own")
    bench.publish(other, "a", b"foreign")
    assert device.payloads == [b"foreign"]


def test_properties_are_passed_on() -> None:
    bench = Bench()
    device = bench.connect("device")
    bench.subscribe(device, "a")
    properties = PublishProperties(
        payload_format_indicator=True,
        content_type="text/plain",
        response_topic="answers",
        correlation_data=b"7",
        user_properties=(("key", "value"), ("key", "again")),
    )
    bench.send(device, Publish("a", b"m", properties=properties))
    assert device.delivered[0].properties == properties


@pytest.mark.parametrize("qos", [AT_MOST_ONCE, AT_LEAST_ONCE])
def test_what_may_not_be_received_is_not_delivered(qos: QoS) -> None:
    bench = Bench()
    device = bench.connect("device")
    device.may_receive = lambda topic: topic != "a/secret"
    bench.subscribe(device, "a/#")
    bench.publish(device, "a/secret", b"secret", qos)
    bench.publish(device, "a/open", b"open", qos)
    assert device.payloads == [b"open"]


def test_permission_is_asked_when_a_message_is_delivered_not_when_it_is_stored() -> None:
    bench = Bench()
    bench.subscribe(first := bench.connect("device", expiry=60), "a/+")
    bench.leave(first)
    bench.publish(bench.connect("sender"), "a/secret", b"secret")
    bench.publish(bench.connect("sender"), "a/open", b"open")
    device = Device("device")
    device.may_receive = lambda topic: topic != "a/secret"
    bench.open(device, clean=False)
    bench.resume(device)
    assert device.payloads == [b"open"]


@pytest.mark.parametrize("topic", ["$aws/certificates/create/json/accepted", "$SYS/a", "a/+", "", "x" * 257, "/" * 8])
def test_a_topic_that_is_reserved_or_not_valid_takes_no_message(topic: str) -> None:
    bench = Bench()
    device = bench.connect("device")
    bench.subscribe(device, "#")
    assert bench.publish(device, topic, retain=True) is ReasonCode.TOPIC_NAME_INVALID
    assert not device.delivered


@pytest.mark.parametrize(
    "topic_filter", ["$aws/#", "$aws/certificates/create/json/+", "$share/g/$aws/#", "$SYS/#", "a#"]
)
def test_a_filter_that_is_reserved_or_not_valid_is_refused(topic_filter: str) -> None:
    bench = Bench()
    device = bench.connect("device")
    assert bench.subscribe(device, topic_filter) is ReasonCode.TOPIC_FILTER_INVALID


def test_nothing_comes_before_connack() -> None:
    bench = Bench()
    bench.subscribe(first := bench.connect("device", expiry=60), "a")
    bench.leave(first)
    device = Device("device")
    assert bench.open(device, clean=False).session_present
    bench.publish(bench.connect("sender"), "a", b"sampled", AT_MOST_ONCE)
    bench.publish(bench.connect("sender"), "a", b"counted")
    assert not device.delivered
    bench.resume(device)
    assert device.payloads == [b"counted"]


def test_the_window_of_the_client_holds_messages_back_in_order() -> None:
    bench = Bench()
    device = bench.connect("device")
    device.receive_window = 2
    bench.subscribe(device, "a")
    for number in range(5):
        bench.publish(device, "a", b"%d" % number)
    assert device.payloads == [b"0", b"1"]
    bench.acknowledge(device)
    assert device.payloads == [b"0", b"1", b"2", b"3"]
    bench.acknowledge(device)
    assert device.payloads == [b"0", b"1", b"2", b"3", b"4"]


def test_at_most_a_hundred_messages_are_unacknowledged() -> None:
    bench = Bench()
    device = bench.connect("device")
    device.receive_window = 65_535
    bench.subscribe(device, "a")
    for _ in range(150):
        bench.publish(device, "a")
    assert len(device.take()) == 100


def test_qos_0_passes_a_client_whose_window_is_closed() -> None:
    bench = Bench()
    device = bench.connect("device")
    device.receive_window = 0
    bench.subscribe(device, "a")
    bench.publish(device, "a", b"waits")
    bench.publish(device, "a", b"passes", AT_MOST_ONCE)
    assert device.payloads == [b"passes"]


def test_messages_of_both_qos_wait_while_the_client_does_not_read() -> None:
    bench = Bench()
    device = bench.connect("device")
    bench.subscribe(device, "a")
    device.outcome = Delivery.FULL
    for number in range(3):
        bench.publish(device, "a", b"sampled %d" % number, AT_MOST_ONCE)
    bench.publish(device, "a", b"counted")
    device.outcome = Delivery.WRITTEN
    bench.publish(device, "a", b"sampled 3", AT_MOST_ONCE)
    bench.resume(device)
    assert sorted(device.payloads) == [b"counted", *(b"sampled %d" % number for number in range(4))]
    sampled = [payload for payload in device.payloads if payload != b"counted"]
    assert sampled == sorted(sampled), "messages of one QoS keep their order"


def test_qos_0_that_does_not_fit_is_dropped_and_counted_and_qos_1_has_room() -> None:
    bench = Bench(BrokerLimits(unsent_qos_0_bytes=2_500))
    device = bench.connect("device")
    bench.subscribe(device, "a")
    device.outcome = Delivery.FULL
    for number in range(5):
        bench.publish(device, "a", b"%d" % number * 500, AT_MOST_ONCE)
    assert bench.publish(device, "a", b"counted") is ReasonCode.SUCCESS
    assert bench.losses.of(Loss.UNSENT_QOS_0) == 3
    device.outcome = Delivery.WRITTEN
    bench.resume(device)
    assert device.payloads == [b"0" * 500, b"1" * 500, b"counted"]


@pytest.mark.parametrize("qos", [AT_MOST_ONCE, AT_LEAST_ONCE])
def test_what_is_too_large_for_the_client_is_dropped_for_it(qos: QoS) -> None:
    bench = Bench()
    device = bench.connect("device")
    device.receive_window = 1
    bench.subscribe(device, "a")
    device.outcome = Delivery.TOO_LARGE
    bench.publish(device, "a", b"large", qos)
    device.outcome = Delivery.WRITTEN
    bench.publish(device, "a", b"small", qos)
    assert device.payloads == [b"small"]


def test_packet_identifiers_are_the_data_planes_and_none_is_used_twice_at_once() -> None:
    bench = Bench()
    device = bench.connect("device")
    bench.subscribe(device, "a")
    bench.publish(device, "a")
    (kept,) = device.take()
    for _ in range(len(DATA_PLANE_PACKET_IDS)):
        bench.publish(device, "a")
        (message,) = device.take()
        assert message.packet_id in DATA_PLANE_PACKET_IDS
        assert message.packet_id != kept.packet_id
        bench.broker.acknowledge(device, message.packet_id, bench.now)


def test_an_unknown_acknowledgement_changes_nothing() -> None:
    bench = Bench()
    device = bench.connect("device")
    device.receive_window = 1
    bench.subscribe(device, "a")
    bench.publish(device, "a", b"1")
    bench.publish(device, "a", b"2")
    bench.broker.acknowledge(device, 77, bench.now)
    assert device.payloads == [b"1"]


def test_a_message_expires_while_it_waits() -> None:
    bench = Bench()
    device = bench.connect("device")
    device.receive_window = 0
    bench.subscribe(device, "a")
    bench.send(device, Publish("a", b"short", AT_LEAST_ONCE, properties=PublishProperties(message_expiry_interval=5)))
    bench.send(device, Publish("a", b"long", AT_LEAST_ONCE, properties=PublishProperties(message_expiry_interval=50)))
    bench.now += 5.5
    device.receive_window = 1
    bench.resume(device)
    assert device.payloads == [b"long"]
    assert device.delivered[0].properties.message_expiry_interval == 45


def test_shared_subscribers_take_turns() -> None:
    bench = Bench()
    members = [bench.connect(f"member{number}") for number in range(3)]
    other = bench.connect("other")
    for member in members:
        assert bench.subscribe(member, "$share/group/a/+") is ReasonCode.GRANTED_QOS_1
    bench.subscribe(other, "a/+")
    for number in range(6):
        bench.publish(other, "a/b", b"%d" % number)
    assert [member.payloads for member in members] == [[b"0", b"3"], [b"1", b"4"], [b"2", b"5"]]
    assert len(other.delivered) == 6


def test_groups_of_one_filter_are_apart_and_beside_a_clients_own_subscription() -> None:
    bench = Bench()
    device = bench.connect("device")
    for topic_filter in ("$share/one/a", "$share/two/a", "a"):
        bench.subscribe(device, topic_filter)
    bench.publish(device, "a")
    assert len(device.delivered) == 3


def test_a_shared_message_goes_to_who_is_there_and_allowed() -> None:
    bench = Bench()
    away, barred, present = bench.connect("away", expiry=60), bench.connect("barred"), bench.connect("present")
    barred.may_receive = lambda topic: False
    for member in (away, barred, present):
        bench.subscribe(member, "$share/group/a")
    bench.leave(away)
    for _ in range(3):
        bench.publish(present, "a")
    assert len(present.delivered) == 3
    bench.leave(present)
    bench.publish(barred, "a", b"stored")
    again = bench.connect("away", clean=False, expiry=60)
    assert again.payloads == [b"stored"]


def test_a_shared_message_that_no_member_may_receive_is_dropped() -> None:
    bench = Bench()
    device = bench.connect("device")
    device.may_receive = lambda topic: False
    bench.subscribe(device, "$share/group/a")
    assert bench.publish(device, "a") is ReasonCode.SUCCESS
    assert not device.delivered


def test_members_that_may_not_receive_are_considered_in_time_slices() -> None:
    bench = Bench()
    decisions: list[str] = []

    def barred(topic: str) -> bool:
        decisions.append(topic)
        return False

    members = [bench.connect(f"barred-{number}") for number in range(40)]
    for member in members:
        member.may_receive = barred
        bench.subscribe(member, "$share/group/a")
    allowed, sender = bench.connect("allowed"), bench.connect("sender")
    bench.subscribe(allowed, "$share/group/a")

    fan_out = bench.broker.begin(sender, Publish("a", b"m", AT_LEAST_ONCE, packet_id=1), bench.now)
    assert not decisions
    assert not fan_out.run(bench.now, until=0.0)
    assert 0 < len(decisions) < len(members)
    # Members may leave, end their subscription and come back between two slices.
    for member in members[-10:]:
        bench.leave(member)
    bench.broker.unsubscribe(members[20], ["$share/group/a"])
    bench.subscribe(bench.connect("late"), "$share/group/a")
    slices = 1
    while not fan_out.run(bench.now, until=0.0):
        slices += 1
    assert slices > 2
    assert fan_out.code is ReasonCode.SUCCESS
    assert allowed.payloads == [b"m"]
    assert len(decisions) == 29


@pytest.mark.parametrize("stays", [True, False])
def test_a_busy_member_that_leaves_while_others_are_considered_loses_its_turn(stays: bool) -> None:
    bench = Bench(BrokerLimits(queued_messages=1))
    busy, sender = bench.connect("busy"), bench.connect("sender")
    bench.subscribe(busy, "$share/group/a")
    for _ in range(bench.broker._limits.in_flight + 1):
        bench.publish(sender, "a")
    for number in range(20):
        member = bench.connect(f"barred-{number}")
        member.may_receive = lambda topic: False
        bench.subscribe(member, "$share/group/a")
    away = bench.connect("away", expiry=60)
    bench.subscribe(away, "$share/group/a")
    bench.leave(away)

    fan_out = bench.broker.begin(sender, Publish("a", b"last", AT_LEAST_ONCE, packet_id=1), bench.now)
    assert not fan_out.run(bench.now, until=0.0)
    if not stays:
        bench.leave(busy)
    while not fan_out.run(bench.now, until=0.0):
        pass
    # The only other member is away, and gets it later.
    assert bench.connect("away", clean=False, expiry=60).payloads == ([] if stays else [b"last"])


def test_memory_is_reserved_for_a_group_only_while_a_member_needs_it() -> None:
    bench = Bench()
    first, second = bench.connect("first"), bench.connect("second")
    sender = bench.connect("sender")

    def is_reserved() -> bool:
        fan_out = bench.broker.begin(sender, Publish("a", b"m", AT_LEAST_ONCE, packet_id=1), bench.now)
        reserved = fan_out.reserved
        assert fan_out.run(bench.now)
        return reserved > 0

    bench.subscribe(first, "$share/group/a", AT_MOST_ONCE)
    assert not is_reserved()
    bench.subscribe(second, "$share/group/a", AT_LEAST_ONCE)
    assert is_reserved()
    bench.subscribe(second, "$share/group/a", AT_MOST_ONCE)
    assert not is_reserved()
    bench.subscribe(second, "$share/group/a", AT_LEAST_ONCE)
    bench.leave(second)
    assert not is_reserved()
    assert charged_bytes(bench.broker) == reachable_bytes(bench.broker) == (0, 0)


def test_the_last_member_takes_the_group_with_it() -> None:
    bench = Bench()
    first, second = bench.connect("first"), bench.connect("second")
    bench.subscribe(first, "$share/group/a")
    bench.subscribe(second, "$share/group/a")
    bench.broker.unsubscribe(first, ["$share/group/a"])
    bench.publish(first, "a")
    assert (len(first.delivered), len(second.delivered)) == (0, 1)
    bench.leave(second)
    bench.publish(first, "a")
    assert has_no_subscriptions(bench.broker._flow.router)


async def test_the_local_data_plane_is_the_broker_with_a_clock() -> None:
    now = 0.0
    plane: DataPlane = LocalDataPlane(BrokerLimits(), lambda: now)
    device = Device("device")
    opened = await plane.open(device, Connect(ProtocolVersion.MQTT_3_1_1, "device", clean_start=False))
    assert (opened.session_present, opened.session_expiry_interval) == (False, 3600)
    plane.resume(device)
    assert await plane.subscribe(device, [Subscription("a", AT_LEAST_ONCE)]) == (ReasonCode.GRANTED_QOS_1,)
    assert await plane.publish(device, Publish("a", b"m", AT_LEAST_ONCE, packet_id=9)) is ReasonCode.SUCCESS
    (message,) = device.delivered
    plane.acknowledge(device, message.packet_id)
    assert await plane.unsubscribe(device, ["a"]) == (ReasonCode.SUCCESS,)
    await plane.close(device, clean=True)
    now = 3600.0
    plane.advance()
    again = Device("device")
    opened = await plane.open(again, Connect(ProtocolVersion.MQTT_3_1_1, "device", clean_start=False))
    assert not opened.session_present
