"""Whatever bytes arrive, in whatever portions, a packet or a refusal comes out; what is read can be said again.

A fuzz target by mutation: real packets are cut, joined, overwritten and repeated. ``make soak`` runs it for long, with
a seed of its own each time; a seed that failed is given by THINGMINT_FUZZ_SEED.
"""

import os
import random
from collections.abc import Iterator
from contextlib import suppress

import mqtt5
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from tests.mqtt.broker.test_broker_model import BrokerAgainstModel
from tests.support.devices.packets import V3, V5, frame_of
from tests.support.machine.soak import SOAK, examples

from thingmint.mqtt.codec import packets as p
from thingmint.mqtt.codec.codec import decode_client_packet, decode_server_packet, encode
from thingmint.mqtt.codec.framing import Frame, FrameReader, frame_bytes
from thingmint.mqtt.codec.packets import Packet, ProtocolVersion, QoS
from thingmint.mqtt.codec.properties import (
    AcknowledgementProperties,
    AuthProperties,
    ConnackProperties,
    ConnectProperties,
    DisconnectProperties,
    PublishProperties,
    SubscribeProperties,
    WillProperties,
)
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode

ROUNDS = examples(1_500, 1_000_000)
SEED = int(os.environ.get("THINGMINT_FUZZ_SEED") or (random.SystemRandom().getrandbits(32) if SOAK else 1))
LIMIT = 4096

PAIRS = (("key", "value"), ("ключ", ""))
WILL = p.Will(
    "wills/device",
    b"gone",
    QoS.AT_LEAST_ONCE,
    True,
    WillProperties(will_delay_interval=1, message_expiry_interval=2, response_topic="a", correlation_data=b"c"),
)
SEEDS: tuple[Packet, ...] = (
    p.Connect(V3, "device", False, 1200, WILL, "?SDK=Python", b"secret"),
    p.Connect(
        V5,
        "device",
        True,
        30,
        WILL,
        "user",
        None,
        ConnectProperties(
            session_expiry_interval=60,
            receive_maximum=10,
            maximum_packet_size=128_000,
            topic_alias_maximum=8,
            request_problem_information=True,
            user_properties=PAIRS,
            authentication_method="method",
            authentication_data=b"data",
        ),
    ),
    p.Connack(False, ReasonCode.SUCCESS, ConnackProperties(maximum_qos=1, server_keep_alive=30, reason_string="why")),
    p.Publish("a/b", b"payload"),
    p.Publish(
        "a/b",
        b"payload" * 30,
        QoS.AT_LEAST_ONCE,
        True,
        True,
        258,
        PublishProperties(
            payload_format_indicator=True,
            message_expiry_interval=3,
            topic_alias=4,
            response_topic="answers",
            correlation_data=b"c",
            user_properties=PAIRS,
            content_type="text",
        ),
    ),
    p.Publish(
        "ä/€", b"", QoS.EXACTLY_ONCE, packet_id=1, properties=PublishProperties(subscription_identifiers=(1, 300))
    ),
    p.Puback(1, ReasonCode.NOT_AUTHORIZED, AcknowledgementProperties(reason_string="why", user_properties=PAIRS)),
    p.Pubrec(1),
    p.Pubrel(2, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND),
    p.Pubcomp(3),
    p.Subscribe(
        4,
        (p.Subscription("a/#", QoS.AT_LEAST_ONCE, True, True, p.RetainHandling.NEVER), p.Subscription("$share/g/+")),
        SubscribeProperties(subscription_identifier=200, user_properties=PAIRS),
    ),
    p.Suback(4, (ReasonCode.GRANTED_QOS_1, ReasonCode.TOPIC_FILTER_INVALID)),
    p.Unsubscribe(5, ("a/#", "b")),
    p.Unsuback(5, (ReasonCode.SUCCESS, ReasonCode.NO_SUBSCRIPTION_EXISTED)),
    p.Pingreq(),
    p.Pingresp(),
    p.Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE, DisconnectProperties(session_expiry_interval=5)),
    p.Disconnect(ReasonCode.SERVER_MOVED, DisconnectProperties(server_reference="there", reason_string="why")),
    p.Auth(ReasonCode.CONTINUE_AUTHENTICATION, AuthProperties(authentication_method="m", authentication_data=b"d")),
)


def corpus() -> list[bytes]:
    """Return the packets that are mutated, in each version that can say them."""
    return [
        encode(packet, version)
        for packet in SEEDS
        for version in ProtocolVersion
        if version is V5 or not isinstance(packet, p.Auth)
    ]


def mutated(wire: bytes, wires: list[bytes], rng: random.Random) -> bytes:
    """Return the bytes after a few accidents."""
    octets = bytearray(wire)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(octets) + 1)
        match rng.randrange(6):
            case 0:
                octets[at : at + 1] = bytes((rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256))),))
            case 1:
                del octets[at : at + rng.randint(1, 8)]
            case 2:
                octets[at:at] = rng.randbytes(rng.randint(1, 8))
            case 3:
                octets[at:at] = octets[at : at + rng.randint(1, 40)]
            case 4:
                octets += rng.choice(wires)
            case _:
                octets[at:] = rng.choice(wires)[at:]
    # Mostly the length is right, so that what is inside is looked at.
    if rng.random() < 0.7 and 2 < len(octets) < 0x82:
        octets[1] = len(octets) - 2
    return bytes(octets)


def bytes_of(frame: Frame) -> bytes:
    """Return the packet's bytes, with a remaining length of as few octets as possible."""
    return frame_bytes(frame.first_byte, frame.body)


def frames_of(wire: bytes, rng: random.Random) -> Iterator[Frame]:
    """Feed the bytes in portions and give the frames, up to a refusal."""
    reader = FrameReader(LIMIT)
    while wire:
        cut = rng.randint(1, len(wire))
        reader.feed(wire[:cut])
        wire = wire[cut:]
        try:
            while (frame := reader.next_frame()) is not None:
                assert len(bytes_of(frame)) <= LIMIT
                yield frame
        except PacketRefused as refused:
            assert refused.reason_code.is_failure  # noqa: PT017 - the refusal is one of two right outcomes
            return


def readings_of(frame: Frame) -> Iterator[tuple[Packet, ProtocolVersion]]:
    """Give what the frame says in each of the ways to read it: of a client, of a server, in each version."""
    with suppress(PacketRefused):
        connect = decode_client_packet(frame, None)
        assert isinstance(connect, p.Connect)
        yield connect, connect.version
    for version in ProtocolVersion:
        with suppress(PacketRefused):
            yield decode_client_packet(frame, version), version
        with suppress(PacketRefused):
            yield decode_server_packet(frame, version), version


@pytest.mark.soak
def test_mutated_packets_are_packets_or_refused() -> None:
    rng, wires, read = random.Random(SEED), corpus(), 0
    for _ in range(ROUNDS):
        for frame in frames_of(mutated(rng.choice(wires), wires, rng), rng):
            for packet, version in readings_of(frame):
                read += 1
                again = frame_of(encode(packet, version))
                assert packet in [packet for packet, _ in readings_of(again)], (SEED, bytes_of(frame))
    assert read > ROUNDS / 10, "mutations are so harsh that nothing is understood"


@pytest.mark.soak
def test_what_is_understood_in_mqtt_5_is_understood_by_another_codec() -> None:
    rng, wires, read = random.Random(SEED), corpus(), 0
    for _ in range(ROUNDS):
        for frame in frames_of(mutated(rng.choice(wires), wires, rng), rng):
            read_in_5 = [packet for packet, version in readings_of(frame) if version is V5]
            # MQTT 5, 3.15.2.1: an AUTH without anything says success; mqtt5 wants the length of properties.
            if read_in_5 and p.Auth() not in read_in_5:
                read += 1
                mqtt5.read(memoryview(bytes_of(frame)))
    assert read > ROUNDS / 10


@pytest.mark.soak
@pytest.mark.skipif(not SOAK, reason="the model judges the broker in short elsewhere: `make soak` lets it go on")
def test_the_broker_does_what_the_model_does_for_long() -> None:
    long = settings(max_examples=20_000, stateful_step_count=60, database=None)
    run_state_machine_as_test(BrokerAgainstModel, settings=long)
