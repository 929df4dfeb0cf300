"""What AWS IoT's rules make of CONNECT, PUBLISH and SUBSCRIBE, packet by packet, in both versions of MQTT."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.devices.device_gateway import LiveGateway, live_gateway, policy
from tests.support.devices.device_identities import Identity, new_identity
from tests.support.devices.mqtt_peer import V3, V5, Peer, connected_peer, peer

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.policies.device_context import ConnectAttribute
from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    ProtocolVersion,
    Puback,
    Publish,
    Pubrel,
    QoS,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from thingmint.mqtt.codec.properties import (
    AuthProperties,
    ConnectProperties,
    DisconnectProperties,
    PublishProperties,
    SubscribeProperties,
    WillProperties,
)
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.codec.reason_tables import DISCONNECT_OF_CLIENT
from thingmint.mqtt.events import (
    ClientConnected,
    ClientDisconnected,
    ClientSubscribed,
    ClientUnsubscribed,
    ConnectRefused,
    DisconnectReason,
    GatewayEvent,
)
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.rights.ports import DeviceRefusal

ONLY_A = policy(
    ("iot:Connect", "client/device"),
    ("iot:Publish", "topic/a"),
    ("iot:Subscribe", "topicfilter/a"),
    ("iot:Receive", "topic/a"),
)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def device(live: LiveGateway) -> Identity:
    return live.register()


def refusal_of(live: LiveGateway, identity: Identity, version: ProtocolVersion, connect: Connect) -> ReasonCode | None:
    """Return the code of CONNACK, or None if the gateway closes without one."""
    with peer(live, identity, version) as stranger:
        stranger.send(connect)
        packet = stranger.next_packet()
        assert packet is None or stranger.is_closed()
        if packet is None:
            return None
        assert isinstance(packet, Connack)
        return packet.reason_code


def told(version: ProtocolVersion, code: ReasonCode) -> ReasonCode | None:
    """Return what a client is told: MQTT 3.1.1 clients of AWS IoT are told nothing."""
    return code if version is V5 else None


def last_packet(version: ProtocolVersion, connection: Peer) -> ReasonCode | None:
    """Return the code of the DISCONNECT that ends the connection; None if there is none, as in MQTT 3.1.1."""
    packet = connection.next_packet()
    if version is V3:
        assert packet is None, packet
        return None
    assert isinstance(packet, Disconnect), packet
    assert connection.is_closed()
    return packet.reason_code


# Who connects


@pytest.mark.parametrize(
    "reason", [DeviceRefusal.INACTIVE, DeviceRefusal.REVOKED, DeviceRefusal.PENDING, DeviceRefusal.NOT_VALID_NOW]
)
def test_certificate_that_may_not_connect_is_refused(
    live: LiveGateway, device: Identity, version: ProtocolVersion, reason: DeviceRefusal
) -> None:
    live.device(device).refusal = reason

    assert refusal_of(live, device, version, Connect(version, "device")) == told(version, ReasonCode.NOT_AUTHORIZED)
    (refused,) = [
        event
        for event in live.events.all
        if isinstance(event, ConnectRefused) and event.principal_id == device.certificate_id
    ]
    assert refused.why == reason


def test_certificate_that_is_not_registered_is_refused(live: LiveGateway, version: ProtocolVersion) -> None:
    refused = refusal_of(live, new_identity(), version, Connect(version, "device"))

    assert refused == told(version, ReasonCode.NOT_AUTHORIZED)


def test_registry_is_asked_with_the_whole_chain_and_the_server_name(live: LiveGateway) -> None:
    authority = new_identity("authority", is_authority=True)
    device = live.register(new_identity(issuer=authority))

    with connected_peer(live, device):
        assert live.registry.identified[-1] == ((device.der, authority.der), "localhost")


def test_registry_that_does_not_answer_is_no_refusal_of_the_device(
    live: LiveGateway, device: Identity, version: ProtocolVersion
) -> None:
    live.registry.failures.append(ServiceUnavailable())

    assert refusal_of(live, device, version, Connect(version, "device")) is ReasonCode.SERVER_UNAVAILABLE


def test_fault_in_the_registry_ends_the_connection_only(
    live: LiveGateway, device: Identity, version: ProtocolVersion, caplog: pytest.LogCaptureFixture
) -> None:
    live.registry.failures.append(ArithmeticError("on purpose"))

    assert refusal_of(live, device, version, Connect(version, "device")) == told(version, ReasonCode.UNSPECIFIED_ERROR)
    assert "a request of a device failed" in caplog.text
    with connected_peer(live, device, version) as next_one:
        assert next_one.is_served()


# What CONNECT may ask for


def test_connect_needs_permission_for_the_client_id(live: LiveGateway, version: ProtocolVersion) -> None:
    device = live.register(allowed=ONLY_A)

    refused = refusal_of(live, device, version, Connect(version, "another"))

    assert refused == told(version, ReasonCode.NOT_AUTHORIZED)
    with connected_peer(live, device, version, "device") as allowed:
        assert allowed.is_served()


@pytest.mark.parametrize(("retain", "missing"), [(False, "iot:Publish"), (True, "iot:RetainPublish")])
def test_will_needs_the_permissions_of_its_message(
    live: LiveGateway, version: ProtocolVersion, retain: bool, missing: str
) -> None:
    statements = [("iot:Connect", "*")]
    if missing == "iot:RetainPublish":
        statements.append(("iot:Publish", "topic/w"))
    device = live.register(allowed=policy(*statements))
    connect = Connect(version, "device", will=Will("w", b"gone", retain=retain))

    assert refusal_of(live, device, version, connect) == told(version, ReasonCode.NOT_AUTHORIZED)

    live.device(device).policy = policy(*statements, (missing, "topic/w"))
    with connected_peer(live, device, version, will=connect.will) as allowed:
        assert allowed.is_served()


def test_will_on_a_reserved_topic_is_refused(live: LiveGateway, device: Identity, version: ProtocolVersion) -> None:
    will = Will("$aws/certificates/create/json", b"{}")

    refused = refusal_of(live, device, version, Connect(version, "device", will=will))

    assert refused == told(version, ReasonCode.TOPIC_NAME_INVALID)


@pytest.mark.parametrize(
    ("will", "code"),
    [
        (Will("w", b"", qos=QoS.EXACTLY_ONCE), ReasonCode.QOS_NOT_SUPPORTED),
        (Will("/".join("a" * 9), b""), ReasonCode.TOPIC_NAME_INVALID),
    ],
)
def test_will_that_could_never_be_published_is_refused(
    live: LiveGateway, device: Identity, version: ProtocolVersion, will: Will, code: ReasonCode
) -> None:
    assert refusal_of(live, device, version, Connect(version, "device", will=will)) == told(version, code)


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"response_topic": ""}, ReasonCode.PROTOCOL_ERROR),
        ({"response_topic": "a\x1f"}, ReasonCode.MALFORMED_PACKET),
        ({"content_type": "a\x7f"}, ReasonCode.MALFORMED_PACKET),
        ({"user_properties": (("a", "b"), ("a\n", "b"))}, ReasonCode.MALFORMED_PACKET),
        ({"user_properties": (("a", "\uffff"),)}, ReasonCode.MALFORMED_PACKET),
    ],
)
def test_texts_that_could_end_the_connection_of_a_receiver_are_refused(
    live: LiveGateway, device: Identity, properties: dict[str, Any], code: ReasonCode
) -> None:
    will = Will("w", b"", properties=WillProperties(**properties))
    assert refusal_of(live, device, V5, Connect(V5, "device", will=will)) == told(V5, code)
    with connected_peer(live, device, V5) as connection:
        connection.send(Publish("a", b"", properties=PublishProperties(**properties)))
        assert last_packet(V5, connection) is code


def test_user_properties_of_connect_are_checked_as_those_of_messages(live: LiveGateway, device: Identity) -> None:
    connect = Connect(V5, "device", properties=ConnectProperties(user_properties=(("a", "\t"),)))

    assert refusal_of(live, device, V5, connect) == told(V5, ReasonCode.MALFORMED_PACKET)


@pytest.mark.parametrize("topic", ["a\x01", "a\x7f", "a/\uffff"])
def test_control_characters_and_noncharacters_are_in_no_topic_and_in_no_filter(
    live: LiveGateway, device: Identity, version: ProtocolVersion, topic: str
) -> None:
    will = refusal_of(live, device, version, Connect(version, "device", will=Will(topic, b"")))
    assert will == told(version, ReasonCode.TOPIC_NAME_INVALID)
    with connected_peer(live, device, version) as connection:
        assert [code.is_failure for code in connection.subscribe(topic, f"+/{topic}", "good")] == [True, True, False]
        if version is V5:
            assert connection.publish(topic) is ReasonCode.TOPIC_NAME_INVALID
        connection.send(Publish(topic, b""))
        assert last_packet(version, connection) is (ReasonCode.TOPIC_NAME_INVALID if version is V5 else None)
    with connected_peer(live, live.register(allowed=ONLY_A), V5) as connection:
        assert connection.publish(topic) is ReasonCode.NOT_AUTHORIZED


@pytest.mark.parametrize("client_id", ["$GEN/7f1a", "$anything", "x" * 129, "ü" * 65, "a\nb", "\r", "a\u2028", "\n$a"])
def test_client_ids_that_aws_reserves_or_finds_too_long_are_refused(
    live: LiveGateway, device: Identity, version: ProtocolVersion, client_id: str
) -> None:
    refused = refusal_of(live, device, version, Connect(version, client_id))

    assert refused is ReasonCode.CLIENT_IDENTIFIER_NOT_VALID


def test_client_id_of_128_bytes_is_accepted(live: LiveGateway, device: Identity, version: ProtocolVersion) -> None:
    with connected_peer(live, device, version, "ü" * 64) as connection:
        assert connection.is_served()


def test_empty_client_id_is_refused_in_mqtt_3_1_1(live: LiveGateway, device: Identity) -> None:
    assert refusal_of(live, device, V3, Connect(V3, "")) is ReasonCode.CLIENT_IDENTIFIER_NOT_VALID


def test_empty_client_id_is_assigned_in_mqtt_5(live: LiveGateway, device: Identity) -> None:
    with peer(live, device, V5) as first, peer(live, device, V5) as second:
        assigned = {each.connect("").properties.assigned_client_identifier for each in (first, second)}
        assert len(assigned) == 2
        assert all(client_id and client_id.startswith("$GEN/") for client_id in assigned)


def test_policies_learn_what_the_connect_asks_for(live: LiveGateway, device: Identity) -> None:
    will = Will("w", b"")

    with connected_peer(live, device, V3, clean_start=False, will=will):
        facts = live.device(device).facts[-1]
    with connected_peer(live, device, V5, properties=ConnectProperties(session_expiry_interval=1)):
        persistent = live.device(device).facts[-1]
    with connected_peer(live, device, V5):
        plain = live.device(device).facts[-1]

    assert facts.attributes == {ConnectAttribute.PERSISTENT_CONNECT, ConnectAttribute.LAST_WILL}
    assert (facts.client_id, facts.source_address, facts.server_name) == ("device", "127.0.0.1", "localhost")
    assert facts.will_topic == "w"
    assert persistent.attributes == {ConnectAttribute.PERSISTENT_CONNECT}
    assert plain.attributes == frozenset()
    assert plain.will_topic is None


def test_username_is_ignored_and_nowhere_in_the_log(
    live: LiveGateway, device: Identity, version: ProtocolVersion, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    fields: dict[str, Any] = {"username": "?SDK=IoTDeviceSDK/Python&Secret=of-the-user", "password": b"secret-word"}

    with connected_peer(live, device, version, **fields) as connection:
        assert connection.is_served()
        connection.send_bytes(b"\xff\xff\xff\xff\xff")
        last_packet(version, connection)

    assert "of-the-user" not in caplog.text
    assert "secret-word" not in caplog.text


def test_connack_of_mqtt_5_tells_what_aws_offers(live: LiveGateway, device: Identity) -> None:
    with peer(live, device, V5) as connection:
        connack = connection.connect(keep_alive=0, properties=ConnectProperties(session_expiry_interval=100))

    told = connack.properties
    assert connack.session_present is False
    assert (told.maximum_qos, told.retain_available, told.receive_maximum) == (1, True, 100)
    assert (told.topic_alias_maximum, told.maximum_packet_size) == (8, 149_504)
    assert (told.wildcard_subscription_available, told.subscription_identifiers_available) == (True, False)
    assert (told.shared_subscription_available, told.session_expiry_interval) == (True, 100)
    assert told.assigned_client_identifier is None
    assert told.server_keep_alive == 1200


@pytest.mark.parametrize(("asked", "granted"), [(0, 1200), (5, 30), (30, None), (1200, None), (65_535, 1200)])
def test_keep_alive_is_kept_within_aws_limits(
    live: LiveGateway, device: Identity, asked: int, granted: int | None
) -> None:
    with peer(live, device, V5) as connection:
        assert connection.connect(keep_alive=asked).properties.server_keep_alive == granted


def test_extended_authentication_is_refused(live: LiveGateway, device: Identity) -> None:
    connect = Connect(V5, "device", properties=ConnectProperties(authentication_method="SCRAM"))

    assert refusal_of(live, device, V5, connect) is ReasonCode.BAD_AUTHENTICATION_METHOD


def test_other_versions_of_mqtt_are_told_so(live: LiveGateway, device: Identity) -> None:
    with peer(live, device) as connection:
        connection.send_bytes(b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00")
        assert connection.socket.recv(16) == b"\x20\x02\x00\x01"
        assert connection.socket.recv(16) == b""


FIRST_PACKETS = {
    "PINGREQ": b"\xc0\x00",
    "PUBLISH": b"\x30\x04\x00\x01ax",
    "type 0": b"\x00\x00",
    "CONNECT that is too long": b"\x10\xff\xff\x7f",
    "length without end": b"\x10\xff\xff\xff\xff\x01",
    "CONNECT with trailing bytes": b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x01axx",
}


@pytest.mark.parametrize("kind", sorted(FIRST_PACKETS))
def test_connection_that_does_not_begin_with_connect_is_closed_in_silence(
    live: LiveGateway, device: Identity, kind: str
) -> None:
    with peer(live, device) as connection:
        connection.send_bytes(FIRST_PACKETS[kind])
        assert connection.socket.recv(16) == b""


def test_second_connect_ends_the_connection(live: LiveGateway, device: Identity, version: ProtocolVersion) -> None:
    with connected_peer(live, device, version) as connection:
        connection.send(Connect(version, "device"))
        assert last_packet(version, connection) == told(version, ReasonCode.PROTOCOL_ERROR)


def test_packets_sent_right_behind_connect_are_answered_in_order(
    live: LiveGateway, device: Identity, version: ProtocolVersion
) -> None:
    with peer(live, device, version) as connection:
        subscribe = Subscribe(1, (Subscription("a", QoS.AT_LEAST_ONCE),))
        message = Publish("b", b"", QoS.AT_LEAST_ONCE, packet_id=2)
        connection.send(Connect(version, "device"), subscribe, message, Pingreq())
        kinds = [type(connection.next_packet()).__name__ for _ in range(4)]
    assert kinds == ["Connack", "Suback", "Puback", "Pingresp"]


def test_connect_that_arrives_byte_by_byte_is_accepted(
    live: LiveGateway, device: Identity, version: ProtocolVersion
) -> None:
    with peer(live, device, version) as connection:
        for byte in encode(Connect(version, "device"), version):
            connection.send_bytes(bytes((byte,)))
        assert connection.expect(Connack).reason_code is ReasonCode.SUCCESS


# Take-over


def test_second_connection_of_a_client_takes_over(
    live: LiveGateway, device: Identity, version: ProtocolVersion
) -> None:
    with connected_peer(live, device, version) as old, connected_peer(live, device, version) as new:
        assert last_packet(version, old) == told(version, ReasonCode.SESSION_TAKEN_OVER)
        assert new.is_served()
        live.wait_until(lambda: live.gateway.connected_devices == 1)
    reasons = [event.reason for event in live.events.all if isinstance(event, ClientDisconnected)]
    assert DisconnectReason.DUPLICATE_CLIENTID in reasons


# PUBLISH


@pytest.mark.parametrize("qos", [QoS.AT_MOST_ONCE, QoS.AT_LEAST_ONCE])
def test_message_that_is_not_allowed_is_refused(live: LiveGateway, version: ProtocolVersion, qos: QoS) -> None:
    device = live.register(allowed=ONLY_A)
    with connected_peer(live, device, version) as connection:
        connection.send(Publish("b", b"", qos, packet_id=1 if qos else 0))
        if version is V5 and qos is QoS.AT_LEAST_ONCE:
            assert connection.expect(Puback).reason_code is ReasonCode.NOT_AUTHORIZED
            assert connection.is_served()
        else:
            assert last_packet(version, connection) == told(version, ReasonCode.NOT_AUTHORIZED)


def test_retained_message_needs_a_permission_of_its_own(live: LiveGateway) -> None:
    device = live.register(allowed=ONLY_A)
    with connected_peer(live, device, V5) as connection:
        assert connection.publish("a", b"1") is ReasonCode.SUCCESS
        assert connection.publish("a", b"1", retain=True) is ReasonCode.NOT_AUTHORIZED

    live.device(device).policy = policy(("iot:Connect", "*"), ("iot:Publish", "*"), ("iot:RetainPublish", "topic/a"))
    with connected_peer(live, device, V5) as connection:
        assert connection.publish("a", b"", retain=True) is ReasonCode.SUCCESS


def test_topic_alias_does_not_hide_the_topic_from_policies(live: LiveGateway) -> None:
    device = live.register(allowed=ONLY_A)
    alias = PublishProperties(topic_alias=1)
    with connected_peer(live, device, V5) as connection:
        assert connection.publish("b", b"", properties=alias) is ReasonCode.NOT_AUTHORIZED
        assert connection.publish("", b"", properties=alias) is ReasonCode.NOT_AUTHORIZED
        assert connection.publish("a", b"", properties=alias) is ReasonCode.SUCCESS
        assert connection.publish("", b"", properties=alias) is ReasonCode.SUCCESS


def test_topic_alias_beyond_what_was_offered_ends_the_connection(live: LiveGateway, device: Identity) -> None:
    with connected_peer(live, device, V5) as connection:
        connection.send(Publish("a", b"", properties=PublishProperties(topic_alias=9)))
        assert last_packet(V5, connection) is ReasonCode.TOPIC_ALIAS_INVALID


VIOLATIONS: dict[str, tuple[Packet, ReasonCode]] = {
    "QoS 2": (Publish("a", b"", QoS.EXACTLY_ONCE, packet_id=1), ReasonCode.QOS_NOT_SUPPORTED),
    "PUBREL": (Pubrel(1), ReasonCode.PROTOCOL_ERROR),
    "payload of more than 128 KiB": (Publish("a", bytes(128 * 1024 + 1)), ReasonCode.PACKET_TOO_LARGE),
    "packet of more than 146 KiB": (Publish("a", bytes(150_000)), ReasonCode.PACKET_TOO_LARGE),
    "eight slashes": (Publish("/".join("abcdefghi"), b""), ReasonCode.TOPIC_NAME_INVALID),
    "topic of 257 bytes": (Publish("t" * 257, b""), ReasonCode.TOPIC_NAME_INVALID),
    "nine filters": (Subscribe(1, tuple(Subscription(each) for each in "abcdefghi")), ReasonCode.QUOTA_EXCEEDED),
}


@pytest.mark.parametrize("kind", sorted(VIOLATIONS))
def test_what_aws_does_not_serve_ends_the_connection(
    live: LiveGateway, device: Identity, version: ProtocolVersion, kind: str
) -> None:
    packet, code = VIOLATIONS[kind]
    with connected_peer(live, device, version) as connection:
        connection.send(packet)
        assert last_packet(version, connection) == told(version, code)


def test_payload_of_128_kib_goes_through(live: LiveGateway, device: Identity, version: ProtocolVersion) -> None:
    payload = bytes(128 * 1024)
    with connected_peer(live, device, version) as connection:
        connection.subscribe("a", qos=QoS.AT_MOST_ONCE)
        connection.send(Publish("a", payload))
        assert connection.expect(Publish).payload == payload


VIOLATIONS_OF_5: dict[str, tuple[Packet, ReasonCode]] = {
    "subscription identifier": (
        Subscribe(1, (Subscription("a"),), SubscribeProperties(subscription_identifier=1)),
        ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
    ),
    "AUTH": (Auth(ReasonCode.REAUTHENTICATE, AuthProperties(authentication_method="SCRAM")), ReasonCode.PROTOCOL_ERROR),
    "session that is to last after all": (
        Disconnect(properties=DisconnectProperties(session_expiry_interval=5)),
        ReasonCode.PROTOCOL_ERROR,
    ),
}


@pytest.mark.parametrize("kind", sorted(VIOLATIONS_OF_5))
def test_what_aws_does_not_serve_of_mqtt_5_ends_the_connection(live: LiveGateway, device: Identity, kind: str) -> None:
    packet, code = VIOLATIONS_OF_5[kind]
    with connected_peer(live, device, V5) as connection:
        connection.send(packet)
        assert last_packet(V5, connection) is code


def test_reason_is_put_in_words_unless_the_client_wants_none(live: LiveGateway, device: Identity) -> None:
    said = []
    for wanted in (None, False):
        properties = ConnectProperties(request_problem_information=wanted)
        with connected_peer(live, device, V5, properties=properties) as connection:
            connection.send(Publish("a", b"", QoS.EXACTLY_ONCE, packet_id=1))
            said.append(connection.expect(Disconnect).properties.reason_string)
    assert said == ["QoS 2 is not supported", None]


# SUBSCRIBE


def test_subscription_that_is_not_allowed_is_refused(live: LiveGateway, version: ProtocolVersion) -> None:
    device = live.register(allowed=ONLY_A)
    with connected_peer(live, device, version) as connection:
        if version is V5:
            codes = connection.subscribe("a", "b", "#")
            assert codes == (ReasonCode.GRANTED_QOS_1, ReasonCode.NOT_AUTHORIZED, ReasonCode.NOT_AUTHORIZED)
            assert connection.is_served()
        else:
            connection.send(Subscribe(1, (Subscription("a"), Subscription("b"))))
            assert last_packet(version, connection) is None


def test_shared_subscription_needs_permission_for_its_filter(live: LiveGateway) -> None:
    device = live.register(allowed=ONLY_A)
    with connected_peer(live, device, V5) as connection:
        codes = connection.subscribe("$share/group/a", "$share/group/b")
        assert codes == (ReasonCode.GRANTED_QOS_1, ReasonCode.NOT_AUTHORIZED)


@pytest.mark.parametrize("topic_filter", ["a/#/b", "a+", "#a", "$share/group", "$share//a", "t" * 257])
def test_filter_that_is_none_is_refused_and_the_others_are_not(
    live: LiveGateway, device: Identity, version: ProtocolVersion, topic_filter: str
) -> None:
    with connected_peer(live, device, version) as connection:
        refused, granted = connection.subscribe(topic_filter, "a")
        expected = ReasonCode.TOPIC_FILTER_INVALID if version is V5 else ReasonCode.UNSPECIFIED_ERROR
        assert (refused, granted) == (expected, ReasonCode.GRANTED_QOS_1)


def test_qos_2_is_granted_as_qos_1(live: LiveGateway, device: Identity, version: ProtocolVersion) -> None:
    with connected_peer(live, device, version) as connection:
        filters = ("a", "$aws/certificates/create/json/accepted")
        assert connection.subscribe(*filters, qos=QoS.EXACTLY_ONCE) == (ReasonCode.GRANTED_QOS_1,) * 2


def test_fifty_subscriptions_are_enough(live: LiveGateway, device: Identity) -> None:
    own = [f"$aws/provisioning-templates/t{number}/provision/json/+" for number in range(51)]
    with connected_peer(live, device, V5) as connection:
        codes = [code for each in own for code in connection.subscribe(each)]
        assert codes == [ReasonCode.GRANTED_QOS_1] * 50 + [ReasonCode.QUOTA_EXCEEDED]
        assert connection.subscribe("a") == (ReasonCode.QUOTA_EXCEEDED,)
        assert connection.subscribe(own[0]) == (ReasonCode.GRANTED_QOS_1,)


def test_message_is_delivered_only_where_it_may_be_received(live: LiveGateway, version: ProtocolVersion) -> None:
    allowed = policy(("iot:Connect", "*"), ("iot:Subscribe", "*"), ("iot:Receive", "topic/a/1"))
    receiver, sender = live.register(allowed=allowed), live.register()
    with connected_peer(live, receiver, version, "receiver") as hears, connected_peer(live, sender, version) as says:
        assert hears.subscribe("a/#") == (ReasonCode.GRANTED_QOS_1,)
        says.publish("a/2", b"secret")
        says.publish("a/1", b"for you")
        assert hears.expect(Publish).payload == b"for you"


def test_unsubscribe_ends_subscriptions_on_both_sides(
    live: LiveGateway, device: Identity, version: ProtocolVersion
) -> None:
    own = "$aws/certificates/create/json/accepted"
    with connected_peer(live, device, version) as connection:
        connection.subscribe("a", own)
        connection.send(Unsubscribe(7, ("a", own, own, "never")))
        unsuback = connection.expect(Unsuback)
        assert unsuback.packet_id == 7
        if version is V5:
            assert unsuback.reason_codes[:2] == (ReasonCode.SUCCESS, ReasonCode.SUCCESS)
        connection.publish("a", b"")
        assert connection.is_served()
    ended = [event for event in live.events.all if isinstance(event, ClientUnsubscribed)][-1]
    assert ended.topic_filters[:2] == ("a", own)


def test_event_of_unsubscribing_names_no_more_than_a_client_can_have(
    live: LiveGateway, device: Identity, version: ProtocolVersion
) -> None:
    invalid = ("\x01" * 60_000, "a/#/b", "x" * 257)
    valid = tuple(f"{version}/{number}" for number in range(100))
    for filters, named in ((invalid, None), (("a", *invalid, "a"), ("a",)), (valid, valid[:50])):
        with connected_peer(live, device, version, "unsubscriber") as connection:
            before = [event for event in live.events.all if isinstance(event, ClientUnsubscribed)]
            connection.send(Unsubscribe(5, filters))
            codes = connection.expect(Unsuback).reason_codes
            assert codes == ((ReasonCode.SUCCESS,) * len(filters) if version is V5 else ())
            assert connection.is_served()
            events = [event for event in live.events.all if isinstance(event, ClientUnsubscribed)][len(before) :]
            assert [event.topic_filters for event in events] == ([] if named is None else [named])


def test_message_that_the_client_cannot_take_is_dropped(live: LiveGateway, device: Identity) -> None:
    small = ConnectProperties(maximum_packet_size=200)
    with connected_peer(live, device, V5, "small", properties=small) as receiver:
        receiver.subscribe("a")
        with connected_peer(live, device, V5, "sender") as sender:
            sender.publish("a", bytes(1000))
            sender.publish("a", b"small")
        assert receiver.expect(Publish).payload == b"small"


def test_client_that_cannot_take_connack_is_not_connected(live: LiveGateway, device: Identity) -> None:
    with connected_peer(live, device, V5, "listener") as listener:
        listener.subscribe("gone")
        with peer(live, device, V5) as connection:
            size = len(encode(connection.connect("large"), V5))
        for most, code in ((size, ReasonCode.SUCCESS), (size - 1, ReasonCode.PACKET_TOO_LARGE), (4, None)):
            properties = ConnectProperties(maximum_packet_size=most)
            with peer(live, device, V5) as connection:
                connection.send(Connect(V5, f"most-{most}", will=Will("gone", b""), properties=properties))
                connack = connection.next_packet()
                assert connack is None or len(encode(connack, V5)) <= most
                assert (connack.reason_code if isinstance(connack, Connack) else None) is code
                connection.send(Disconnect())
        assert listener.is_served()
    live.wait_until(lambda: not live.gateway.open_connections)
    connected = {event.link.client_id for event in live.events.all if isinstance(event, ClientConnected)}
    refused = {event.client_id for event in live.events.all if isinstance(event, ConnectRefused)}
    assert {client_id for client_id in connected if client_id.startswith("most-")} == {f"most-{size}"}
    assert {client_id for client_id in refused if client_id.startswith("most-")} == {f"most-{size - 1}", "most-4"}


def test_message_that_the_data_plane_does_not_take_is_refused(tmp_path: Path, version: ProtocolVersion) -> None:
    limits = BrokerLimits(retained_messages=1)
    with live_gateway(tmp_path, broker_limits=limits) as live, connected_peer(live, live.register(), version) as device:
        assert device.publish("a", b"1", retain=True) is ReasonCode.SUCCESS
        device.send(Publish("b", b"1", QoS.AT_LEAST_ONCE, retain=True, packet_id=9))
        if version is V5:
            assert device.expect(Puback).reason_code is ReasonCode.QUOTA_EXCEEDED
        else:
            assert device.is_closed()


def test_subscriptions_that_were_all_refused_are_no_event(live: LiveGateway, device: Identity) -> None:
    with connected_peer(live, device, V5) as connection:
        connection.subscribe("a+")
        assert connection.is_served()
    assert not [each for each in live.events.all if isinstance(each, ClientSubscribed) and each.topic_filters == ()]


# Ends


def test_farewell_keeps_the_will_back_and_a_loss_does_not(
    live: LiveGateway, device: Identity, version: ProtocolVersion
) -> None:
    will = Will("gone", b"device")
    with connected_peer(live, device, version, "observer") as observer:
        observer.subscribe("gone", "after")
        with connected_peer(live, device, version, will=will) as polite:
            polite.send(Disconnect())
            assert polite.is_closed()
        observer.publish("after", b"1")
        assert observer.expect(Publish).topic == "after"
        with connected_peer(live, device, version, will=will):
            pass
        assert observer.expect(Publish).topic == "gone"
    reasons = [event.reason for event in live.events.all if isinstance(event, ClientDisconnected)]
    assert DisconnectReason.CLIENT_INITIATED_DISCONNECT in reasons
    assert DisconnectReason.CONNECTION_LOST in reasons


@pytest.mark.parametrize("code", sorted(DISCONNECT_OF_CLIENT.values()))
def test_farewell_of_mqtt_5_keeps_the_will_back_with_code_0_only(
    live: LiveGateway, device: Identity, code: ReasonCode
) -> None:
    client_id, is_left_cleanly = f"leaving-{code}", code is ReasonCode.NORMAL_DISCONNECTION
    with connected_peer(live, device, V5, "observer") as observer:
        observer.subscribe("gone", "after")
        with connected_peer(live, device, V5, client_id, will=Will("gone", b"")) as leaving:
            leaving.send(Disconnect(code))
            assert leaving.is_closed()
        live.wait_until(lambda: client_id in left(live))
        with connected_peer(live, device, V5, "other") as other:
            other.publish("after")
        assert observer.expect(Publish).topic == ("after" if is_left_cleanly else "gone")


def left(live: LiveGateway) -> set[str]:
    return {event.link.client_id for event in live.events.all if isinstance(event, ClientDisconnected)}


def test_connect_that_was_refused_leaves_no_will(live: LiveGateway, version: ProtocolVersion) -> None:
    refused, observed = live.register(allowed=policy(("iot:Publish", "*"))), live.register()
    with connected_peer(live, observed, version, "observer") as observer:
        observer.subscribe("gone")
        connect = Connect(version, "device", will=Will("gone", b""))
        assert refusal_of(live, refused, version, connect) == told(version, ReasonCode.NOT_AUTHORIZED)
        assert observer.is_served()


def test_events_tell_the_life_of_a_connection(live: LiveGateway, device: Identity, version: ProtocolVersion) -> None:
    with connected_peer(live, device, version, "told") as connection:
        connection.subscribe("a")
        connection.send(Disconnect())
        assert connection.is_closed()

    def told() -> list[GatewayEvent]:
        # Earlier tests of this gateway may still be leaving.
        return [
            event
            for event in live.events.all
            if not isinstance(event, ConnectRefused) and event.link.principal_id == device.certificate_id
        ]

    live.wait_until(lambda: len(told()) == 3)
    connected, subscribed, disconnected = told()
    assert isinstance(connected, ClientConnected)
    assert isinstance(subscribed, ClientSubscribed)
    assert isinstance(disconnected, ClientDisconnected)
    assert connected.link == subscribed.link == disconnected.link
    assert (connected.link.client_id, connected.link.principal_id) == ("told", device.certificate_id)
    assert connected.link.source_address == "127.0.0.1"
    assert subscribed.topic_filters == ("a",)
    assert disconnected.client_initiated


def test_session_outlives_its_connection_but_not_filters_on_reserved_topics(
    live: LiveGateway, device: Identity
) -> None:
    with connected_peer(live, device, V3, "lasting", clean_start=False) as first:
        first.subscribe("a", "$aws/certificates/create/json/accepted")
        first.send(Disconnect())
        assert first.is_closed()
    with peer(live, device, V3) as second:
        assert second.connect("lasting", clean_start=False).session_present
        second.publish("a", b"still subscribed")
        assert second.expect(Publish).payload == b"still subscribed"
        second.publish("$aws/certificates/create/json", b"{}")
        assert second.expect(Publish).qos is QoS.AT_MOST_ONCE
