"""Packets are cut out of a stream the same, however it arrives in portions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.mqtt.codec.framing import Frame, FrameReader, frame_bytes, variable_byte_integer
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode

FRAMES = st.lists(st.builds(Frame, st.integers(0, 255), st.binary(max_size=300), st.just(False)), max_size=6)


@given(FRAMES, st.data())
def test_frames_are_the_same_in_any_portions(frames: list[Frame], data: st.DataObject) -> None:
    wire = b"".join(frame_bytes(frame.first_byte, frame.body) for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)))))
    reader = FrameReader(400)
    read: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        reader.feed(wire[start:end])
        while (frame := reader.next_frame()) is not None:
            read.append(frame)
    assert read == frames
    assert reader.buffered == 0


@given(st.binary(), st.integers(2, 50), st.data())
def test_any_bytes_give_frames_within_the_limit_or_a_refusal(wire: bytes, limit: int, data: st.DataObject) -> None:
    reader = FrameReader(limit)
    step = data.draw(st.integers(1, max(1, len(wire))))
    reason_code: ReasonCode | None = None
    try:
        for start in range(0, len(wire), step):
            reader.feed(wire[start : start + step])
            while (frame := reader.next_frame()) is not None:
                assert len(frame_bytes(frame.first_byte, frame.body)) <= limit
    except PacketRefused as refused:
        reason_code = refused.reason_code
    assert reason_code in (None, ReasonCode.PACKET_TOO_LARGE, ReasonCode.MALFORMED_PACKET)


def test_a_packet_of_the_limit_itself_is_read() -> None:
    reader = FrameReader(10)
    reader.feed(frame_bytes(0x30, b"x" * 8))
    assert reader.next_frame() == Frame(0x30, b"x" * 8)
    reader.feed(frame_bytes(0x30, b"x" * 9))
    with pytest.raises(PacketRefused, match="longer than 10"):
        reader.next_frame()


def test_a_new_limit_holds_for_the_packet_that_waits() -> None:
    reader = FrameReader(20)
    reader.feed(frame_bytes(0x10, b"c" * 18) + frame_bytes(0x30, b"p" * 100))
    assert reader.next_frame() == Frame(0x10, b"c" * 18)
    reader.max_packet_size = 200
    assert reader.next_frame() == Frame(0x30, b"p" * 100)


def test_a_remaining_length_of_five_octets_is_malformed() -> None:
    reader = FrameReader(1 << 30)
    for octet in b"\x30\x80\x80\x80":
        reader.feed(bytes((octet,)))
        assert reader.next_frame() is None
    reader.feed(b"\x80")
    with pytest.raises(PacketRefused) as refused:
        reader.next_frame()
    assert refused.value.reason_code is ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (0, b"\0"),
        (127, b"\x7f"),
        (128, b"\x80\1"),
        (16_383, b"\xff\x7f"),
        (16_384, b"\x80\x80\1"),
        (2_097_151, b"\xff\xff\x7f"),
        (2_097_152, b"\x80\x80\x80\1"),
        (268_435_455, b"\xff\xff\xff\x7f"),
    ],
)
def test_variable_byte_integers_are_those_of_the_specification(value: int, wire: bytes) -> None:
    assert variable_byte_integer(value) == wire


@pytest.mark.parametrize("value", [-1, 268_435_456])
def test_other_numbers_are_no_variable_byte_integers(value: int) -> None:
    with pytest.raises(ValueError, match="268435455"):
        variable_byte_integer(value)
