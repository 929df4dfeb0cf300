"""Many messages on one topic through the gateway and a real Mosquitto: whole, in order, and each one decided about."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.brokers.broker import SCOPE
from tests.support.brokers.mosquitto import Mosquitto, mosquitto
from tests.support.devices.device_gateway import LiveGateway, live_gateway, policy
from tests.support.devices.device_identities import Identity
from tests.support.devices.mqtt_peer import V3, V5, Peer, connected_peer

from thingmint.mqtt.codec.packets import Pingreq, Pingresp, ProtocolVersion, Puback, Publish, QoS
from thingmint.mqtt.codec.properties import PublishProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.relay.brokers.spec import Brokers, one_broker
from thingmint.mqtt.relay.relay import RelayDataPlane

SIZES = (0, 1, 2, 121, 122, 123, 127, 128, 16_370, 16_376, 16_377, 16_378, 16_384, 60_000, 3)
BOTH = [V3, V5]


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with mosquitto() as running:
        yield running


@pytest.fixture(params=BOTH, ids=["broker-3.1.1", "broker-5"])
def live(tmp_path: Path, broker: Mosquitto, request: pytest.FixtureRequest) -> Iterator[LiveGateway]:
    named = one_broker(broker.address, SCOPE).default
    assert named is not None
    with live_gateway(tmp_path, data_plane=RelayDataPlane(Brokers(SCOPE, replace(named, version=request.param)))) as on:
        yield on


@pytest.fixture
def thing(live: LiveGateway) -> Identity:
    return live.register()


def say(speaks: Peer, *messages: Publish) -> None:
    speaks.send(*messages, Pingreq())
    speaks.expect(Pingresp)


@pytest.mark.parametrize("heard_in", BOTH, ids=["hears-3.1.1", "hears-5"])
@pytest.mark.parametrize("said_in", BOTH, ids=["speaks-3.1.1", "speaks-5"])
def test_messages_of_all_sizes_and_kinds_come_whole_and_in_order(
    live: LiveGateway, thing: Identity, said_in: ProtocolVersion, heard_in: ProtocolVersion
) -> None:
    with (
        connected_peer(live, thing, heard_in, "hears") as hears,
        connected_peer(live, thing, said_in, "speaks") as speaks,
    ):
        # The broker keeps retained messages of other runs.
        one, two = (f"{uuid.uuid4()}/{name}" for name in ("one", "two"))
        assert hears.subscribe(one, two) == (ReasonCode.GRANTED_QOS_1,) * 2
        sent = list[Publish]()
        for round_number in range(3):
            sent += [Publish(one, bytes([round_number]) * size) for size in SIZES]
            sent += [Publish(two, b"%d" % number) for number in range(5)]
            sent.append(Publish(one, b"acknowledged", QoS.AT_LEAST_ONCE, packet_id=7))
            sent += [Publish(one, b"after"), Publish(one, b"kept", retain=True), Publish(one, b"last")]
        speaks.send(*sent)
        for each in sent:
            heard = hears.expect(Publish)
            assert (heard.topic, heard.qos, heard.payload) == (each.topic, each.qos, each.payload)
            if heard.qos:
                hears.send(Puback(heard.packet_id))


@pytest.mark.parametrize("version", BOTH, ids=["3.1.1", "5"])
def test_policies_that_change_apply_to_the_next_message(
    live: LiveGateway, thing: Identity, version: ProtocolVersion
) -> None:
    watcher = live.register()
    with (
        connected_peer(live, watcher, V5, "hears") as hears,
        connected_peer(live, thing, version, "speaks") as speaks,
    ):
        hears.subscribe("t")
        for number in range(5):
            say(speaks, Publish("t", b"%d" % number))
        assert [hears.expect(Publish).payload for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
        live.device(thing).policy = policy(("iot:Connect", "*"), ("iot:Publish", "topic/other"))
        live.thread.call(live.gateway.policies_changed)
        live.wait_until(lambda: live.gateway._policy_refresh.task is None)
        speaks.send(Publish("t", b"refused"))
        assert not isinstance(speaks.next_packet(), Pingresp)
        assert speaks.is_closed()
        with connected_peer(live, watcher, V5, "third") as third:
            third.publish("t", b"end")
        assert hears.expect(Publish).payload == b"end"


def test_deliveries_that_are_forbidden_end_with_the_policies(live: LiveGateway, thing: Identity) -> None:
    speaker = live.register()
    with (
        connected_peer(live, thing, V5, "hears") as hears,
        connected_peer(live, speaker, V5, "speaks") as speaks,
    ):
        hears.subscribe("t", "other", qos=QoS.AT_MOST_ONCE)
        for number in range(5):
            say(speaks, Publish("t", b"%d" % number))
            assert hears.expect(Publish).payload == b"%d" % number
        live.device(thing).policy = policy(("iot:Connect", "*"), ("iot:Receive", "topic/other"))
        live.thread.call(lambda: live.gateway.policies_changed([live.target(thing)]))
        live.wait_until(lambda: live.gateway._policy_refresh.task is None)
        say(speaks, Publish("t", b"forbidden"), Publish("other", b"allowed"))
        assert hears.expect(Publish).payload == b"allowed"


def test_a_device_whose_certificate_has_expired_passes_nothing_on(live: LiveGateway, thing: Identity) -> None:
    watcher = live.register()
    with (
        connected_peer(live, watcher, V5, "hears") as hears,
        connected_peer(live, thing, V3, "speaks") as speaks,
    ):
        hears.subscribe("t")
        for number in range(5):
            say(speaks, Publish("t", b"%d" % number))
            assert hears.expect(Publish).payload == b"%d" % number
        live.device(thing).valid_until = datetime.now(UTC) - timedelta(seconds=1)
        speaks.send(Publish("t", b"expired"))
        assert speaks.is_closed()
        with connected_peer(live, watcher, V5, "third") as third:
            third.publish("t", b"end")
        assert hears.expect(Publish).payload == b"end"


def test_properties_between_repeated_messages_are_kept_by_a_broker_that_has_them(
    live: LiveGateway, thing: Identity
) -> None:
    with connected_peer(live, thing, V5, "both") as device:
        device.subscribe("t", qos=QoS.AT_MOST_ONCE)
        told = PublishProperties(content_type="text/plain")
        device.send(*(Publish("t", b"%d" % n, properties=told if n == 6 else PublishProperties()) for n in range(12)))
        heard = [device.expect(Publish) for _ in range(12)]
    assert [int(each.payload) for each in heard] == list(range(12))
    assert {n for n, each in enumerate(heard) if each.properties.content_type} <= {6}
