"""Everything that can be said is read back as it was said, and nothing but a refusal comes out of other bytes."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.devices.packets import (
    V3,
    V5,
    client_packets,
    connects,
    frame_of,
    read_client,
    read_server,
    server_packets,
)

from thingmint.mqtt.codec.codec import decode_client_packet, decode_server_packet, encode
from thingmint.mqtt.codec.framing import Frame, FrameReader
from thingmint.mqtt.codec.packets import ProtocolVersion
from thingmint.mqtt.codec.reason_codes import PacketRefused

CONNECT = 0x10

EACH_VERSION = pytest.mark.parametrize("version", ProtocolVersion)


@EACH_VERSION
@given(data=st.data())
def test_a_connect_is_read_back(version: ProtocolVersion, data: st.DataObject) -> None:
    packet = data.draw(connects(version))
    assert read_client(encode(packet, version), None) == packet


@EACH_VERSION
@given(data=st.data())
def test_what_a_client_says_is_read_back(version: ProtocolVersion, data: st.DataObject) -> None:
    packet = data.draw(client_packets(version))
    assert read_client(encode(packet, version), version) == packet


@EACH_VERSION
@given(data=st.data())
def test_what_a_server_says_is_read_back(version: ProtocolVersion, data: st.DataObject) -> None:
    packet = data.draw(server_packets(version))
    assert read_server(encode(packet, version), version) == packet


FRAMES = st.builds(Frame, st.integers(0, 255), st.binary(max_size=60), st.booleans())


@given(FRAMES, st.sampled_from((None, V3, V5)))
def test_any_frame_of_a_client_is_a_packet_or_refused(frame: Frame, version: ProtocolVersion | None) -> None:
    try:
        packet = decode_client_packet(frame, version)
    except PacketRefused:
        return
    written = version or V5
    assert read_client(encode(packet, written), version) == packet


@given(FRAMES, st.sampled_from((V3, V5)))
def test_any_frame_of_a_server_is_a_packet_or_refused(frame: Frame, version: ProtocolVersion) -> None:
    try:
        packet = decode_server_packet(frame, version)
    except PacketRefused:
        return
    assert read_server(encode(packet, version), version) == packet


@EACH_VERSION
@given(data=st.data())
def test_a_packet_with_changed_bytes_is_a_packet_or_refused(version: ProtocolVersion, data: st.DataObject) -> None:
    wire = bytearray(encode(data.draw(client_packets(version) | connects(version)), version))
    for position, value in data.draw(st.lists(st.tuples(st.integers(0, len(wire) - 1), st.integers(0, 255)))):
        wire[position] = value
    reader = FrameReader(1 << 16)
    reader.feed(bytes(wire))
    with suppress(PacketRefused):
        frame = reader.next_frame()
        if frame is not None:
            assert decode_client_packet(frame, None if frame.first_byte == CONNECT else version) is not None


@EACH_VERSION
@given(data=st.data())
def test_a_packet_cut_short_is_refused(version: ProtocolVersion, data: st.DataObject) -> None:
    frame = frame_of(encode(data.draw(connects(version)), version))
    cut = data.draw(st.integers(0, len(frame.body) - 1))
    with pytest.raises(PacketRefused):
        decode_client_packet(Frame(frame.first_byte, frame.body[:cut]), None)


@EACH_VERSION
@given(data=st.data())
def test_a_connect_that_goes_on_is_refused(version: ProtocolVersion, data: st.DataObject) -> None:
    frame = frame_of(encode(data.draw(connects(version)), version))
    with pytest.raises(PacketRefused, match="goes on"):
        decode_client_packet(Frame(frame.first_byte, frame.body + b"\0"), None)
