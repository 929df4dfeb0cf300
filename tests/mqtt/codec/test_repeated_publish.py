"""Messages that repeat others in all but their payload: what is taken is what decoding and encoding would give."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thingmint.mqtt.codec.codec import decode_server_packet, encode
from thingmint.mqtt.codec.framing import FrameReader, frame_bytes
from thingmint.mqtt.codec.packets import ProtocolVersion, Publish, QoS
from thingmint.mqtt.codec.properties import PublishProperties
from thingmint.mqtt.codec.repeated_publish import LARGEST_BYTES, PUBLISH_AT_MOST_ONCE, RepeatedPublish

V3, V5 = ProtocolVersion.MQTT_3_1_1, ProtocolVersion.MQTT_5
TOPIC = "a/b"
SIZES = st.one_of(st.integers(0, 5), st.integers(115, 130), st.integers(16_370, 16_390))
OTHERS = [
    Publish(TOPIC, b"x", QoS.AT_LEAST_ONCE, packet_id=1),
    Publish(TOPIC, b"x", retain=True),
    Publish("a/b/c", b"x"),
    Publish("a/", b"bc"),
    Publish("a", b""),
    Publish(TOPIC, b"x", properties=PublishProperties(content_type="t")),
]


def reader_of(*packets: bytes) -> FrameReader:
    reader = FrameReader(100_000)
    reader.feed(b"".join(packets))
    return reader


@pytest.mark.parametrize("source", [V3, V5])
@pytest.mark.parametrize("target", [V3, V5])
@given(sizes=st.lists(SIZES, max_size=6), chunk=st.sampled_from([1, 2, 3, 50, 20_000]))
@example(sizes=[16_378, 16_379], chunk=20_000)
def test_every_message_arrives_as_if_it_had_been_decoded(
    source: ProtocolVersion, target: ProtocolVersion, sizes: Sequence[int], chunk: int
) -> None:
    messages = [Publish(TOPIC, bytes([number]) * size) for number, size in enumerate(sizes)]
    received = b"".join(encode(each, source) for each in messages)
    repeated = RepeatedPublish(TOPIC, from_5=source is V5, to_5=target is V5)
    reader, found = FrameReader(100_000), list[bytes]()
    for start in range(0, len(received), chunk):
        reader.feed(received[start : start + chunk])
        while True:
            if encoded := repeated.read(reader):
                assert len(encoded) <= LARGEST_BYTES
                assert repeated.bytes_for(0, is_5=target is V5) == encoded
                assert encode(repeated.message(0), target) == encoded
                repeated.release()
                found.append(encoded)
            elif frame := reader.next_frame():
                # Its remaining length has more than two octets.
                assert len(frame.body) > 0x3FFF
                found.append(encode(decode_server_packet(frame, source), target))
            else:
                break
    assert found == [encode(each, target) for each in messages]


@pytest.mark.parametrize("version", [V3, V5])
@pytest.mark.parametrize("other", OTHERS)
def test_another_message_is_left_to_be_decoded(version: ProtocolVersion, other: Publish) -> None:
    if version is V3 and other.properties != PublishProperties():
        return
    repeated = RepeatedPublish(TOPIC, from_5=version is V5, to_5=version is V5)
    reader = reader_of(encode(other, version), encode(Publish(TOPIC, b"y"), version))
    assert repeated.read(reader) == b""
    frame = reader.next_frame()
    assert frame is not None
    assert decode_server_packet(frame, version) == other
    assert repeated.read(reader) == encode(Publish(TOPIC, b"y"), version)
    assert repeated.read(reader) == b""


def test_a_packet_that_ends_within_its_topic_is_left_to_be_refused() -> None:
    packet = frame_bytes(PUBLISH_AT_MOST_ONCE, b"\x00\x03a")
    reader = reader_of(packet, b"/b")
    assert RepeatedPublish(TOPIC, from_5=False, to_5=False).read(reader) == b""


@pytest.mark.parametrize("length", [b"\x85\x00", b"\x85\x80\x00", b"\x85"])
def test_a_padded_or_incomplete_length_is_left_to_be_decoded(length: bytes) -> None:
    reader = reader_of(bytes([PUBLISH_AT_MOST_ONCE]), length, b"\x00\x03a/b" if len(length) > 1 else b"")
    assert RepeatedPublish(TOPIC, from_5=False, to_5=False).read(reader) == b""


def test_a_packet_above_the_limit_is_left_to_be_refused() -> None:
    reader = FrameReader(20)
    reader.feed(encode(Publish(TOPIC, bytes(20)), V3))
    assert RepeatedPublish(TOPIC, from_5=False, to_5=False).read(reader) == b""
