"""The relay before a broker of the test's own, which grants little, answers oddly or breaks the protocol."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.support.brokers.broker import SCOPE, Device, Losses
from tests.support.brokers.scripted_broker import ACCEPTED, ScriptedBroker, scripted_broker, until

from thingmint.mqtt.codec.packets import (
    ClientPacket,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    ProtocolVersion,
    Puback,
    Publish,
    QoS,
    ServerPacket,
    Suback,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from thingmint.mqtt.codec.properties import ConnackProperties, ConnectProperties, PublishProperties
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.counters import Counters, Loss, Traffic
from thingmint.mqtt.data_plane import Delivery
from thingmint.mqtt.relay.brokers.spec import one_broker
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.relay import RelayDataPlane

V3, V5 = ProtocolVersion.MQTT_3_1_1, ProtocolVersion.MQTT_5
AT_LEAST_ONCE = QoS.AT_LEAST_ONCE
MESSAGE = Publish("a/b", b"payload", AT_LEAST_ONCE, packet_id=5)
LIMITS = RelayLimits(answer_seconds=0.05, open_seconds=5.0, leave_seconds=0.2)


Scene = Callable[[ScriptedBroker, RelayDataPlane, Device], Awaitable[None]]


def play(scene: Scene, *, connack: Connack = ACCEPTED, connects: bool = True, counters: Counters | None = None) -> None:
    """Run a scene with a broker, a relay and a device, which is connected unless the scene does that."""

    async def played() -> None:
        async with scripted_broker() as broker:
            broker.connack = connack
            brokers, device = one_broker(f"unix:{broker.path}", SCOPE, V5), Device("device")
            relay = RelayDataPlane(brokers, LIMITS, counters)
            if connects:
                await relay.open(device, Connect(V5, "device"))
                relay.resume(device)
            await scene(broker, relay, device)
            await relay.close(device, clean=True)
            await relay.close(device, clean=True)

    asyncio.run(played())


def test_connect_asks_for_what_the_device_and_aws_allow() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        will = Will("last/will", b"gone")
        properties = ConnectProperties(session_expiry_interval=10**9, maximum_packet_size=1000)
        opened = await relay.open(device, Connect(V5, "", False, 1200, will, properties=properties))
        assert (opened.session_present, opened.session_expiry_interval) == (False, 7 * 24 * 3600)
        (asked,) = broker.heard
        assert asked == Connect(
            V5,
            "device",
            False,
            300,
            will,
            str(device.principal_id),
            properties=ConnectProperties(
                session_expiry_interval=7 * 24 * 3600, receive_maximum=100, maximum_packet_size=1000
            ),
        )

    play(scene, connects=False)


@pytest.mark.parametrize(("clean", "expiry"), [(True, 0), (False, 3600)])
def test_session_of_3_1_1_lasts_as_long_as_at_aws(clean: bool, expiry: int) -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        device.version = V3
        assert (await relay.open(device, Connect(V3, "device", clean))).session_expiry_interval == expiry
        (asked,) = broker.heard
        assert isinstance(asked, Connect)
        assert asked.properties.session_expiry_interval == expiry

    play(scene, connects=False)


def test_broker_may_grant_a_shorter_session() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        opened = await relay.open(device, Connect(V3, "device", False))
        assert (opened.session_present, opened.session_expiry_interval) == (True, 60)

    properties = ConnackProperties(session_expiry_interval=60)
    play(scene, connack=Connack(True, ReasonCode.SUCCESS, properties), connects=False)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (ReasonCode.NOT_AUTHORIZED, ReasonCode.NOT_AUTHORIZED),
        (ReasonCode.QUOTA_EXCEEDED, ReasonCode.QUOTA_EXCEEDED),
        (ReasonCode.BAD_USER_NAME_OR_PASSWORD, ReasonCode.SERVER_UNAVAILABLE),
        (ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, ReasonCode.SERVER_UNAVAILABLE),
    ],
)
def test_refusal_of_the_broker_is_the_devices_if_it_is_about_the_device(code: ReasonCode, told: ReasonCode) -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        with pytest.raises(PacketRefused) as refused:
            await relay.open(device, Connect(V5, "device"))
        assert refused.value.reason_code is told

    play(scene, connack=Connack(False, code), connects=False)


@pytest.mark.parametrize(
    ("granted", "message", "code"),
    [
        (ConnackProperties(maximum_qos=0), MESSAGE, ReasonCode.QOS_NOT_SUPPORTED),
        (ConnackProperties(retain_available=False), Publish("a", b"", retain=True), ReasonCode.RETAIN_NOT_SUPPORTED),
        (ConnackProperties(maximum_packet_size=10), MESSAGE, ReasonCode.PACKET_TOO_LARGE),
        (ConnackProperties(), Publish("$aws/certificates/create/json", b""), ReasonCode.TOPIC_NAME_INVALID),
        (ConnackProperties(), Publish("a/+", b""), ReasonCode.TOPIC_NAME_INVALID),
    ],
)
def test_message_that_the_broker_may_not_have_is_not_sent(
    granted: ConnackProperties, message: Publish, code: ReasonCode
) -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        assert await relay.publish(device, message) is code
        assert len(broker.heard) == 1
        assert device.ended_with is None

    play(scene, connack=Connack(False, ReasonCode.SUCCESS, granted))


@pytest.mark.parametrize(
    ("granted", "topic_filter", "code"),
    [
        (
            ConnackProperties(shared_subscription_available=False),
            "$share/group/a",
            ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
        ),
        (
            ConnackProperties(wildcard_subscription_available=False),
            "a/+",
            ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
        ),
        (ConnackProperties(), "$aws/certificates/create/json/accepted", ReasonCode.TOPIC_FILTER_INVALID),
        (ConnackProperties(), "$share/group/$aws/certificates/#", ReasonCode.TOPIC_FILTER_INVALID),
        (ConnackProperties(), "a/#/b", ReasonCode.TOPIC_FILTER_INVALID),
    ],
)
def test_filter_that_the_broker_may_not_have_is_not_sent(
    granted: ConnackProperties, topic_filter: str, code: ReasonCode
) -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        asked = [Subscription(topic_filter), Subscription("plain", QoS.EXACTLY_ONCE)]
        assert await relay.subscribe(device, asked) == (code, ReasonCode.GRANTED_QOS_1)
        assert await relay.unsubscribe(device, [topic_filter]) == (ReasonCode.SUCCESS,)
        sent = broker.heard[1]
        assert isinstance(sent, Subscribe)
        assert sent.subscriptions == (Subscription("plain", AT_LEAST_ONCE),)
        assert not any(
            "$aws" in each
            for packet in broker.heard
            if isinstance(packet, Unsubscribe)
            for each in packet.topic_filters
        )

    play(scene, connack=Connack(False, ReasonCode.SUCCESS, granted))


def test_will_for_a_reserved_topic_is_refused_before_the_broker_hears_of_it() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        with pytest.raises(PacketRefused) as refused:
            await relay.open(device, Connect(V5, "device", will=Will("$aws/a", b"")))
        assert refused.value.reason_code is ReasonCode.TOPIC_NAME_INVALID
        assert broker.heard == []

    play(scene, connects=False)


def test_subscriptions_are_limited_and_ended_ones_make_room() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        device.own_filters = 2
        asked = [Subscription(f"a/{number}") for number in range(49)]
        codes = await relay.subscribe(device, asked)
        assert codes == (*(ReasonCode.GRANTED_QOS_1,) * 48, ReasonCode.QUOTA_EXCEEDED)
        assert await relay.subscribe(device, asked[:1]) == (ReasonCode.GRANTED_QOS_1,)
        assert await relay.unsubscribe(device, ["a/0"]) == (ReasonCode.SUCCESS,)
        assert await relay.subscribe(device, asked[-1:]) == (ReasonCode.GRANTED_QOS_1,)

    losses = Losses()
    play(scene, counters=Counters(losses))
    assert losses.counts == {Loss.SUBSCRIPTION_LIMIT.value: 1}


def test_filter_that_the_broker_refuses_takes_no_room() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        device.own_filters = 49
        broker.answers[Subscribe] = lambda packet: [
            Suback(getattr(packet, "packet_id"), (ReasonCode.NOT_AUTHORIZED,))  # noqa: B009 - of any kind
        ]
        assert await relay.subscribe(device, [Subscription("a")]) == (ReasonCode.NOT_AUTHORIZED,)
        del broker.answers[Subscribe]
        assert await relay.subscribe(device, [Subscription("b")]) == (ReasonCode.GRANTED_QOS_1,)

    play(scene)


@pytest.mark.parametrize("code", [ReasonCode.NOT_AUTHORIZED, ReasonCode.NO_MATCHING_SUBSCRIBERS])
def test_acknowledgement_has_the_brokers_code(code: ReasonCode) -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        broker.answers[Publish] = lambda packet: [Puback(getattr(packet, "packet_id"), code)]  # noqa: B009 - of any kind
        assert await relay.publish(device, MESSAGE) is code

    play(scene)


def test_messages_behind_connack_and_suback_wait_until_these_are_said() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        broker.answers[Connect] = lambda packet: [ACCEPTED, Publish("a", b"stored")]
        await relay.open(device, Connect(V5, "device"))
        await broker.heard_all(1)
        assert device.payloads == []
        relay.resume(device)
        await until(lambda: device.payloads == [b"stored"])

    play(scene, connects=False)


@pytest.mark.parametrize(
    "nonsense",
    [
        [Publish("", b"", properties=PublishProperties(topic_alias=1))],
        [Publish("a", b"", QoS.EXACTLY_ONCE, packet_id=1)],
        [Suback(1, (ReasonCode.SUCCESS,)), Publish("a", bytes(160_000))],
    ],
)
def test_broker_that_breaks_the_protocol_is_left(nonsense: list[ServerPacket]) -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        broker.say(*nonsense)
        await until(lambda: device.ended_with is ReasonCode.SERVER_UNAVAILABLE)
        relay.advance()
        with pytest.raises(PacketRefused):
            await relay.publish(device, MESSAGE)

    play(scene)


def test_message_before_connack_is_a_broken_protocol() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        broker.answers[Connect] = lambda packet: [Publish("a", b"early"), ACCEPTED]
        with pytest.raises(PacketRefused) as refused:
            await relay.open(device, Connect(V5, "device"))
        assert refused.value.reason_code is ReasonCode.SERVER_UNAVAILABLE
        assert device.delivered == []

    play(scene, connects=False)


def test_suback_must_have_a_code_for_each_filter() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        broker.answers[Subscribe] = lambda packet: [
            Suback(getattr(packet, "packet_id"), (ReasonCode.SUCCESS, ReasonCode.SUCCESS))  # noqa: B009 - of any kind
        ]
        with pytest.raises(PacketRefused):
            await relay.subscribe(device, [Subscription("a")])
        assert device.ended_with is ReasonCode.SERVER_UNAVAILABLE

    play(scene)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (ReasonCode.SESSION_TAKEN_OVER, ReasonCode.SESSION_TAKEN_OVER),
        (ReasonCode.ADMINISTRATIVE_ACTION, ReasonCode.ADMINISTRATIVE_ACTION),
        (ReasonCode.MALFORMED_PACKET, ReasonCode.SERVER_UNAVAILABLE),
    ],
)
def test_goodbye_of_the_broker_reaches_the_device(said: ReasonCode, told: ReasonCode) -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        broker.say(Disconnect(said))
        await until(lambda: device.ended_with is told)

    play(scene)


@pytest.mark.parametrize(
    ("clean", "expiry", "heard"),
    [
        (True, None, [Disconnect]),
        (True, 0, [Disconnect]),
        (False, 0, [Disconnect]),
        (False, None, []),
    ],
)
def test_broker_is_told_how_the_device_left(clean: bool, expiry: int | None, heard: list[type[ClientPacket]]) -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        await relay.open(device, Connect(V3, "device", False))
        await relay.close(device, clean=clean, session_expiry_interval=expiry)
        said = broker.heard[1:]
        assert [type(packet) for packet in said] == heard
        for packet in said:
            assert isinstance(packet, Disconnect)
            assert packet.properties.session_expiry_interval == expiry
            expected = ReasonCode.NORMAL_DISCONNECTION if clean else ReasonCode.DISCONNECT_WITH_WILL_MESSAGE
            assert packet.reason_code is expected

    play(scene, connects=False)


def test_idle_device_is_kept_alive_as_the_broker_wants_it() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        while Pingreq() not in broker.heard:
            relay.advance()
            await asyncio.sleep(0.01)
        for _ in range(10):
            relay.advance()
            await asyncio.sleep(0.01)
        assert device.ended_with is None

    play(scene, connack=Connack(False, ReasonCode.SUCCESS, ConnackProperties(server_keep_alive=1)))


def test_broker_that_answers_no_ping_is_given_up() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        broker.answers[Pingreq] = lambda packet: []
        while device.ended_with is None:
            relay.advance()
            await asyncio.sleep(0.01)
        assert device.ended_with is ReasonCode.SERVER_BUSY

    play(scene, connack=Connack(False, ReasonCode.SUCCESS, ConnackProperties(server_keep_alive=1)))


def test_answer_behind_a_message_for_a_device_that_is_over_is_still_heard() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        device.outcome = Delivery.FULL
        broker.answers[Publish] = lambda packet: [Publish("a", b""), Puback(getattr(packet, "packet_id"))]  # noqa: B009 - of any kind
        publishing = asyncio.create_task(relay.publish(device, MESSAGE))
        await broker.heard_all(2)
        await asyncio.sleep(0.1)
        assert not publishing.done()
        relay.advance()
        assert not publishing.done()
        device.is_over = True
        relay.advance()
        assert await publishing is ReasonCode.SUCCESS

    play(scene)


def test_answer_behind_more_than_may_wait_is_given_up() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        device.receive_window = 0
        many: list[ServerPacket] = [Publish("a", bytes(100_000), AT_LEAST_ONCE, packet_id=n) for n in range(1, 80)]
        broker.answers[Publish] = lambda packet: [*many, Puback(getattr(packet, "packet_id"))]  # noqa: B009 - of any kind
        assert await relay.publish(device, MESSAGE) is ReasonCode.QUOTA_EXCEEDED
        assert await relay.publish(device, MESSAGE) is ReasonCode.QUOTA_EXCEEDED
        device.receive_window = 1000
        relay.resume(device)
        await until(lambda: len(device.delivered) == 79)
        del broker.answers[Publish]
        assert await relay.publish(device, MESSAGE) is ReasonCode.SUCCESS
        counters.tick(0.0)

    losses = Losses()
    counters = Counters(losses)
    play(scene, counters=counters)
    assert losses.counts == {Loss.UNACKNOWLEDGED.value: 2}
    assert losses.messages == {Traffic.RECEIVED.value: 3, Traffic.SENT.value: 79}


def test_device_that_nobody_opened_is_refused() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        with pytest.raises(PacketRefused):
            await relay.publish(device, MESSAGE)
        relay.resume(device)
        relay.acknowledge(device, 1)
        relay.advance()

    play(scene, connects=False)


def test_broker_that_is_away_refuses_at_once() -> None:
    async def scene() -> None:
        relay = RelayDataPlane(one_broker("unix:/nonexistent/broker", SCOPE, V5), LIMITS)
        with pytest.raises(PacketRefused) as refused:
            await relay.open(Device("device"), Connect(V5, "device"))
        assert refused.value.reason_code is ReasonCode.SERVER_UNAVAILABLE

    asyncio.run(scene())


def test_many_devices_at_once_get_in_although_the_brokers_queue_is_short() -> None:
    async def scene() -> None:
        async with scripted_broker() as broker:
            relay = RelayDataPlane(one_broker(f"unix:{broker.path}", SCOPE, V5), LIMITS)
            devices = [Device(f"device-{number}") for number in range(300)]
            await asyncio.gather(*(relay.open(each, Connect(V5, each.client_id)) for each in devices))
            await asyncio.gather(*(relay.close(each, clean=True) for each in devices))
            assert sum(isinstance(packet, Connect) for packet in broker.heard) == 300

    asyncio.run(scene())


@pytest.mark.parametrize("expiry", [None, 0])
def test_broker_that_does_not_notice_a_farewell_is_left_all_the_same(expiry: int | None) -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        await relay.open(device, Connect(V3, "device", False))
        relay.resume(device)
        broker.reading(False)
        await asyncio.wait_for(relay.close(device, clean=expiry is not None, session_expiry_interval=expiry), 30)

    play(scene, connects=False)


def test_writer_waits_until_the_broker_reads_again() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, device: Device) -> None:
        broker.reading(False)
        message = Publish("a/b", bytes(100_000))

        async def flood() -> None:
            for _ in range(50):
                assert await relay.publish(device, message) is ReasonCode.SUCCESS

        flooding = asyncio.create_task(flood())
        await asyncio.sleep(0.1)
        assert not flooding.done()
        broker.reading(True)
        await flooding
        await broker.heard_all(51)

    play(scene)
