"""A broker that speaks MQTT 3.1.1, several nodes of one, and what devices of MQTT 5 are told then."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from msgspec import structs
from tests.support.brokers.broker import OTHER, SCOPE, Device, Losses
from tests.support.brokers.scripted_broker import ScriptedBroker, scripted_broker, until

from thingmint.mqtt.codec.packets import (
    Connack,
    Connect,
    Disconnect,
    ProtocolVersion,
    Puback,
    Publish,
    QoS,
    RetainHandling,
    Subscribe,
    Subscription,
    Will,
)
from thingmint.mqtt.codec.properties import ConnectProperties, PublishProperties, WillProperties
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.counters import Counters, Loss
from thingmint.mqtt.relay.brokers.address import UnixAddress
from thingmint.mqtt.relay.brokers.spec import Brokers, BrokerSpec
from thingmint.mqtt.relay.credentials import BrokerCredentials
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.relay import RelayDataPlane

V3, V5 = ProtocolVersion.MQTT_3_1_1, ProtocolVersion.MQTT_5
AT_LEAST_ONCE = QoS.AT_LEAST_ONCE
LIMITS = RelayLimits(
    answer_seconds=0.05,
    open_seconds=2.0,
    leave_seconds=0.2,
    probe_seconds=0.05,
    first_retry_seconds=0.001,
    last_retry_seconds=0.001,
)
FLEET = BrokerCredentials("fleet-{account}", password="of-{certificate_id}")  # a template
LASTING = ConnectProperties(session_expiry_interval=600)
MESSAGE = Publish("a/b", b"payload", AT_LEAST_ONCE, packet_id=5)

Scene = Callable[[ScriptedBroker, RelayDataPlane, Losses], Awaitable[None]]


@contextlib.asynccontextmanager
async def relayed(
    brokers: Brokers, limits: RelayLimits = LIMITS, counters: Counters | None = None
) -> AsyncIterator[RelayDataPlane]:
    """Yield a relay whose devices leave at the end."""
    relay = RelayDataPlane(brokers, limits, counters)
    try:
        yield relay
    finally:
        for connection in tuple(relay._links):
            await relay.close(connection, clean=True)
        await relay.stop()


def spec_of(*brokers: ScriptedBroker, version: ProtocolVersion | None = None) -> BrokerSpec:
    return BrokerSpec(tuple(UnixAddress(each.path) for each in brokers), version, FLEET)


def play(scene: Scene, *, speaks: ProtocolVersion = V3) -> None:
    """Run a scene with a broker and a relay that is to find out what the broker speaks."""

    async def played() -> None:
        async with scripted_broker() as broker:
            broker.speaks = speaks
            losses = Losses()
            async with relayed(Brokers(SCOPE, spec_of(broker)), counters=Counters(losses)) as relay:
                await scene(broker, relay, losses)

    asyncio.run(played())


def connects(broker: ScriptedBroker, client_id: str = "device") -> list[Connect]:
    return [each for each in broker.heard if isinstance(each, Connect) and each.client_id == client_id]


def test_a_broker_that_refuses_mqtt_5_is_spoken_to_in_its_own_version() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, losses: Losses) -> None:
        will = Will("last/will", b"gone", properties=WillProperties(will_delay_interval=30, content_type="text"))
        device = Device("device")
        opened = await relay.open(device, Connect(V5, "device", will=will, properties=LASTING))
        assert opened.session_expiry_interval == 600
        # The versions are tried by the service, and once.
        assert [each.version for each in broker.heard if isinstance(each, Connect)][:2] == [V5, V3]
        *_, asked = connects(broker)
        assert (asked.version, asked.will) == (V3, Will("last/will", b"gone"))
        assert (asked.username, asked.password) == ("fleet-000000000000", b"of-" + device.principal_id.encode())
        await relay.open(Device("other"), Connect(V5, "other"))
        assert sum(each.version is V5 for each in broker.heard if isinstance(each, Connect)) == 1

    play(scene)


@pytest.mark.parametrize(
    ("connect", "flags", "afterwards"),
    [
        (Connect(V5, "device"), [True], []),
        (Connect(V5, "device", clean_start=False, properties=LASTING), [False], []),
        # MQTT 3.1.1 has one flag for the beginning and the end of a session: a second connection says the other half.
        (Connect(V5, "device", properties=LASTING), [True, False], []),
        (Connect(V5, "device", clean_start=False), [False], [True]),
        (Connect(V3, "device", clean_start=False), [False], []),
    ],
)
def test_sessions_begin_and_end_as_the_device_asks(connect: Connect, flags: list[bool], afterwards: list[bool]) -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, losses: Losses) -> None:
        device = Device("device")
        await relay.open(device, connect)
        assert [each.clean_start for each in connects(broker)] == flags
        await relay.close(device, clean=True)
        assert [each.clean_start for each in connects(broker)] == [*flags, *afterwards]

    play(scene)


def test_a_goodbye_that_ends_the_session_ends_it() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, losses: Losses) -> None:
        device = Device("device")
        await relay.open(device, Connect(V5, "device", clean_start=False, properties=LASTING))
        await relay.close(device, clean=True, session_expiry_interval=0)
        assert [each.clean_start for each in connects(broker)] == [False, True]

    play(scene)


def test_what_mqtt_3_1_1_cannot_say_is_refused_or_left_out_and_counted() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, losses: Losses) -> None:
        device = Device("device")
        await relay.open(device, Connect(V5, "device"))
        relay.resume(device)
        asked = [
            Subscription("plain", AT_LEAST_ONCE),
            Subscription("local", no_local=True),
            Subscription("new", retain_handling=RetainHandling.ONLY_IF_NEW),
            Subscription("kept", retain_as_published=True),
        ]
        unsaid = ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR
        codes = await relay.subscribe(device, asked)
        assert codes == (ReasonCode.GRANTED_QOS_1, unsaid, unsaid, ReasonCode.GRANTED_QOS_1)
        assert await relay.unsubscribe(device, ["plain", "local"]) == (ReasonCode.SUCCESS, ReasonCode.SUCCESS)
        assert await relay.publish(device, MESSAGE) is ReasonCode.SUCCESS
        assert losses.of(Loss.PROPERTIES) == 0
        described = structs.replace(MESSAGE, properties=PublishProperties(content_type="text"))
        assert await relay.publish(device, described) is ReasonCode.SUCCESS
        assert losses.of(Loss.PROPERTIES) == 1
        broker.say(Publish("a", b"down", AT_LEAST_ONCE, packet_id=7))
        await until(lambda: device.payloads == [b"down"])

    play(scene)


def test_nothing_that_the_probe_has_found_missing_is_asked_of_the_broker() -> None:
    """The broker gives nobody a message: so it has nothing retained, shares nothing, and may change topics."""

    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, losses: Losses) -> None:
        broker.answers[Publish] = lambda packet: (
            [] if len(getattr(packet, "payload")) > 100_000 else [Puback(getattr(packet, "packet_id"))]  # noqa: B009 - of any kind
        )
        await relay.start()
        (abilities,) = (each.abilities for each in relay.brokers)
        assert abilities is None

        del broker.answers[Publish]
        await relay.start()
        (abilities,) = (each.abilities for each in relay.brokers)
        assert abilities is not None
        assert (abilities.has_retained, abilities.has_shared_subscriptions, abilities.takes_any_topic) == (False,) * 3
        assert str(abilities).startswith("MQTT 3.1.1; it is without properties of messages")
        device = Device("device")
        offer = (await relay.open(device, Connect(V5, "device"))).offer
        assert (offer.has_retained, offer.has_shared_subscriptions, offer.has_wildcards) == (False, False, True)
        relay.resume(device)
        heard = len(broker.heard)
        assert await relay.publish(device, structs.replace(MESSAGE, retain=True)) is ReasonCode.RETAIN_NOT_SUPPORTED
        assert await relay.publish(device, structs.replace(MESSAGE, topic="a.b")) is ReasonCode.TOPIC_NAME_INVALID
        filters = [Subscription("$share/group/a"), Subscription("a.b"), Subscription("a b/+")]
        assert await relay.subscribe(device, filters) == (
            ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
            ReasonCode.TOPIC_FILTER_INVALID,
            ReasonCode.TOPIC_FILTER_INVALID,
        )
        with pytest.raises(PacketRefused, match="will"):
            await relay.open(Device("mortal"), Connect(V5, "mortal", will=Will("a.b", b"")))
        assert len(broker.heard) == heard

    play(scene)


@pytest.mark.parametrize("speaks", [V3, V5])
def test_a_broker_that_does_not_let_the_service_in_serves_devices(speaks: ProtocolVersion) -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, losses: Losses) -> None:
        refused = Connack(False, ReasonCode.NOT_AUTHORIZED)
        broker.answers[Connect] = lambda packet: [
            refused if getattr(packet, "client_id").startswith("$") else broker.connack  # noqa: B009 - of any kind
        ]
        await relay.start()
        assert (await relay.open(Device("device"), Connect(V5, "device"))).offer.has_retained

    play(scene, speaks=speaks)


# Several nodes


def test_a_device_goes_to_another_node_if_one_is_away_or_busy() -> None:
    async def scene() -> None:
        async with scripted_broker() as one, scripted_broker() as two:
            one.connack = Connack(False, ReasonCode.SERVER_UNAVAILABLE)
            spec = spec_of(one, two, version=V5)
            spec = structs.replace(spec, addresses=(*spec.addresses, UnixAddress("/nonexistent/node")))
            async with relayed(Brokers(SCOPE, spec)) as relay:
                for number in range(6):
                    await relay.open(Device(f"device-{number}"), Connect(V5, f"device-{number}"))
                assert sum(isinstance(each, Connect) for each in two.heard) == 6
                one.connack = two.connack
                for number in range(6):
                    await relay.open(Device(f"later-{number}"), Connect(V5, f"later-{number}"))
                assert {"later-0", "later-1"} & {each.client_id for each in one.heard if isinstance(each, Connect)}

    asyncio.run(scene())


def test_a_node_that_answers_again_is_found_and_so_is_another_version() -> None:
    async def scene() -> None:
        async with scripted_broker() as broker:
            spec = spec_of(broker)
            away = UnixAddress(broker.path + "-away")
            async with relayed(Brokers(SCOPE, structs.replace(spec, addresses=(away,)))) as relay:
                await relay.start()
                with pytest.raises(PacketRefused, match="not available"):
                    await relay.open(Device("device"), Connect(V5, "device"))
                broker.speaks = V3
                server = await asyncio.start_unix_server(broker.serve, away.path)
                async with server:
                    await _advanced(relay, lambda: relay.brokers[0].abilities is not None)
                    await relay.open(Device("device"), Connect(V5, "device"))

    asyncio.run(scene())


async def _advanced(relay: RelayDataPlane, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            relay.advance()
            await asyncio.sleep(0.01)


# Taken over


@pytest.mark.parametrize("told", [ReasonCode.SESSION_TAKEN_OVER, None])
def test_a_plain_end_waits_for_another_node_to_explain_it(told: ReasonCode | None) -> None:
    async def scene() -> None:
        async with scripted_broker() as broker:
            limits = replace(LIMITS, explain_seconds=0.1)
            losses = Losses()
            async with relayed(Brokers(SCOPE, spec_of(broker, version=V3)), limits, Counters(losses)) as relay:
                broker.speaks = V3
                device = Device("device")
                await relay.open(device, Connect(V5, "device"))
                relay.resume(device)
                broker.writers[-1].close()
                publishing = asyncio.create_task(relay.publish(device, MESSAGE))
                await asyncio.sleep(0.02)
                assert device.ended_with is None
                if told is not None:
                    # As the gateway does when another node has told that the client is there now.
                    device.is_over = True
                    await relay.close(device, clean=False)
                else:
                    await until(lambda: device.ended_with is ReasonCode.SERVER_UNAVAILABLE)
                    with pytest.raises(PacketRefused):
                        await publishing
                publishing.cancel()
                with contextlib.suppress(asyncio.CancelledError, PacketRefused):
                    await publishing
                assert losses.of(Loss.BROKER_CLOSED) == (told is None)

    asyncio.run(scene())


def test_accounts_with_brokers_of_their_own_may_have_the_same_client_ids() -> None:
    async def scene() -> None:
        async with scripted_broker() as own, scripted_broker() as others:
            brokers = Brokers(SCOPE, spec_of(own, version=V5), {OTHER.account: spec_of(others, version=V5)})
            async with relayed(brokers) as relay:
                ours, theirs = Device("lamp"), Device("lamp", scope=OTHER)
                await relay.open(ours, Connect(V5, "lamp"))
                await relay.open(theirs, Connect(V5, "lamp"))
                assert (ours.ended_with, theirs.ended_with) == (None, None)
                assert [each.username for each in connects(others, "lamp")] == ["fleet-222222222222"]
                assert await relay.publish_own(OTHER, Publish("a", b"x", AT_LEAST_ONCE)) is ReasonCode.SUCCESS
                assert not any(isinstance(each, Publish) for each in own.heard)

    asyncio.run(scene())


def test_retained_messages_are_read_within_limits() -> None:
    async def scene(broker: ScriptedBroker, relay: RelayDataPlane, losses: Losses) -> None:
        broker.answers[Subscribe] = lambda packet: [
            *ScriptedBroker(broker.path, speaks=V3)._answer(packet),
            Publish("a", b"live"),
            Publish("a", b"kept", AT_LEAST_ONCE, retain=True, packet_id=1),
        ]
        found = await relay.retained(SCOPE, "a")
        assert found is not None
        assert (found.message.payload, found.age) == (b"kept", None)
        assert isinstance(broker.heard[-1], Disconnect)

    play(scene)
