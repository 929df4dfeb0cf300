"""Sessions, wills and retained messages of the built-in broker, and the bounds of all three."""

import pytest
from tests.support.brokers.broker import AT_LEAST_ONCE, Bench, Device, has_no_subscriptions

from thingmint.mqtt.codec.packets import ProtocolVersion, Publish, QoS, RetainHandling, Subscribe, Subscription, Will
from thingmint.mqtt.codec.properties import PublishProperties, SubscribeProperties, WillProperties
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.counters import Loss
from thingmint.mqtt.data_plane import Delivery
from thingmint.mqtt.queues.limits import BrokerLimits, check_subscribe

V3, V5 = ProtocolVersion
NEVER = 0xFFFF_FFFF
WEEK = 7 * 24 * 3600


def sessions_of(bench: Bench) -> set[str]:
    return set(bench.broker._sessions)


# Sessions


@pytest.mark.parametrize(
    ("version", "clean", "asked", "granted"),
    [
        (V3, True, None, 0),
        (V3, False, None, 3600),
        (V5, True, None, 0),
        (V5, False, None, 0),
        (V5, True, 60, 60),
        (V5, False, WEEK, WEEK),
        (V5, False, NEVER, WEEK),
    ],
)
def test_a_session_is_granted_for_a_time(
    version: ProtocolVersion, clean: bool, asked: int | None, granted: int
) -> None:
    opened = Bench().open(Device("device", version), clean=clean, expiry=asked)
    assert (opened.session_present, opened.session_expiry_interval) == (False, granted)


def test_a_session_keeps_subscriptions_and_qos_1_messages() -> None:
    bench = Bench()
    bench.subscribe(first := bench.connect("device", version=V3, clean=False), "a")
    bench.leave(first)
    sender = bench.connect("sender")
    bench.publish(sender, "a", b"stored")
    bench.publish(sender, "a", b"lost", QoS.AT_MOST_ONCE)
    device = bench.connect("device", version=V3, clean=False)
    bench.publish(sender, "a", b"live")
    assert device.payloads == [b"stored", b"live"]


def test_a_session_ends_with_its_time() -> None:
    bench = Bench()
    bench.subscribe(device := bench.connect("device", expiry=60), "a")
    bench.leave(device)
    bench.wait(59)
    assert bench.open(Device("device"), clean=False, expiry=60).session_present
    bench.leave(bench.connect("device", clean=False, expiry=60))
    bench.wait(60)
    assert not bench.open(Device("device"), clean=False).session_present
    assert has_no_subscriptions(bench.broker._flow.router)


def test_a_clean_start_ends_the_session_before() -> None:
    bench = Bench()
    bench.subscribe(first := bench.connect("device", expiry=60), "a")
    bench.leave(first)
    bench.publish(bench.connect("sender"), "a")
    device = Device("device")
    assert not bench.open(device, clean=True).session_present
    bench.resume(device)
    assert not device.delivered
    assert has_no_subscriptions(bench.broker._flow.router)


def test_a_session_without_expiry_ends_with_its_connection() -> None:
    bench = Bench()
    bench.subscribe(device := bench.connect("device", clean=False), "a")
    bench.leave(device)
    assert not sessions_of(bench)


def test_the_versions_do_not_share_a_session() -> None:
    bench = Bench()
    bench.leave(bench.connect("device", version=V3, clean=False))
    assert not bench.open(Device("device", V5), clean=False, expiry=60).session_present


@pytest.mark.parametrize(("first", "said", "lasts"), [(60, 0, 0), (60, 120, 120), (60, NEVER, WEEK), (None, 60, 0)])
def test_a_farewell_may_change_how_long_the_session_lasts(first: int | None, said: int, lasts: int) -> None:
    bench = Bench()
    device = bench.connect("device", expiry=first)
    bench.broker.close(device, bench.now, clean=True, session_expiry_interval=said)
    if lasts:
        bench.wait(lasts - 1)
        assert sessions_of(bench) == {"device"}
    bench.wait(1)
    assert not sessions_of(bench)


def test_an_unacknowledged_message_comes_again_first_as_a_duplicate_under_its_identifier() -> None:
    bench = Bench()
    device = bench.connect("device", expiry=60)
    device.receive_window = 2
    bench.subscribe(device, "a")
    for number in range(3):
        bench.publish(device, "a", b"%d" % number)
    first, second = device.take()
    bench.broker.acknowledge(device, first.packet_id, bench.now)
    third = device.take()[0]
    bench.leave(device, clean=False)
    again = bench.connect("device", clean=False, expiry=60)
    assert [(message.payload, message.packet_id, message.dup) for message in again.delivered] == [
        (b"1", second.packet_id, True),
        (b"2", third.packet_id, True),
    ]
    bench.publish(again, "a", b"3")
    assert again.delivered[-1].packet_id not in (second.packet_id, third.packet_id)
    assert not again.delivered[-1].dup


def test_stored_messages_come_ten_in_a_second_before_what_is_new() -> None:
    bench = Bench()
    bench.subscribe(first := bench.connect("device", expiry=60), "a")
    bench.leave(first)
    sender = bench.connect("sender")
    for number in range(25):
        bench.publish(sender, "a", b"%d" % number)
    device = bench.connect("device", clean=False, expiry=60)
    bench.publish(sender, "a", b"new")
    counts = [len(device.delivered)]
    for _ in range(3):
        bench.wait(1)
        bench.resume(device)
        counts.append(len(device.delivered))
    assert counts == [10, 20, 26, 26]
    assert device.payloads == [*(b"%d" % number for number in range(25)), b"new"]


def test_new_messages_do_not_wait_for_ever_behind_stored_ones() -> None:
    bench = Bench(BrokerLimits(live_wait_seconds=10))
    bench.subscribe(first := bench.connect("device", expiry=60), "a")
    bench.leave(first)
    sender = bench.connect("sender")
    for number in range(1_000):
        bench.publish(sender, "a", b"%d" % number)
    device = bench.connect("device", clean=False, expiry=60)
    for _ in range(20):
        bench.wait(1)
        bench.acknowledge(device)
        device.delivered = device.delivered[-200:]
    assert device.delivered[-1].payload == b"209", "ten a second, as long as nothing new waits"
    bench.publish(sender, "a", b"new")
    for _ in range(10):
        bench.wait(1)
        bench.acknowledge(device)
    rounds = 0
    while device.payloads[-1] != b"new":
        bench.acknowledge(device)
        rounds += 1
        assert rounds < 100
    assert device.payloads[-3:] == [b"998", b"999", b"new"], "the order is kept"


def test_another_connection_takes_the_client_id_over() -> None:
    bench = Bench()
    bench.subscribe(first := bench.connect("device", expiry=60), "a")
    second = Device("device")
    assert bench.open(second, clean=False, expiry=60).session_present
    bench.resume(second)
    assert first.ended_with is ReasonCode.SESSION_TAKEN_OVER
    bench.leave(first, clean=False)
    bench.publish(second, "a")
    assert (len(first.delivered), len(second.delivered)) == (0, 1)


def test_a_session_without_expiry_cannot_be_taken_over() -> None:
    bench = Bench()
    bench.subscribe(bench.connect("device"), "a")
    assert not bench.open(Device("device"), clean=False).session_present
    assert has_no_subscriptions(bench.broker._flow.router)


def test_a_connection_that_was_taken_over_has_no_say() -> None:
    bench = Bench()
    first = bench.connect("device", expiry=60)
    second = bench.connect("device", clean=False, expiry=60)
    bench.subscribe(second, "a")
    assert bench.broker.subscribe(first, [Subscription("b")], bench.now) == (ReasonCode.UNSPECIFIED_ERROR,)
    assert bench.broker.unsubscribe(first, ["a"]) == (ReasonCode.SUCCESS,)
    bench.publish(second, "a")
    bench.broker.acknowledge(first, second.delivered[0].packet_id, bench.now)
    bench.resume(first)
    bench.leave(second)
    again = bench.connect("device", clean=False, expiry=60)
    assert [message.dup for message in again.delivered] == [True]


# Wills

WILL = Will("wills/device", b"gone", AT_LEAST_ONCE)


def will(delay: int | None = None, *, retain: bool = False, qos: QoS = AT_LEAST_ONCE) -> Will:
    return Will("wills/device", b"gone", qos, retain, WillProperties(will_delay_interval=delay))


def listening() -> tuple[Bench, Device]:
    bench = Bench()
    listener = bench.connect("listener")
    bench.subscribe(listener, "wills/+")
    return bench, listener


def test_a_will_is_published_for_a_client_that_vanishes() -> None:
    bench, listener = listening()
    bench.leave(bench.connect("device", will=will()), clean=False)
    assert [(message.topic, message.payload, message.qos) for message in listener.delivered] == [
        ("wills/device", b"gone", AT_LEAST_ONCE)
    ]


def test_a_client_that_leaves_cleanly_has_no_will() -> None:
    bench, listener = listening()
    bench.leave(bench.connect("device", will=will(), expiry=60))
    bench.wait(60)
    assert not listener.delivered


def test_a_will_carries_its_properties_and_may_be_retained() -> None:
    bench, _ = listening()
    properties = WillProperties(
        message_expiry_interval=100,
        payload_format_indicator=True,
        content_type="text",
        response_topic="answers",
        correlation_data=b"7",
        user_properties=(("key", "value"),),
    )
    bench.leave(bench.connect("device", will=Will("wills/device", b"gone", QoS(2), True, properties)), clean=False)
    later = bench.connect("later")
    bench.subscribe(later, "wills/device")
    assert later.delivered == [
        Publish(
            "wills/device",
            b"gone",
            AT_LEAST_ONCE,
            True,
            packet_id=1,
            properties=PublishProperties(
                payload_format_indicator=True,
                message_expiry_interval=100,
                response_topic="answers",
                correlation_data=b"7",
                user_properties=(("key", "value"),),
                content_type="text",
            ),
        )
    ]


@pytest.mark.parametrize(("delay", "expiry", "due"), [(10, 60, 10), (60, 10, 10), (10, 10, 10)])
def test_a_will_waits_for_its_delay_or_the_end_of_the_session(delay: int, expiry: int, due: int) -> None:
    bench, listener = listening()
    bench.leave(bench.connect("device", will=will(delay), expiry=expiry), clean=False)
    bench.wait(due - 1)
    assert not listener.delivered
    bench.wait(1)
    assert listener.payloads == [b"gone"]
    bench.wait(100)
    assert listener.payloads == [b"gone"]


def test_a_will_without_a_session_does_not_wait() -> None:
    bench, listener = listening()
    bench.leave(bench.connect("device", will=will(10)), clean=False)
    assert listener.payloads == [b"gone"]


def test_a_client_that_returns_in_time_takes_its_will_back() -> None:
    bench, listener = listening()
    bench.leave(bench.connect("device", will=will(10), expiry=60), clean=False)
    bench.wait(9)
    bench.connect("device", clean=False, expiry=60)
    bench.wait(100)
    assert not listener.delivered


def test_a_client_that_returns_with_a_clean_start_ends_the_session_and_its_will_is_published() -> None:
    bench, listener = listening()
    bench.leave(bench.connect("device", will=will(10), expiry=60), clean=False)
    bench.connect("device")
    assert listener.payloads == [b"gone"]


def test_taking_over_publishes_a_will_without_delay_and_keeps_one_with_delay() -> None:
    bench, listener = listening()
    bench.connect("device", will=will(), expiry=60)
    bench.connect("device", will=will(10), clean=False, expiry=60)
    assert listener.payloads == [b"gone"]
    bench.connect("device", clean=False, expiry=60)
    bench.wait(100)
    assert listener.payloads == [b"gone"]


@pytest.mark.parametrize("topic", ["$aws/certificates/create/json", "/" * 8])
def test_a_will_on_a_reserved_or_invalid_topic_is_refused_and_no_session_begins(topic: str) -> None:
    bench = Bench()
    with pytest.raises(PacketRefused) as refused:
        bench.open(Device("device"), will=Will(topic, b"gone"))
    assert refused.value.reason_code is ReasonCode.TOPIC_NAME_INVALID
    assert not sessions_of(bench)


# Retained messages


def retaining(payload: bytes = b"kept", qos: QoS = AT_LEAST_ONCE) -> tuple[Bench, Device]:
    bench = Bench()
    sender = bench.connect("sender")
    assert bench.publish(sender, "a/b", payload, qos, retain=True) is ReasonCode.SUCCESS
    return bench, sender


@pytest.mark.parametrize("qos", [QoS.AT_MOST_ONCE, AT_LEAST_ONCE])
def test_a_retained_message_awaits_the_subscriber(qos: QoS) -> None:
    bench, _ = retaining(qos=qos)
    device = bench.connect("device")
    bench.broker.subscribe(device, [Subscription("a/b", AT_LEAST_ONCE)], bench.now)
    assert not device.delivered
    bench.resume(device)
    assert device.delivered == [Publish("a/b", b"kept", qos, True, packet_id=int(qos))]


@pytest.mark.parametrize("topic_filter", ["a/+", "#", "$share/group/a/b", "a"])
def test_wildcards_and_shared_subscriptions_get_no_retained_message(topic_filter: str) -> None:
    bench, _ = retaining()
    device = bench.connect("device")
    bench.subscribe(device, topic_filter)
    assert not device.delivered


def test_the_latest_retained_message_counts_and_an_empty_one_deletes_it() -> None:
    bench, sender = retaining()
    bench.publish(sender, "a/b", b"newer", retain=True)
    bench.subscribe(first := bench.connect("first"), "a/b")
    bench.publish(sender, "a/b", b"", retain=True)
    bench.publish(sender, "a/never", b"", retain=True)
    bench.subscribe(second := bench.connect("second"), "a/b")
    assert first.payloads == [b"newer", b""]
    assert not second.delivered


def test_who_is_subscribed_already_sees_retain_only_as_it_asked_for() -> None:
    bench = Bench()
    plain, as_published = bench.connect("plain"), bench.connect("as published")
    bench.subscribe(plain, "a")
    bench.subscribe_as(as_published, Subscription("a", retain_as_published=True))
    bench.publish(plain, "a", retain=True)
    bench.publish(plain, "a")
    assert [message.retain for message in plain.delivered] == [False, False]
    assert [message.retain for message in as_published.delivered] == [True, False]


@pytest.mark.parametrize(
    ("handling", "counts"),
    [(RetainHandling.ALWAYS, [1, 2]), (RetainHandling.ONLY_IF_NEW, [1, 1]), (RetainHandling.NEVER, [0, 0])],
)
def test_a_subscription_says_whether_it_wants_retained_messages(handling: RetainHandling, counts: list[int]) -> None:
    bench, _ = retaining()
    device = bench.connect("device")
    counted = []
    for _ in counts:
        bench.subscribe_as(device, Subscription("a/b", retain_handling=handling))
        counted.append(len(device.delivered))
    assert counted == counts


def test_a_retained_message_expires() -> None:
    bench = Bench()
    sender = bench.connect("sender")
    properties = PublishProperties(message_expiry_interval=10)
    bench.send(sender, Publish("a", b"kept", retain=True, properties=properties))
    bench.wait(4)
    bench.subscribe(early := bench.connect("early"), "a")
    bench.wait(6)
    bench.subscribe(late := bench.connect("late"), "a")
    assert [message.properties.message_expiry_interval for message in early.delivered] == [6]
    assert not late.delivered


def test_a_retained_message_of_qos_0_that_was_not_sent_is_not_for_the_next_connection() -> None:
    bench, _ = retaining(qos=QoS.AT_MOST_ONCE)
    device = bench.connect("device", expiry=60)
    device.outcome = Delivery.FULL
    bench.subscribe(device, "a/b")
    bench.leave(device)
    assert not bench.connect("device", clean=False, expiry=60).delivered
    assert bench.broker._flow.memory.queued.left == BrokerLimits().queued_bytes_in_all


# Bounds


def test_a_connection_has_fifty_subscriptions_its_own_filters_included() -> None:
    bench = Bench()
    device = bench.connect("device")
    device.own_filters = 2
    codes = [bench.subscribe(device, f"a/{number}") for number in range(49)]
    assert codes == [ReasonCode.GRANTED_QOS_1] * 48 + [ReasonCode.QUOTA_EXCEEDED]
    assert bench.subscribe(device, "a/0", QoS.AT_MOST_ONCE) is ReasonCode.GRANTED_QOS_0
    bench.publish(device, "a/48")
    assert not device.delivered


def test_a_subscribe_with_too_many_filters_ends_the_connection() -> None:
    check_subscribe(Subscribe(1, (Subscription("a"),) * 8))
    with pytest.raises(PacketRefused) as refused:
        check_subscribe(Subscribe(1, (Subscription("a"),) * 9))
    assert refused.value.reason_code is ReasonCode.QUOTA_EXCEEDED


def test_a_subscription_identifier_ends_the_connection() -> None:
    with pytest.raises(PacketRefused) as refused:
        check_subscribe(Subscribe(1, (Subscription("a"),), SubscribeProperties(subscription_identifier=1)))
    assert refused.value.reason_code is ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED


def test_a_client_that_does_not_read_loses_its_connection_after_a_time_and_keeps_its_messages() -> None:
    bench = Bench(BrokerLimits(queued_messages=3, stuck_seconds=30))
    device = bench.connect("device", expiry=60)
    bench.subscribe(device, "a")
    sender = bench.connect("sender", version=V3)
    device.outcome = Delivery.FULL
    for number in range(5):
        bench.publish(sender, "a", b"%d" % number)
    assert bench.losses.of(Loss.QUEUE_FULL) == 2
    ended = []
    for seconds in (29, 1):
        bench.wait(seconds)
        ended.append(device.ended_with)
    assert ended == [None, ReasonCode.QUOTA_EXCEEDED]
    assert bench.losses.of(Loss.SUBSCRIBER_STUCK) == 1
    device.outcome = Delivery.WRITTEN
    bench.resume(device)
    bench.publish(sender, "a", b"late", QoS.AT_MOST_ONCE)
    assert not device.delivered
    bench.leave(device, clean=False)
    assert bench.connect("device", clean=False, expiry=60).payloads == [b"0", b"1", b"2"]


def test_a_client_that_acknowledges_slowly_keeps_its_connection() -> None:
    bench = Bench(BrokerLimits(queued_messages=3, stuck_seconds=30))
    device = bench.connect("device")
    device.receive_window = 1
    bench.subscribe(device, "a")
    sender = bench.connect("sender", version=V3)
    for _ in range(10):
        for _ in range(10):
            bench.publish(sender, "a")
        bench.broker.acknowledge(device, device.delivered[-1].packet_id, bench.now)
        bench.wait(29)
    assert device.ended_with is None
    assert len(device.delivered) == 11


def test_a_client_whose_queue_has_emptied_is_not_cut_for_having_been_full() -> None:
    bench = Bench(BrokerLimits(queued_messages=1, stuck_seconds=30))
    device = bench.connect("device")
    device.receive_window = 1
    bench.subscribe(device, "a")
    for _ in range(3):
        bench.publish(device, "a")
    bench.acknowledge(device)
    bench.acknowledge(device)
    for _ in range(100):
        bench.wait(1)
    assert device.ended_with is None


def test_a_burst_is_delivered_as_far_as_it_fits_and_the_reader_stays() -> None:
    bench = Bench()
    reader = bench.connect("reader")
    bench.subscribe(reader, "#")
    senders = [bench.connect(f"sender{number}", will=will()) for number in range(2_000)]
    for sender in senders:
        assert bench.publish(sender, f"reports/{sender.client_id}", b"x" * 1_000) is ReasonCode.SUCCESS
    for sender in senders:
        bench.leave(sender, clean=False)
    heard: list[Publish] = []
    while taken := reader.take():
        heard += taken
        for message in taken:
            bench.broker.acknowledge(reader, message.packet_id, bench.now)
    assert reader.ended_with is None
    assert len(heard) == 4_000
    assert [message.topic for message in heard[:2_000]] == [f"reports/sender{number}" for number in range(2_000)]


def test_a_connection_that_is_ending_already_is_taken_over_without_another_word() -> None:
    bench = Bench(BrokerLimits(queued_messages=1, stuck_seconds=1))
    device = bench.connect("device", expiry=60)
    device.receive_window = 0
    bench.subscribe(device, "a")
    bench.publish(device, "a", b"1")
    bench.publish(device, "a", b"2")
    bench.wait(1)
    again = bench.connect("device", clean=False, expiry=60)
    assert device.ended_with is ReasonCode.QUOTA_EXCEEDED
    assert again.payloads == [b"1"]


def test_the_bytes_that_wait_for_one_client_are_bounded() -> None:
    bench = Bench(BrokerLimits(queued_bytes=10_000))
    device = bench.connect("device")
    device.receive_window = 0
    bench.subscribe(device, "a")
    codes = [bench.publish(device, "a", b"x" * 9_000) for _ in range(3)]
    assert codes == [ReasonCode.SUCCESS, ReasonCode.SUCCESS, ReasonCode.QUOTA_EXCEEDED]
    device.receive_window = 10
    bench.resume(device)
    assert len(device.delivered) == 2


@pytest.mark.parametrize(
    "properties",
    [
        PublishProperties(user_properties=(("", ""),) * 100),
        PublishProperties(user_properties=(("x" * 9_000, "x" * 9_000),)),
        PublishProperties(correlation_data=b"x" * 9_000),
        PublishProperties(content_type="x" * 9_000, response_topic="x" * 9_000),
    ],
)
def test_properties_count_as_bytes_that_wait(properties: PublishProperties) -> None:
    bench = Bench(BrokerLimits(queued_bytes=10_000))
    device = bench.connect("device")
    device.receive_window = 0
    bench.subscribe(device, "a")
    codes = [
        bench.send(device, Publish("a", b"m", AT_LEAST_ONCE, packet_id=1, properties=properties)) for _ in range(3)
    ]
    assert codes[-1] is ReasonCode.QUOTA_EXCEEDED


@pytest.mark.parametrize(("version", "answered"), [(V3, ReasonCode.SUCCESS), (V5, ReasonCode.QUOTA_EXCEEDED)])
def test_who_publishes_in_mqtt_5_learns_that_no_receiver_has_room_of_its_own(
    version: ProtocolVersion, answered: ReasonCode
) -> None:
    bench = Bench(BrokerLimits(queued_messages=1))
    bench.subscribe(away := bench.connect("away", expiry=60), "a")
    bench.leave(away)
    sender = bench.connect("sender", version=version)
    assert bench.publish(sender, "a", b"1") is ReasonCode.SUCCESS
    assert bench.publish(sender, "a", b"2") is answered
    bench.subscribe(bench.connect("reader"), "a")
    assert bench.publish(sender, "a", b"3") is ReasonCode.SUCCESS
    assert bench.losses.of(Loss.QUEUE_FULL) == 2
    assert bench.connect("away", clean=False, expiry=60).payloads == [b"1"]


def test_a_client_that_is_away_or_replaying_loses_what_does_not_fit() -> None:
    bench = Bench(BrokerLimits(queued_messages=15))
    bench.subscribe(first := bench.connect("device", expiry=60), "a")
    bench.leave(first)
    sender = bench.connect("sender", version=V3)
    for number in range(20):
        bench.publish(sender, "a", b"%d" % number)
    device = bench.connect("device", clean=False, expiry=60)
    for _ in range(20):
        bench.publish(sender, "a", b"new")
    assert device.ended_with is None
    bench.wait(1)
    assert device.payloads == [*(b"%d" % number for number in range(15)), *[b"new"] * 10]


def test_who_has_been_away_longest_makes_room() -> None:
    bench = Bench(BrokerLimits(offline_sessions=2))
    for client_id in ("first", "second", "third"):
        bench.leave(bench.connect(client_id, expiry=60))
    assert sessions_of(bench) == {"second", "third"}


def test_retained_messages_are_bounded_in_number_and_bytes_and_expired_ones_make_room() -> None:
    bench = Bench(BrokerLimits(retained_messages=2, retained_bytes_in_all=5_000))
    device = bench.connect("device")
    expiring = PublishProperties(message_expiry_interval=10)
    bench.send(device, Publish("a", b"1", retain=True, properties=expiring))
    assert bench.publish(device, "b", b"2", retain=True) is ReasonCode.SUCCESS
    bench.subscribe(listener := bench.connect("listener"), "#")
    assert bench.publish(device, "c", b"3", retain=True) is ReasonCode.QUOTA_EXCEEDED
    assert not listener.delivered
    assert bench.publish(device, "b", b"x" * 4_500, retain=True) is ReasonCode.QUOTA_EXCEEDED
    assert bench.publish(device, "b", b"x" * 3_000, retain=True) is ReasonCode.SUCCESS
    bench.wait(10)
    assert bench.publish(device, "c", b"3", retain=True) is ReasonCode.SUCCESS


def test_nothing_is_left_when_everyone_has_gone() -> None:
    bench = Bench()
    for number in range(5):
        device = bench.connect(f"device{number}", expiry=60, will=will(30))
        bench.subscribe(device, "a/#")
        bench.subscribe(device, "$share/group/a/+")
        bench.publish(device, "a/b")
        bench.leave(device, clean=False)
    bench.wait(30)
    bench.wait(30)
    assert not sessions_of(bench)
    assert not bench.broker._away
    assert has_no_subscriptions(bench.broker._flow.router)
    assert bench.broker._flow.memory.queued.left == BrokerLimits().queued_bytes_in_all
