"""The memory of the built-in broker: charged once a message, given up by who has most, refused before it is lost."""

import pytest
from tests.support.brokers.broker import (
    AT_LEAST_ONCE,
    Bench,
    Device,
    charged_bytes,
    has_no_subscriptions,
    reachable_bytes,
)
from tests.support.machine.work import calls_of

from thingmint.mqtt.broker.router import TopicRouter
from thingmint.mqtt.codec.packets import ProtocolVersion, Publish, QoS, Will
from thingmint.mqtt.codec.properties import PublishProperties
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.counters import Loss
from thingmint.mqtt.data_plane import Delivery
from thingmint.mqtt.queues.limits import BrokerLimits

LARGE = 100 * 1024
WEEK = 7 * 24 * 3600
VERSIONS = pytest.mark.parametrize("version", list(ProtocolVersion))


def sleepers(bench: Bench, count: int, topic_filter: str = "all/#") -> list[str]:
    """Let so many clients subscribe and leave; return their client ids."""
    names = [f"sleeper{number}" for number in range(count)]
    for name in names:
        device = bench.connect(name, expiry=WEEK)
        bench.subscribe(device, topic_filter)
        bench.subscribe(device, f"only/{name}")
        bench.leave(device)
    return names


def received(bench: Bench, client_id: str) -> list[bytes]:
    """Return what a client gets that comes back."""
    device = bench.connect(client_id, clean=False, expiry=WEEK)
    for _ in range(3):
        bench.wait(1)
        bench.acknowledge(device)
    return device.payloads


@VERSIONS
def test_a_payload_that_waits_for_thousands_is_kept_and_charged_once(version: ProtocolVersion) -> None:
    bench = Bench()
    names = sleepers(bench, 2_000)
    sender = bench.connect("sender", version=version)
    payloads = [bytes([number]) * LARGE for number in range(4)]

    assert [bench.publish(sender, "all/b", payload) for payload in payloads] == [ReasonCode.SUCCESS] * 4

    assert charged_bytes(bench.broker)[0] < 4 * LARGE + 4 * 2_001 * 250
    assert all(received(bench, name) == payloads for name in names)
    assert charged_bytes(bench.broker) == (0, 0)
    assert not bench.losses.counts


@VERSIONS
def test_a_message_for_equals_is_refused_rather_than_pushing_out_theirs(version: ProtocolVersion) -> None:
    bench = Bench(BrokerLimits(queued_bytes_in_all=1_000_000))
    names = sleepers(bench, 50)
    sender = bench.connect("sender", version=version)

    codes = [bench.publish(sender, "all/b", bytes([number]) * LARGE) for number in range(12)]

    taken = codes.count(ReasonCode.SUCCESS)
    assert codes == [ReasonCode.SUCCESS] * taken + [ReasonCode.QUOTA_EXCEEDED] * (12 - taken)
    assert 8 <= taken < 12
    assert bench.losses.counts == {Loss.PUBLISH_WITHOUT_ROOM.value: 12 - taken}
    for name in names:
        assert received(bench, name) == [bytes([number]) * LARGE for number in range(taken)]


def test_a_refused_message_changes_nothing() -> None:
    bench = Bench(BrokerLimits(queued_bytes_in_all=20_000))
    sleepers(bench, 2)
    sender = bench.connect("sender")
    bench.publish(sender, "all/b", b"old", retain=True)
    bench.subscribe(sampler := bench.connect("sampler"), "#", QoS.AT_MOST_ONCE)
    before = charged_bytes(bench.broker)

    assert bench.publish(sender, "all/b", b"x" * 30_000) is ReasonCode.QUOTA_EXCEEDED
    assert bench.publish(sender, "all/b", b"x" * 50, retain=True) is ReasonCode.SUCCESS
    assert charged_bytes(bench.broker) > before
    assert sampler.payloads == [b"x" * 50]


def test_a_client_that_hoards_gives_up_its_oldest_messages_for_one_that_has_little() -> None:
    bench = Bench(BrokerLimits(queued_bytes_in_all=50_000))
    hoarder, modest = sleepers(bench, 2, "nothing")
    sender = bench.connect("sender")
    sent = [b"%03d" % number * 300 for number in range(20)]
    for payload in sent:
        assert bench.publish(sender, f"only/{hoarder}", payload) is ReasonCode.SUCCESS
    left = 50_000 - charged_bytes(bench.broker)[0]

    assert bench.publish(sender, f"only/{modest}", b"m" * (left + 2_000)) is ReasonCode.SUCCESS

    dropped = bench.losses.of(Loss.MADE_ROOM)
    assert 1 <= dropped <= 3
    assert received(bench, hoarder) == sent[dropped:]
    assert len(received(bench, modest)) == 1


def test_the_last_to_make_room_is_what_a_client_has_not_acknowledged_and_it_is_told() -> None:
    bench = Bench(BrokerLimits(queued_bytes_in_all=10_000))
    bench.subscribe(holder := bench.connect("holder", expiry=60), "holder")
    bench.subscribe(other := bench.connect("other", expiry=60), "other")
    for _ in range(3):
        bench.publish(other, "holder", b"x" * 2_000)

    assert bench.publish(other, "other", b"x" * 3_000) is ReasonCode.SUCCESS
    assert len(other.delivered) == 1
    assert holder.ended_with is ReasonCode.QUOTA_EXCEEDED
    assert bench.losses.of(Loss.SUBSCRIBER_LARGEST) == 1
    bench.leave(holder, clean=False)
    assert len(bench.connect("holder", clean=False, expiry=60).delivered) == 3 - bench.losses.of(Loss.MADE_ROOM) > 0


def test_clients_that_keep_the_room_without_progress_are_cut() -> None:
    bench = Bench(BrokerLimits(queued_bytes_in_all=20_000, stuck_seconds=30))
    deaf = [bench.connect(f"deaf{number}") for number in range(6)]
    for device in deaf:
        device.outcome = Delivery.FULL
        bench.subscribe(device, device.client_id)
        bench.publish(device, device.client_id, b"x" * 2_500)
    bench.subscribe(reader := bench.connect("reader"), "reader")

    assert bench.publish(reader, "reader", b"x" * 2_500) is ReasonCode.QUOTA_EXCEEDED
    bench.wait(29)
    assert {device.ended_with for device in deaf} == {None}
    bench.publish(reader, "reader", b"x" * 2_500)
    bench.wait(1)
    assert {device.ended_with for device in deaf} == {ReasonCode.QUOTA_EXCEEDED}
    for device in deaf:
        bench.leave(device, clean=False)
    assert bench.publish(reader, "reader", b"x" * 2_500) is ReasonCode.SUCCESS


def test_a_client_that_stalls_is_cut_as_soon_as_room_is_short_and_one_that_goes_on_is_not() -> None:
    bench = Bench(BrokerLimits(queued_bytes_in_all=20_000, stuck_seconds=30))
    deaf, other = bench.connect("deaf"), bench.connect("other")
    deaf.outcome = Delivery.FULL
    for device in (deaf, other):
        bench.subscribe(device, device.client_id)
        bench.publish(device, device.client_id, b"x" * 2_500)
    for _ in range(4):
        bench.wait(20)
        bench.publish(other, "other", b"x" * 2_500)
        bench.acknowledge(other)
    assert {device.ended_with for device in (deaf, other)} == {None}

    bench.publish(other, "other", b"x" * 2_500)
    assert bench.publish(other, "other", b"x" * 20_000) is ReasonCode.QUOTA_EXCEEDED
    bench.wait(1)
    assert [device.ended_with for device in (deaf, other)] == [ReasonCode.QUOTA_EXCEEDED, None]


def test_time_costs_the_same_however_many_clients_have_unread_messages_while_room_is_short() -> None:
    counts = []
    for clients in (10, 1_000):
        bench = Bench(BrokerLimits(queued_bytes_in_all=2_000_000))
        bench.subscribe(sender := bench.connect("sender"), "sender")
        for number in range(clients):
            bench.subscribe(device := bench.connect(f"deaf{number}"), device.client_id)
            device.outcome = Delivery.FULL
            bench.publish(device, device.client_id, b"x" * 100)
        assert bench.publish(sender, "sender", b"x" * 2_000_000) is ReasonCode.QUOTA_EXCEEDED
        counts.append(calls_of(lambda: bench.wait(1)))  # noqa: B023  called at once
    assert counts[1] <= counts[0] + 5


def test_a_message_that_is_larger_than_all_room_is_refused() -> None:
    bench = Bench(BrokerLimits(queued_bytes_in_all=1_000))
    device = bench.connect("device")
    bench.subscribe(device, "a")
    assert bench.publish(device, "a", b"x" * 1_000) is ReasonCode.QUOTA_EXCEEDED
    assert device.ended_with is None


def test_what_is_retained_and_waits_is_charged_once_and_moves_when_it_is_replaced() -> None:
    bench = Bench()
    names = sleepers(bench, 10)
    sender = bench.connect("sender")
    bench.publish(sender, "all/b", b"x" * LARGE, retain=True)
    queued, retained = charged_bytes(bench.broker)
    assert queued < LARGE < retained

    bench.publish(sender, "all/b", b"", retain=True)
    queued, retained = charged_bytes(bench.broker)
    assert retained == 0
    assert LARGE < queued < 2 * LARGE
    assert all(received(bench, name) == [b"x" * LARGE, b""] for name in names)
    assert charged_bytes(bench.broker) == (0, 0)


def test_a_retained_message_that_is_replaced_where_room_is_short_makes_the_largest_queue_shorter() -> None:
    bench = Bench(BrokerLimits(queued_bytes_in_all=20_000, retained_bytes_in_all=20_000))
    (name,) = sleepers(bench, 1)
    sender = bench.connect("sender")
    for number in range(3):
        bench.publish(sender, f"all/{number}", b"x" * 15_000 if not number else b"x" * 5_000, retain=number == 0)
    bench.publish(sender, "all/0", b"", retain=True)

    assert charged_bytes(bench.broker)[0] <= 20_000
    assert charged_bytes(bench.broker) == reachable_bytes(bench.broker)
    assert bench.losses.of(Loss.MADE_ROOM) >= 1
    assert received(bench, name)[-1] == b""


def test_wills_are_charged_and_refused_where_there_is_no_room() -> None:
    bench = Bench(BrokerLimits(queued_bytes_in_all=50_000))
    will = Will("wills", b"x" * 20_000, AT_LEAST_ONCE)
    first = bench.connect("first", will=will)
    bench.connect("second", will=will)
    with pytest.raises(PacketRefused) as refused:
        bench.open(Device("third"), will=will)
    assert refused.value.reason_code is ReasonCode.QUOTA_EXCEEDED
    assert bench.losses.of(Loss.WILL_REFUSED) == 1
    assert "third" not in bench.broker._sessions

    bench.leave(first)
    bench.connect("third", will=will)
    assert charged_bytes(bench.broker) == reachable_bytes(bench.broker)


def test_a_will_that_finds_no_room_is_counted() -> None:
    bench = Bench(BrokerLimits(queued_bytes_in_all=50_000))
    names = sleepers(bench, 200)
    assert len(names) == 200
    device = bench.connect("device", will=Will("all/wills", b"gone", AT_LEAST_ONCE))
    sender = bench.connect("sender")
    while bench.publish(sender, "all/b", b"x" * 100) is ReasonCode.SUCCESS:
        pass
    bench.leave(device, clean=False)
    assert bench.losses.of(Loss.WILL_WITHOUT_ROOM) == 1
    assert charged_bytes(bench.broker) == reachable_bytes(bench.broker)


def test_a_retained_message_that_a_subscriber_has_no_room_for_is_counted() -> None:
    bench = Bench(BrokerLimits(queued_bytes_in_all=2_000, queued_messages=1))
    sender = bench.connect("sender")
    for topic in ("a", "b"):
        bench.publish(sender, topic, b"kept", retain=True)
    bench.publish(sender, "c", b"kept", QoS.AT_MOST_ONCE, retain=True)
    device = bench.connect("device")
    device.receive_window = 0
    bench.subscribe(device, "a")
    bench.subscribe(device, "b")
    assert bench.losses.of(Loss.QUEUE_FULL) == 1
    bench.subscribe(device, "c")
    other = bench.connect("other", will=Will("w", b"x" * 1_000))
    other.receive_window = 0
    bench.subscribe(other, "a")
    assert bench.losses.of(Loss.NO_ROOM_FOR_RETAINED_COPY) == 1
    assert device.payloads == []


def test_every_message_that_is_not_delivered_is_counted() -> None:
    bench = Bench()
    bench.subscribe(device := bench.connect("device"), "a")
    expiring = PublishProperties(message_expiry_interval=5)
    device.receive_window = 0
    bench.send(device, Publish("a", b"m", AT_LEAST_ONCE, packet_id=1, properties=expiring))
    bench.now += 6
    device.receive_window = 9
    bench.resume(device)
    device.outcome = Delivery.TOO_LARGE
    for qos in (QoS.AT_MOST_ONCE, AT_LEAST_ONCE):
        bench.publish(device, "a", qos=qos)
    device.may_receive = lambda topic: False
    for qos in (QoS.AT_MOST_ONCE, AT_LEAST_ONCE):
        bench.publish(device, "a", qos=qos)
    device.may_receive, device.outcome = (lambda topic: True), Delivery.FULL
    for qos in (QoS.AT_MOST_ONCE, AT_LEAST_ONCE):
        bench.publish(device, "a", qos=qos)
    bench.leave(device)

    assert bench.losses.counts == {
        Loss.EXPIRED.value: 1,
        Loss.TOO_LARGE_FOR_CLIENT.value: 2,
        Loss.NOT_ALLOWED.value: 2,
        Loss.SESSION_ENDED.value: 2,
    }
    assert charged_bytes(bench.broker) == (0, 0)


# Costs, in steps


def full_of(sessions: int) -> tuple[Bench, Device]:
    bench = Bench(BrokerLimits(queued_bytes_in_all=sessions * 2_000))
    names = sleepers(bench, sessions, "nothing")
    sender = bench.connect("sender")
    for number in range(10):
        for name in names:
            bench.publish(sender, f"only/{name}", b"x" * 1_000)
            if bench.losses.counts:
                return bench, sender
        assert number < 9
    raise AssertionError("the room is not full")


def test_a_publish_costs_the_same_in_a_full_room_however_many_queues_there_are() -> None:
    counts = []
    for sessions in (100, 3_000):
        bench, sender = full_of(sessions)
        counts.append(
            [
                calls_of(lambda: bench.publish(sender, f"only/sleeper{number}", b"x" * 500))  # noqa: B023  called at once
                for number in range(50)
            ]
        )
    few, many = (sum(each) for each in counts)
    assert many <= 1.2 * few
    assert max(counts[1]) <= 2 * max(counts[0])


def test_time_costs_the_same_however_many_clients_are_away() -> None:
    counts = []
    for sessions in (10, 2_000):
        bench = Bench()
        sleepers(bench, sessions)
        bench.wait(1)
        counts.append(calls_of(lambda: bench.wait(1)))  # noqa: B023  called at once
    assert counts[1] <= counts[0] + 5


@pytest.mark.parametrize("absent", [0, 500])
def test_a_message_to_a_shared_subscription_costs_the_same_however_many_members_it_has(absent: int) -> None:
    counts = []
    for members in (10, 1_000):
        bench = Bench()
        for number in range(absent):
            bench.subscribe(away := bench.connect(f"absent{number}", expiry=60), "$share/group/a")
            bench.leave(away)
        devices = [bench.connect(f"member{number}") for number in range(members)]
        for device in devices:
            bench.subscribe(device, "$share/group/a")
        sender = bench.connect("sender")
        bench.publish(sender, "a")
        counts.append([calls_of(lambda: bench.publish(sender, "a")) for _ in range(members)])  # noqa: B023  called at once
        assert sorted(len(device.delivered) for device in devices) == [1] * (members - 1) + [2]
    assert max(counts[1]) <= max(counts[0]) + 5


def test_members_that_may_not_receive_or_do_not_read_are_passed_over() -> None:
    bench = Bench(BrokerLimits(queued_messages=1))
    barred = [bench.connect(f"barred{number}") for number in range(100)]
    for device in barred:
        device.may_receive = lambda topic: False
    deaf, first, second = (bench.connect(name) for name in ("deaf", "first", "second"))
    deaf.outcome = Delivery.FULL
    for device in (*barred, deaf, first, second):
        bench.subscribe(device, "$share/group/a")
    sender = bench.connect("sender")
    for _ in range(9):
        assert bench.publish(sender, "a") is ReasonCode.SUCCESS
    assert [len(device.delivered) for device in (first, second)] == [4, 4]
    assert bench.losses.of(Loss.QUEUE_FULL) == 0


def test_a_member_that_comes_back_has_its_turn_and_the_group_is_forgotten_with_the_last() -> None:
    bench = Bench()
    bench.subscribe(first := bench.connect("first", expiry=60), "$share/group/a")
    bench.subscribe(second := bench.connect("second"), "$share/group/a")
    bench.leave(first)
    bench.publish(second, "a", b"1")
    again = bench.connect("first", clean=False, expiry=60)
    for payload in (b"2", b"3"):
        bench.publish(second, "a", payload)
    assert (again.payloads, second.payloads) == ([b"3"], [b"1", b"2"])
    bench.broker.unsubscribe(again, ["$share/group/a"])
    bench.leave(second)
    router: TopicRouter = bench.broker._flow.router
    assert has_no_subscriptions(router)


def test_the_service_learns_that_nobody_has_room_for_its_message() -> None:
    bench = Bench(BrokerLimits(queued_messages=1))
    sleepers(bench, 1)
    message = Publish("all/b", b"m", AT_LEAST_ONCE)
    codes = [bench.broker.publish(None, message, bench.now) for _ in range(2)]
    assert codes == [ReasonCode.SUCCESS, ReasonCode.QUOTA_EXCEEDED]
    assert bench.broker.publish(None, Publish("nobody", b"m", AT_LEAST_ONCE), bench.now) is ReasonCode.SUCCESS
