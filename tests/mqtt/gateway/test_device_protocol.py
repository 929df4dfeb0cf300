"""The protocol's state on one connection, without a socket: any bytes in, any refusal out."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.devices.packets import V3, V5, VERSIONS, client_packets, connects

from thingmint.mqtt.codec.codec import UNSUPPORTED_VERSION_ANSWER, decode_server_packet, encode
from thingmint.mqtt.codec.framing import FrameReader
from thingmint.mqtt.codec.packets import (
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    ProtocolVersion,
    Puback,
    Publish,
    ServerPacket,
    Will,
)
from thingmint.mqtt.codec.properties import ConnectProperties
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.data_plane import Opened
from thingmint.mqtt.gateway.link.device_protocol import DeviceProtocol, Request

CONNECT_BYTES = 32 * 1024
REQUESTS = ("Connect", "Publish", "Puback", "Subscribe", "Unsubscribe", "Pingreq", "Disconnect")
FAILURES = [code for code in ReasonCode if code.is_failure]


def connecting(version: ProtocolVersion, **fields: object) -> DeviceProtocol:
    """Return a protocol that has read CONNECT."""
    protocol = DeviceProtocol(CONNECT_BYTES)
    protocol.feed(encode(Connect(version, "device", **fields), version))  # type: ignore[arg-type]  # passed through
    assert isinstance(protocol.next_request(), Connect)
    return protocol


def accepted(version: ProtocolVersion, **fields: object) -> DeviceProtocol:
    """Return a protocol whose CONNECT was accepted."""
    protocol = connecting(version, **fields)
    protocol.accept(Opened(session_present=False, session_expiry_interval=0))
    return protocol


def only_packet(encoded: bytes, version: ProtocolVersion) -> ServerPacket:
    reader = FrameReader(1_000_000)
    reader.feed(encoded)
    frame = reader.next_frame()
    assert frame is not None
    assert reader.buffered == 0
    return decode_server_packet(frame, version)


def requests_in(protocol: DeviceProtocol, pieces: list[bytes]) -> tuple[list[Request], ReasonCode | None]:
    """Feed pieces; return all requests, and the refusal that ended them."""
    requests: list[Request] = []
    try:
        for piece in pieces:
            protocol.feed(piece)
            while (request := protocol.next_request()) is not None:
                requests.append(request)
    except PacketRefused as refusal:
        return requests, refusal.reason_code
    return requests, None


@given(st.lists(st.binary(max_size=40), max_size=8), VERSIONS)
def test_any_bytes_are_requests_or_refused(pieces: list[bytes], version: ProtocolVersion) -> None:
    for protocol in (DeviceProtocol(CONNECT_BYTES), accepted(version)):
        requests, _refusal = requests_in(protocol, pieces)
        assert all(type(request).__name__ in REQUESTS for request in requests)


@given(st.data(), VERSIONS)
def test_what_comes_out_does_not_depend_on_how_it_was_cut(data: st.DataObject, version: ProtocolVersion) -> None:
    packets = data.draw(st.lists(client_packets(version), max_size=6))
    stream = b"".join(encode(packet, version) for packet in packets)
    size = data.draw(st.integers(1, 20))

    whole = requests_in(accepted(version), [stream])
    in_pieces = requests_in(accepted(version), [stream[at : at + size] for at in range(0, len(stream), size)])

    assert whole == in_pieces


@given(st.data(), VERSIONS)
def test_any_connect_is_taken_or_refused_with_words_that_can_be_said(
    data: st.DataObject, version: ProtocolVersion
) -> None:
    connect = data.draw(connects(version))
    protocol = DeviceProtocol(CONNECT_BYTES)

    requests, refusal = requests_in(protocol, [encode(connect, version)])

    if refusal is None:
        (request,) = requests
        assert isinstance(request, Connect)
        assert (request.username, request.password) == (None, None)
        assert protocol.client_id
        assert 30 <= protocol.keep_alive <= 1200
        assert 1 <= protocol.receive_maximum <= 100
        opened = Opened(session_present=True, session_expiry_interval=0)
        encoded = protocol.accept(opened)
        assert isinstance(only_packet(encoded, version), Connack)
        fits = protocol.maximum_packet_size is None or len(encoded) <= protocol.maximum_packet_size
        with contextlib.nullcontext() if fits else pytest.raises(PacketRefused):
            protocol.require_connack_fits(opened)
    else:
        said = protocol.last_packet(refusal, "so it is")
        assert said == b"" or isinstance(only_packet(said, version), Connack)


@pytest.mark.parametrize("code", FAILURES)
def test_every_refusal_can_be_said_before_and_after_connack(code: ReasonCode) -> None:
    if code is ReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
        assert DeviceProtocol(CONNECT_BYTES).last_packet(code) == UNSUPPORTED_VERSION_ANSWER
        return
    assert DeviceProtocol(CONNECT_BYTES).last_packet(code, "why") == b""
    connack = only_packet(connecting(V5).last_packet(code, "why"), V5)
    assert isinstance(connack, Connack)
    assert connack.reason_code.is_failure
    assert connack.properties.reason_string == "why"
    disconnect = only_packet(accepted(V5).last_packet(code, "why"), V5)
    assert isinstance(disconnect, Disconnect)
    assert disconnect.reason_code.is_failure
    assert accepted(V3).last_packet(code, "why") == b""


def test_mqtt_3_1_1_is_told_of_two_refusals_only() -> None:
    told = {code for code in FAILURES if connecting(V3).last_packet(code)} - {ReasonCode.UNSUPPORTED_PROTOCOL_VERSION}

    assert told == {ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, ReasonCode.SERVER_UNAVAILABLE}


def test_what_the_client_cannot_take_is_not_said() -> None:
    tiny, small = ConnectProperties(maximum_packet_size=4), ConnectProperties(maximum_packet_size=28)

    assert connecting(V5, properties=tiny).last_packet(ReasonCode.NOT_AUTHORIZED, "a long reason") == b""
    assert accepted(V5, properties=small).bytes_of(Publish("topic", b"a payload of many bytes")) is None
    assert accepted(V5, properties=small).bytes_of(Publish("topic", b"")) is not None


def test_a_code_without_its_reason_is_said_if_only_that_fits() -> None:
    properties = ConnectProperties(maximum_packet_size=28)
    for protocol, kind in (
        (connecting(V5, properties=properties), Connack),
        (accepted(V5, properties=properties), Disconnect),
    ):
        packet = only_packet(protocol.last_packet(ReasonCode.NOT_AUTHORIZED, "a reason of many words and bytes"), V5)
        assert isinstance(packet, kind)
        assert packet.reason_code is ReasonCode.NOT_AUTHORIZED
        assert packet.properties.reason_string is None


def test_connect_has_less_room_than_what_follows() -> None:
    protocol = DeviceProtocol(100)
    protocol.feed(b"\x10\x65")
    with pytest.raises(PacketRefused) as refused:
        protocol.next_request()
    assert refused.value.reason_code is ReasonCode.PACKET_TOO_LARGE
    accepted(V3).feed(b"\x30\xe5\x65")


def test_large_will_is_let_go_once_connect_was_accepted() -> None:
    protocol = accepted(V5, will=Will("w", bytes(20_000)))

    assert protocol.connect is not None
    assert protocol.connect.will is None


@pytest.mark.parametrize("version", [V3, V5])
def test_short_packets_are_recognised_only_if_nothing_waits(version: ProtocolVersion) -> None:
    protocol, ping = accepted(version), encode(Pingreq(), version)
    acknowledgement = encode(Puback(0x1234), version)
    assert protocol.only_acknowledgement(acknowledgement) == 0x1234
    assert protocol.is_only_ping(ping)
    for others in (b"", ping, acknowledgement[:3], acknowledgement + ping, b"\x40\x02\x00\x00"):
        assert protocol.only_acknowledgement(others) == 0
    for others in (b"", acknowledgement, ping[:1], ping + ping):
        assert not protocol.is_only_ping(others)
    protocol.feed(ping[:1])
    assert protocol.only_acknowledgement(acknowledgement) == 0
    assert not protocol.is_only_ping(ping)


@pytest.mark.parametrize("version", [V3, V5])
def test_short_packets_are_not_recognised_before_connack(version: ProtocolVersion) -> None:
    protocol = connecting(version)
    assert protocol.only_acknowledgement(encode(Puback(1), version)) == 0
    assert not protocol.is_only_ping(encode(Pingreq(), version))
