"""Devices reach each other, and whoever else is there, through a real Mosquitto behind the gateway."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.brokers.broker import SCOPE
from tests.support.brokers.mosquitto import Mosquitto, mosquitto
from tests.support.devices.device_gateway import CREATE, LiveGateway, live_gateway, policy
from tests.support.devices.device_identities import Identity
from tests.support.devices.mqtt_peer import V3, V5, Peer, connected_peer, peer

from thingmint.mqtt.codec.packets import (
    Connack,
    Connect,
    Disconnect,
    ProtocolVersion,
    Puback,
    Publish,
    QoS,
    Suback,
    Subscribe,
    Subscription,
    Will,
)
from thingmint.mqtt.codec.properties import ConnectProperties, DisconnectProperties, PublishProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.relay.brokers.spec import one_broker
from thingmint.mqtt.relay.relay import RelayDataPlane

AT_LEAST_ONCE = QoS.AT_LEAST_ONCE
LASTING = {V3: ConnectProperties(), V5: ConnectProperties(session_expiry_interval=600)}


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with mosquitto() as running:
        yield running


@pytest.fixture
def live(tmp_path: Path, broker: Mosquitto) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path, data_plane=RelayDataPlane(one_broker(broker.address, SCOPE))) as running:
        yield running


@pytest.fixture
def thing(live: LiveGateway) -> Identity:
    return live.register()


def hears_nothing(device: Peer) -> bool:
    """Say whether a message that the device sends itself is the first that it hears: the broker had none before."""
    device.send(Subscribe(device.new_id(), (Subscription("marker/own"),)))
    device.send(Publish("marker/own", b""))
    while isinstance(packet := device.next_packet(), Suback):
        pass
    return isinstance(packet, Publish) and packet.topic == "marker/own"


@pytest.mark.parametrize("qos", [QoS.AT_MOST_ONCE, AT_LEAST_ONCE])
def test_message_goes_from_one_device_to_another(
    live: LiveGateway, thing: Identity, version: ProtocolVersion, qos: QoS
) -> None:
    with connected_peer(live, thing, version, "hears") as hears, connected_peer(live, thing, V5, "speaks") as speaks:
        assert hears.subscribe("go/+", qos=qos) == (ReasonCode(qos),)
        assert speaks.publish("go/there", b"payload") is ReasonCode.SUCCESS
        heard = hears.expect(Publish)

        assert (heard.topic, heard.payload, heard.qos, heard.retain) == ("go/there", b"payload", qos, False)
        if qos:
            hears.send(Puback(heard.packet_id))
        assert hears_nothing(hears)


def test_client_of_the_broker_and_device_reach_each_other(
    live: LiveGateway, broker: Mosquitto, thing: Identity, version: ProtocolVersion
) -> None:
    with connected_peer(live, thing, version) as device, broker.peer("backend") as backend:
        assert device.subscribe("to/device") == (ReasonCode.GRANTED_QOS_1,)
        assert backend.subscribe("to/backend") == (ReasonCode.GRANTED_QOS_1,)
        device.publish("to/backend", b"up")
        backend.publish("to/device", b"down")

        assert backend.expect(Publish).payload == b"up"
        assert device.expect(Publish).payload == b"down"


def test_properties_of_mqtt_5_arrive(live: LiveGateway, thing: Identity) -> None:
    said = PublishProperties(
        payload_format_indicator=True,
        response_topic="answer/here",
        correlation_data=b"17",
        user_properties=(("a", "1"), ("a", "2")),
        content_type="text/plain",
    )
    with connected_peer(live, thing, V5, "hears") as hears, connected_peer(live, thing, V5, "speaks") as speaks:
        hears.subscribe("with/properties")
        speaks.publish("with/properties", b"text", properties=said)

        assert hears.expect(Publish).properties == said


def test_broker_sees_the_certificate_as_user_name_and_the_client_id(
    live: LiveGateway, broker: Mosquitto, thing: Identity
) -> None:
    with connected_peer(live, thing, client_id="named-client", username="?SDK=Python"):
        assert f"as named-client (p5, c1, k300, u'{thing.certificate_id}')" in broker.log
    assert "SDK=Python" not in broker.log


def test_session_lasts_and_keeps_messages(live: LiveGateway, thing: Identity, version: ProtocolVersion) -> None:
    def connect(device: Peer) -> Connack:
        return device.connect("sleeper", clean_start=False, properties=LASTING[version])

    with peer(live, thing, version) as device:
        assert not connect(device).session_present
        device.subscribe("for/sleeper")
        device.send(Disconnect())
        assert device.is_closed()
    with connected_peer(live, thing, V5, "speaks") as speaks:
        for number in range(5):
            speaks.publish("for/sleeper", b"%d" % number)
    with peer(live, thing, version) as device:
        assert connect(device).session_present
        assert [device.expect(Publish).payload for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
        device.send(Disconnect())
    with connected_peer(live, thing, version, "sleeper") as device:
        assert hears_nothing(device)


def test_unacknowledged_message_is_sent_again_to_the_next_connection(
    live: LiveGateway, thing: Identity, version: ProtocolVersion
) -> None:
    lasting = {"clean_start": False, "properties": LASTING[version]}
    with connected_peer(live, thing, version, "again", **lasting) as device:
        device.subscribe("once/more")
        device.publish("once/more", b"important")
        first = device.expect(Publish)
    live.wait_until(lambda: live.gateway.connected_devices == 0)
    with connected_peer(live, thing, version, "again", **lasting) as device:
        second = device.expect(Publish)
        assert (second.payload, second.packet_id, second.dup) == (b"important", first.packet_id, True)
        device.send(Puback(second.packet_id))
        assert hears_nothing(device)
    with connected_peer(live, thing, version, "again") as device:
        assert hears_nothing(device)


def test_will_is_published_when_the_device_is_lost(
    live: LiveGateway, broker: Mosquitto, thing: Identity, version: ProtocolVersion
) -> None:
    will = Will("last/will", b"gone", AT_LEAST_ONCE)
    with broker.peer("heir") as heir:
        heir.subscribe("last/will")
        with connected_peer(live, thing, version, "mortal", will=will):
            pass

        assert heir.expect(Publish).payload == b"gone"


def test_will_is_not_published_when_the_device_says_goodbye(
    live: LiveGateway, broker: Mosquitto, thing: Identity, version: ProtocolVersion
) -> None:
    with broker.peer("heir") as heir:
        heir.subscribe("no/will")
        with connected_peer(live, thing, version, "mortal", will=Will("no/will", b"gone")) as device:
            device.send(Disconnect())
            assert device.is_closed()
        live.wait_until(lambda: not live.gateway.connected_devices)

        assert heir.is_served()


@pytest.mark.parametrize("code", [ReasonCode.DISCONNECT_WITH_WILL_MESSAGE, ReasonCode.UNSPECIFIED_ERROR])
def test_goodbye_with_the_will_publishes_it(
    live: LiveGateway, broker: Mosquitto, thing: Identity, code: ReasonCode
) -> None:
    with broker.peer("heir") as heir:
        heir.subscribe("last/will")
        with connected_peer(live, thing, V5, "mortal", will=Will("last/will", b"gone")) as device:
            device.send(Disconnect(code))

            assert heir.expect(Publish).payload == b"gone"


def test_goodbye_may_shorten_the_session(live: LiveGateway, thing: Identity) -> None:
    with connected_peer(live, thing, V5, "brief", clean_start=False, properties=LASTING[V5]) as device:
        device.send(Disconnect(properties=DisconnectProperties(session_expiry_interval=0)))
        assert device.is_closed()
    with peer(live, thing, V5) as device:
        assert not device.connect("brief", clean_start=False).session_present


def test_retained_message_reaches_later_subscribers_after_their_suback(
    live: LiveGateway, thing: Identity, version: ProtocolVersion
) -> None:
    with connected_peer(live, thing, version, "speaks") as speaks:
        speaks.publish("state/of/it", b"on", retain=True)
    with connected_peer(live, thing, version, "hears") as hears:
        # Fails if anything comes before SUBACK.
        hears.subscribe("state/of/it")
        heard = hears.expect(Publish)
        assert (heard.payload, heard.retain) == (b"on", True)
        hears.publish("state/of/it", b"", retain=True)


def test_later_connection_of_a_client_takes_over(live: LiveGateway, thing: Identity, version: ProtocolVersion) -> None:
    with connected_peer(live, thing, version, "one") as earlier, connected_peer(live, thing, version, "one") as later:
        if version is V5:
            assert earlier.expect(Disconnect).reason_code is ReasonCode.SESSION_TAKEN_OVER
        assert earlier.is_closed()
        assert later.is_served()


def test_take_over_by_a_connection_elsewhere_disconnects_the_device(
    live: LiveGateway, broker: Mosquitto, thing: Identity
) -> None:
    with connected_peer(live, thing, V5, "one") as device, broker.peer("one"):
        # Mosquitto says why from 2.1 on; before, it closes.
        told = device.expect(Disconnect).reason_code
        assert told in (ReasonCode.SESSION_TAKEN_OVER, ReasonCode.SERVER_BUSY)


def test_nothing_reserved_reaches_the_broker(
    live: LiveGateway, broker: Mosquitto, thing: Identity, version: ProtocolVersion
) -> None:
    already = len(broker.log)
    with connected_peer(live, thing, version, "asks") as device:
        device.subscribe(f"{CREATE}/+", f"$share/group/{CREATE}/accepted", "$SYS/#", "plain/topic")
        assert device.publish(CREATE, b"{}") is ReasonCode.SUCCESS
        assert device.expect(Publish).topic == f"{CREATE}/accepted"
    live.wait_until(lambda: not live.gateway.connected_devices)
    assert "plain/topic" in broker.log[already:]
    assert "$" not in broker.log[already:]


def test_what_others_publish_to_reserved_topics_of_the_broker_reaches_no_device(
    live: LiveGateway, broker: Mosquitto, thing: Identity, version: ProtocolVersion
) -> None:
    with connected_peer(live, thing, version, "victim") as device, broker.peer("forger") as forger:
        device.subscribe("#", f"{CREATE}/accepted")
        forger.publish(f"{CREATE}/accepted", b"forged")
        forger.publish("usual/topic", b"usual")

        assert device.expect(Publish).payload == b"usual"
        assert hears_nothing(device)


def test_messages_without_iot_receive_are_not_delivered_nor_kept(
    live: LiveGateway, broker: Mosquitto, version: ProtocolVersion
) -> None:
    allowed = policy(
        ("iot:Connect", "*"),
        ("iot:Subscribe", "*"),
        ("iot:Publish", "topic/marker/own"),
        ("iot:Receive", "topic/marker/own"),
        ("iot:Receive", "topic/may/hear"),
    )
    thing = live.register(allowed=allowed)
    lasting = {"clean_start": False, "properties": LASTING[version]}
    with broker.peer("speaks") as speaks:
        with connected_peer(live, thing, version, "half-deaf", **lasting) as device:
            device.subscribe("may/+")
            speaks.publish("may/not", b"secret")
            speaks.publish("may/hear", b"open")
            heard = device.expect(Publish)
            assert heard.payload == b"open"
            device.send(Puback(heard.packet_id))
            assert hears_nothing(device)
        with connected_peer(live, thing, version, "half-deaf", **lasting) as device:
            assert hears_nothing(device)


def test_revoked_device_is_cut_off_and_its_will_published(
    live: LiveGateway, broker: Mosquitto, version: ProtocolVersion
) -> None:
    thing = live.register()
    with broker.peer("heir") as heir:
        heir.subscribe("revoked/will")
        with connected_peer(live, thing, version, "revoked", will=Will("revoked/will", b"cut off")) as device:
            live.thread.call(lambda: live.gateway.principal_ended(live.target(thing)))
            assert heir.expect(Publish).payload == b"cut off"
            if version is V5:
                assert device.expect(Disconnect).reason_code is ReasonCode.ADMINISTRATIVE_ACTION
            assert device.is_closed()


def test_refused_connect_leaves_no_session_in_the_broker(live: LiveGateway, broker: Mosquitto) -> None:
    thing = live.register(allowed=policy(("iot:Connect", "client/other")))
    with peer(live, thing, V5) as device:
        device.send(Connect(V5, "intruder"))
        assert device.expect(Connack).reason_code is ReasonCode.NOT_AUTHORIZED
    assert "intruder" not in broker.log
