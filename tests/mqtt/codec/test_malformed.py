"""What MQTT forbids, one line each: the bytes, and the reason code of the refusal."""

import pytest
from tests.support.devices.packets import V3, V5, frame_of, read_client, read_server

from thingmint.mqtt.codec.codec import UNSUPPORTED_VERSION_ANSWER, decode_client_packet, encode
from thingmint.mqtt.codec.framing import Frame, FrameReader
from thingmint.mqtt.codec.packets import Auth, Connack, Connect, Disconnect, ProtocolVersion, Publish, QoS, Subscribe
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode

MALFORMED, PROTOCOL_ERROR = ReasonCode.MALFORMED_PACKET, ReasonCode.PROTOCOL_ERROR
UNSUPPORTED = ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
MQTT = b"\0\4MQTT"


def packet(first_byte: int, *parts: bytes) -> bytes:
    """Return a short packet; its remaining length fits in one octet."""
    body = b"".join(parts)
    assert len(body) < 0x80
    return bytes((first_byte, len(body))) + body


def properties(*parts: bytes) -> bytes:
    """Return properties behind their length."""
    joined = b"".join(parts)
    return bytes((len(joined),)) + joined


def connect(flags: int, *payload: bytes, level: int = 4) -> bytes:
    """Return a CONNECT of client id c; with properties that are empty, if the level is 5."""
    return packet(0x10, MQTT, bytes((level, flags)), b"\0\x3c", b"\0" * (level == 5), b"\0\1c", *payload)


def connect_5(*parts: bytes) -> bytes:
    """Return an MQTT 5 CONNECT with these properties."""
    return packet(0x10, MQTT, b"\5\2\0\0", properties(*parts), b"\0\0")


WILL = b"\0\1w\0\0"
FIRST_PACKETS = {
    "a reserved flag of the header": (connect(2)[:1].replace(b"\x10", b"\x11") + connect(2)[1:], MALFORMED),
    "not CONNECT": (packet(0xC0), PROTOCOL_ERROR),
    "type 0": (packet(0x00), PROTOCOL_ERROR),
    "nothing": (packet(0x10), MALFORMED),
    "another protocol": (packet(0x10, b"\0\4HTTP\4\2\0\0\0\0"), MALFORMED),
    "no level": (packet(0x10, MQTT), MALFORMED),
    "level 3": (packet(0x10, MQTT, b"\3\2\0\0\0\0"), UNSUPPORTED),
    "level 6": (packet(0x10, MQTT, b"\6\2\0\0\0\0"), UNSUPPORTED),
    "level 4 of MQIsdp": (packet(0x10, b"\0\6MQIsdp\4\2\0\0\0\0"), UNSUPPORTED),
    "MQTT 3.1": (packet(0x10, b"\0\6MQIsdp\3\2\0\0\0\0"), UNSUPPORTED),
    "a reserved flag": (connect(0x03), MALFORMED),
    "a will's QoS without a will": (connect(0x08), MALFORMED),
    "a will's RETAIN without a will": (connect(0x20), MALFORMED),
    "a will of QoS 3": (connect(0x1C, WILL), MALFORMED),
    "a will of QoS 3, MQTT 5": (connect(0x1C, b"\0", WILL, level=5), MALFORMED),
    "a will without a topic": (connect(0x04, b"\0\0\0\0"), MALFORMED),
    "a will with a wildcard": (connect(0x04, b"\0\3a/#\0\0"), MALFORMED),
    "a will that is missing": (connect(0x04), MALFORMED),
    "a password without a username, 3.1.1": (connect(0x40, b"\0\1p"), MALFORMED),
    "a username that is missing": (connect(0x80), MALFORMED),
    "a password that is missing": (connect(0xC0, b"\0\1u"), MALFORMED),
    "a username that was not announced": (connect(0x02, b"\0\1u"), MALFORMED),
    "a client id with NUL": (packet(0x10, MQTT, b"\4\2\0\0\0\3a\0b"), MALFORMED),
    "a client id with a surrogate": (packet(0x10, MQTT, b"\4\2\0\0\0\3\xed\xa0\x80"), MALFORMED),
    "a client id in an overlong form": (packet(0x10, MQTT, b"\4\2\0\0\0\2\xc1\x81"), MALFORMED),
    "a client id beyond the packet": (packet(0x10, MQTT, b"\4\2\0\0\0\2a"), MALFORMED),
    "MQTT 5 without properties": (packet(0x10, MQTT, b"\5\2\0\0"), MALFORMED),
    "properties beyond the packet": (packet(0x10, MQTT, b"\5\2\0\0\x7f\0\0"), MALFORMED),
    "a property cut off by the properties' end": (packet(0x10, MQTT, b"\5\2\0\0\2\x21\0\1\0\0"), MALFORMED),
    "a property cut off by the packet's end": (packet(0x10, MQTT, b"\5\2\0\0\3\x11\0\0"), MALFORMED),
    "a property whose value is behind the properties' end": (packet(0x10, MQTT, b"\5\2\0\0\1\x21\0\0\0\1c"), MALFORMED),
    "a property unknown": (connect_5(b"\x7e\0"), MALFORMED),
    "a property of another packet": (connect_5(b"\x23\0\1"), MALFORMED),
    "a property twice": (connect_5(b"\x21\0\1\x21\0\1"), PROTOCOL_ERROR),
    "Receive Maximum 0": (connect_5(b"\x21\0\0"), PROTOCOL_ERROR),
    "Maximum Packet Size 0": (connect_5(b"\x27\0\0\0\0"), PROTOCOL_ERROR),
    "a flag of 2": (connect_5(b"\x17\2"), PROTOCOL_ERROR),
    "authentication data without a method": (connect_5(b"\x16\0\1d"), PROTOCOL_ERROR),
    "a user property without a value": (connect_5(b"\x26\0\1k"), MALFORMED),
    "a user property with NUL": (connect_5(b"\x26\0\1\0\0\1v"), MALFORMED),
    "a length of properties that is padded": (packet(0x10, MQTT, b"\5\2\0\0\x80\0\0\0"), MALFORMED),
    "a length of properties of five octets": (packet(0x10, MQTT, b"\5\2\0\0\x80\x80\x80\x80\1\0\0"), MALFORMED),
    "a will's property of another packet": (connect(0x04, properties(b"\x21\0\1"), WILL, level=5), MALFORMED),
    "a will's response topic with a wildcard": (connect(0x04, properties(b"\x08\0\1+"), WILL, level=5), MALFORMED),
}
BOTH = {
    "a second CONNECT": (connect(2), PROTOCOL_ERROR),
    "what servers send": (packet(0x20, b"\0\0"), PROTOCOL_ERROR),
    "SUBACK": (packet(0x90, b"\0\1\0"), PROTOCOL_ERROR),
    "UNSUBACK": (packet(0xB0, b"\0\1"), PROTOCOL_ERROR),
    "PINGRESP": (packet(0xD0), PROTOCOL_ERROR),
    "type 0": (packet(0x00), MALFORMED),
    "PINGREQ with a flag": (packet(0xC1), MALFORMED),
    "PINGREQ with a body": (packet(0xC0, b"\0"), MALFORMED),
    "DISCONNECT with a flag": (packet(0xE4), MALFORMED),
    "PUBACK with a flag": (packet(0x42, b"\0\1"), MALFORMED),
    "PUBACK of packet 0": (packet(0x40, b"\0\0"), PROTOCOL_ERROR),
    "PUBACK cut short": (packet(0x40, b"\0"), MALFORMED),
    "PUBREC with a flag": (packet(0x51, b"\0\1"), MALFORMED),
    "PUBREL without its flags": (packet(0x60, b"\0\1"), MALFORMED),
    "PUBCOMP of packet 0": (packet(0x70, b"\0\0"), PROTOCOL_ERROR),
    "a message without a topic's length": (packet(0x30, b"\0"), MALFORMED),
    "a message with nothing": (packet(0x30), MALFORMED),
    "a message whose topic is cut short": (packet(0x30, b"\0\3ab"), MALFORMED),
    "a message without its packet identifier": (packet(0x32, b"\0\1a\0"), MALFORMED),
    "a message of packet 0": (packet(0x32, b"\0\1a\0\0\0"), PROTOCOL_ERROR),
    "a message of QoS 3": (packet(0x36, b"\0\1a\0\1\0"), MALFORMED),
    "a message of QoS 3 sent twice": (packet(0x3E, b"\0\1a\0\1\0"), MALFORMED),
    "DUP at QoS 0": (packet(0x38, b"\0\1a\0"), MALFORMED),
    "a topic with +": (packet(0x30, b"\0\3a/+\0"), MALFORMED),
    "a topic with #": (packet(0x30, b"\0\1#\0"), MALFORMED),
    "a topic with NUL": (packet(0x30, b"\0\1\0\0"), MALFORMED),
    "a topic that is not UTF-8": (packet(0x30, b"\0\1\xff\0"), MALFORMED),
    "a topic with a surrogate": (packet(0x30, b"\0\3\xed\xbf\xbf\0"), MALFORMED),
    "SUBSCRIBE without its flags": (packet(0x80, b"\0\1\0\0\1a\0"), MALFORMED),
    "UNSUBSCRIBE without its flags": (packet(0xA0, b"\0\1\0\0\1a"), MALFORMED),
}
IN_3_1_1 = {
    "AUTH": (packet(0xF0), PROTOCOL_ERROR),
    "DISCONNECT with a body": (packet(0xE0, b"\0"), MALFORMED),
    "PUBACK with a reason": (packet(0x40, b"\0\1\0"), MALFORMED),
    "a message without a topic": (packet(0x30, b"\0\0"), MALFORMED),
    "SUBSCRIBE of packet 0": (packet(0x82, b"\0\0\0\1a\0"), PROTOCOL_ERROR),
    "SUBSCRIBE to nothing": (packet(0x82, b"\0\1"), PROTOCOL_ERROR),
    "SUBSCRIBE to an empty filter": (packet(0x82, b"\0\1\0\0\0"), MALFORMED),
    "SUBSCRIBE without a QoS": (packet(0x82, b"\0\1\0\1a"), MALFORMED),
    "SUBSCRIBE at QoS 3": (packet(0x82, b"\0\1\0\1a\3"), MALFORMED),
    "SUBSCRIBE with an option of MQTT 5": (packet(0x82, b"\0\1\0\1a\4"), MALFORMED),
    "UNSUBSCRIBE from nothing": (packet(0xA2, b"\0\1"), PROTOCOL_ERROR),
    "UNSUBSCRIBE from an empty filter": (packet(0xA2, b"\0\1\0\0"), MALFORMED),
    "UNSUBSCRIBE of packet 0": (packet(0xA2, b"\0\0\0\1a"), PROTOCOL_ERROR),
}
IN_5 = {
    "a message with neither topic nor alias": (packet(0x30, b"\0\0\0"), PROTOCOL_ERROR),
    "a message with a flag that is taken from its payload": (packet(0x30, b"\0\1a\1\1bleed"), MALFORMED),
    "a message with an alias that is taken from its payload": (packet(0x30, b"\0\1a\2\x23\0\0bleed"), MALFORMED),
    "a message with a topic that is taken from its payload": (packet(0x30, b"\0\1a\3\x08\0\1#leed"), MALFORMED),
    "a message without properties": (packet(0x30, b"\0\1a"), MALFORMED),
    "a message with alias 0": (packet(0x30, b"\0\1a\3\x23\0\0"), PROTOCOL_ERROR),
    "a message with a subscription identifier": (packet(0x30, b"\0\1a\2\x0b\1"), MALFORMED),
    "a message with a property of a will": (packet(0x30, b"\0\1a\5\x18\0\0\0\0"), MALFORMED),
    "a message with two types of content": (packet(0x30, b"\0\1a", properties(b"\3\0\0" * 2)), PROTOCOL_ERROR),
    "a message with a format of 2": (packet(0x30, b"\0\1a\2\1\2"), PROTOCOL_ERROR),
    "a response topic with a wildcard": (packet(0x30, b"\0\1a", properties(b"\x08\0\1#")), MALFORMED),
    "PUBACK with a reason that it has not": (packet(0x40, b"\0\1\x8f"), PROTOCOL_ERROR),
    "PUBACK with a foreign property": (packet(0x40, b"\0\1\0\3\x21\0\1"), MALFORMED),
    "PUBACK that goes on": (packet(0x40, b"\0\1\0\0\0"), MALFORMED),
    "PUBREL with a reason that it has not": (packet(0x62, b"\0\1\x87"), PROTOCOL_ERROR),
    "SUBSCRIBE without properties": (packet(0x82, b"\0\1"), MALFORMED),
    "SUBSCRIBE to nothing": (packet(0x82, b"\0\1\0"), PROTOCOL_ERROR),
    "SUBSCRIBE to an empty filter": (packet(0x82, b"\0\1\0\0\0\0"), MALFORMED),
    "SUBSCRIBE at QoS 3": (packet(0x82, b"\0\1\0\0\1a\3"), MALFORMED),
    "SUBSCRIBE with retain handling 3": (packet(0x82, b"\0\1\0\0\1a\x30"), MALFORMED),
    "SUBSCRIBE with a reserved option": (packet(0x82, b"\0\1\0\0\1a\x40"), MALFORMED),
    "SUBSCRIBE with No Local on what is shared": (packet(0x82, b"\0\1\0\0\x0a$share/g/a\4"), PROTOCOL_ERROR),
    "SUBSCRIBE with identifier 0": (packet(0x82, b"\0\1\2\x0b\0\0\1a\0"), PROTOCOL_ERROR),
    "SUBSCRIBE with two identifiers": (packet(0x82, b"\0\1\4\x0b\1\x0b\2\0\1a\0"), PROTOCOL_ERROR),
    "UNSUBSCRIBE with an identifier": (packet(0xA2, b"\0\1\2\x0b\1\0\1a"), MALFORMED),
    "UNSUBSCRIBE from nothing": (packet(0xA2, b"\0\1\0"), PROTOCOL_ERROR),
    "DISCONNECT with a reason of servers": (packet(0xE0, b"\x8e"), PROTOCOL_ERROR),
    "DISCONNECT with a reference to a server": (packet(0xE0, b"\0", properties(b"\x1c\0\1s")), MALFORMED),
    "DISCONNECT that goes on": (packet(0xE0, b"\0\0\0"), MALFORMED),
    "AUTH that says success": (packet(0xF0), MALFORMED),
    "AUTH that says success aloud": (packet(0xF0, b"\0", properties(b"\x15\0\1m")), PROTOCOL_ERROR),
    "AUTH without a method": (packet(0xF0, b"\x18\0"), PROTOCOL_ERROR),
    "AUTH without properties": (packet(0xF0, b"\x18"), MALFORMED),
    "AUTH with a flag": (packet(0xF1, b"\x18\0"), MALFORMED),
}
OF_SERVERS_3_1_1 = {
    "CONNACK with a reserved flag": (packet(0x20, b"\2\0"), MALFORMED),
    "CONNACK with return code 6": (packet(0x20, b"\0\6"), PROTOCOL_ERROR),
    "CONNACK with a session and a refusal": (packet(0x20, b"\1\5"), PROTOCOL_ERROR),
    "CONNACK that goes on": (packet(0x20, b"\0\0\0"), MALFORMED),
    "SUBACK without a code": (packet(0x90, b"\0\1"), PROTOCOL_ERROR),
    "SUBACK with another failure": (packet(0x90, b"\0\1\x87"), PROTOCOL_ERROR),
    "UNSUBACK with a code": (packet(0xB0, b"\0\1\0"), MALFORMED),
    "DISCONNECT": (packet(0xE0), PROTOCOL_ERROR),
    "PINGREQ": (packet(0xC0), PROTOCOL_ERROR),
    "PINGRESP with a body": (packet(0xD0, b"\0"), MALFORMED),
}
OF_SERVERS_5 = {
    "CONNACK without properties": (packet(0x20, b"\0\0"), MALFORMED),
    "CONNACK with Maximum QoS 2": (packet(0x20, b"\0\0\2\x24\2"), PROTOCOL_ERROR),
    "CONNACK with a reason that it has not": (packet(0x20, b"\0\x8e\0"), PROTOCOL_ERROR),
    "UNSUBACK without a code": (packet(0xB0, b"\0\1\0"), PROTOCOL_ERROR),
    "DISCONNECT with an expiry": (packet(0xE0, b"\0", properties(b"\x11\0\0\0\1")), MALFORMED),
    "DISCONNECT with a reason of clients": (packet(0xE0, b"\4"), PROTOCOL_ERROR),
    "AUTH that asks to authenticate again": (packet(0xF0, b"\x19", properties(b"\x15\0\1m")), PROTOCOL_ERROR),
    "SUBSCRIBE": (packet(0x82, b"\0\1\0\0\1a\0"), PROTOCOL_ERROR),
}


def cases(table: dict[str, tuple[bytes, ReasonCode]]) -> pytest.MarkDecorator:
    """Run a test for each line of a table."""
    return pytest.mark.parametrize(("wire", "reason_code"), table.values(), ids=table.keys())


def assert_refused(wire: bytes, version: ProtocolVersion | None, reason_code: ReasonCode) -> None:
    with pytest.raises(PacketRefused) as refused:
        read_client(wire, version)
    assert refused.value.reason_code is reason_code


@cases(FIRST_PACKETS)
def test_first_packets_are_refused(wire: bytes, reason_code: ReasonCode) -> None:
    assert_refused(wire, None, reason_code)


@cases(BOTH)
def test_packets_are_refused_in_3_1_1(wire: bytes, reason_code: ReasonCode) -> None:
    assert_refused(wire, V3, reason_code)


@cases(BOTH)
def test_packets_are_refused_in_5(wire: bytes, reason_code: ReasonCode) -> None:
    assert_refused(wire, V5, reason_code)


@cases(IN_3_1_1)
def test_packets_are_refused_in_3_1_1_alone(wire: bytes, reason_code: ReasonCode) -> None:
    assert_refused(wire, V3, reason_code)


@cases(IN_5)
def test_packets_are_refused_in_5_alone(wire: bytes, reason_code: ReasonCode) -> None:
    assert_refused(wire, V5, reason_code)


@cases(OF_SERVERS_3_1_1)
def test_packets_of_servers_are_refused_in_3_1_1(wire: bytes, reason_code: ReasonCode) -> None:
    with pytest.raises(PacketRefused) as refused:
        read_server(wire, V3)
    assert refused.value.reason_code is reason_code


@cases(OF_SERVERS_5)
def test_packets_of_servers_are_refused_in_5(wire: bytes, reason_code: ReasonCode) -> None:
    with pytest.raises(PacketRefused) as refused:
        read_server(wire, V5)
    assert refused.value.reason_code is reason_code


def test_a_refused_version_has_its_answer_in_the_form_of_3_1_1() -> None:
    assert encode(Connack(False, UNSUPPORTED), V3) == UNSUPPORTED_VERSION_ANSWER == b"\x20\x02\x00\x01"


def test_a_refusal_holds_nothing_of_the_packet() -> None:
    with pytest.raises(PacketRefused) as refused:
        read_client(packet(0x30, b"\0\x08secret/#\0"), V5)
    assert "secret" not in refused.value.message
    assert str(refused.value) == refused.value.message


@pytest.mark.parametrize("wire", [connect(2, level=5), packet(0x30, b"\0\1a\0"), packet(0xC0)])
def test_a_padded_remaining_length_is_refused_in_5_and_read_in_3_1_1(wire: bytes) -> None:
    padded = wire[:1] + bytes((wire[1] | 0x80, 0)) + wire[2:]
    version = None if wire[0] == 0x10 else V5
    assert read_client(wire, version) is not None
    with pytest.raises(PacketRefused, match="padded"):
        read_client(padded, version)


def test_a_padded_remaining_length_of_a_server_is_refused_in_5() -> None:
    assert read_server(b"\x30\x84\x00\0\1a\0", V3) == Publish("a", b"\0")
    with pytest.raises(PacketRefused, match="padded"):
        read_server(b"\x30\x84\x00\0\1a\0", V5)


def test_a_padded_connect_of_3_1_1_is_read() -> None:
    wire = connect(2)
    assert read_client(wire[:1] + bytes((wire[1] | 0x80, 0)) + wire[2:], None) == Connect(V3, "c", keep_alive=60)


def test_mqtt_5_allows_a_password_alone() -> None:
    read = read_client(connect(0x42, b"\0\1p", level=5), None)
    assert read == Connect(V5, "c", keep_alive=60, password=b"p")


def test_qos_2_is_read_so_that_it_can_be_refused() -> None:
    message = read_client(packet(0x34, b"\0\1a\0\1"), V3)
    assert isinstance(message, Publish)
    assert message.qos is QoS.EXACTLY_ONCE


def test_a_filter_that_is_not_valid_is_read_so_that_suback_can_refuse_it() -> None:
    subscribe = read_client(packet(0x82, b"\0\1\0\0\3a#/\1"), V5)
    assert isinstance(subscribe, Subscribe)
    assert subscribe.subscriptions[0].topic_filter == "a#/"


def test_disconnect_says_its_reason_in_the_shortest_form() -> None:
    assert encode(Disconnect(), V5) == b"\xe0\x00"
    assert encode(Disconnect(ReasonCode.SESSION_TAKEN_OVER), V5) == b"\xe0\x01\x8e"


def test_the_server_ends_authentication_with_nothing_at_all() -> None:
    assert encode(Auth(), V5) == b"\xf0\x00"
    assert read_server(b"\xf0\x00", V5) == Auth()


def test_thousands_of_user_properties_are_read() -> None:
    pairs = b"\x26\0\0\0\0" * 20_000
    length = len(pairs)
    body = b"\0\1a" + bytes((length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14)) + pairs
    message = decode_client_packet(Frame(0x30, body), V5)
    assert isinstance(message, Publish)
    assert len(message.properties.user_properties) == 20_000


def test_the_size_of_a_packet_is_refused_before_its_body_arrives() -> None:
    reader = FrameReader(128)
    reader.feed(b"\x30\xff\xff\xff\x7f")
    with pytest.raises(PacketRefused) as refused:
        reader.next_frame()
    assert refused.value.reason_code is ReasonCode.PACKET_TOO_LARGE


def test_payloads_and_secrets_are_in_no_repr() -> None:
    shown = [
        Publish("a", b"SECRET"),
        Connect(V3, "c", username="u", password=b"SECRET"),
        frame_of(encode(Publish("a", b"SECRET"), V3)),
    ]
    assert "SECRET" not in "".join(map(repr, shown))
