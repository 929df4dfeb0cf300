"""WebSockets at the gateway, frame by frame: how frames and packets are cut, and peers that mean no good."""

import contextlib
import gc
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.devices.device_gateway import LiveGateway, live_gateway
from tests.support.devices.mqtt_peer import V3, V5, connected_peer
from tests.support.devices.web_socket_peer import KEY, connected_web_socket, door, web_socket
from tests.support.machine.loop_thread import LOOPS
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import SERVER, Protocol

from thingmint.core.principals import AccessKeyTarget
from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.packets import Connack, Connect, Disconnect, Pingreq, Pingresp, Puback, Publish, QoS, Will
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.events import ClientDisconnected, DisconnectReason
from thingmint.mqtt.pacing.arrivals import Arrivals
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.mqtt.web_sockets.frames import MAX_FRAME_BYTES, MAX_MESSAGE_BYTES

MANY = 2000


@pytest.fixture(params=sorted(LOOPS))
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path, loop_name=str(request.param)) as running:
        yield running


@pytest.fixture
def port(live: LiveGateway) -> Iterator[int]:
    with door(live) as opened:
        yield opened


def frame(data: bytes, opcode: Opcode = Opcode.BINARY, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def endings(live: LiveGateway) -> list[DisconnectReason]:
    live.wait_until(lambda: live.gateway.connected_devices == 0)
    return [event.reason for event in live.events.all if isinstance(event, ClientDisconnected)]


# How frames and packets are cut


def test_packets_are_taken_in_order_however_frames_and_bytes_are_cut(port: int) -> None:
    dice = random.Random(1)
    with connected_web_socket(port, client_id="receiver") as (receiver, _):
        receiver.subscribe("a")
        with connected_web_socket(port, client_id="sender") as (sender, framed):
            messages = [Publish("a", b"%d" % number, QoS.AT_LEAST_ONCE, packet_id=number) for number in range(1, 90)]
            stream, frames = b"".join(encode(message, V5) for message in messages), b""
            is_first = True
            while stream:
                length = dice.randint(0, 40)
                is_last = dice.random() < 0.5
                frames += frame(stream[:length], Opcode.BINARY if is_first else Opcode.CONT, fin=is_last)
                stream, is_first = stream[length:], is_last
            while frames:
                length = dice.randint(1, 60)
                framed.raw.sendall(frames[:length])
                frames = frames[length:]
            assert [sender.expect(Puback).packet_id for _ in messages] == list(range(1, 90))
        assert [int(receiver.expect(Publish).payload) for _ in messages] == list(range(1, 90))


def test_messages_of_the_largest_size_pass_in_both_directions(port: int) -> None:
    payload = os.urandom(128 * 1024)
    with connected_web_socket(port) as (page, framed):
        page.subscribe("a")
        packet = encode(Publish("a", payload, QoS.AT_MOST_ONCE), V5)
        framed.raw.sendall(frame(packet))
        assert page.expect(Publish).payload == payload


def test_pings_are_answered_between_the_frames_of_a_message(port: int) -> None:
    with connected_web_socket(port) as (page, framed):
        packet = encode(Pingreq(), V5)
        framed.raw.sendall(
            frame(packet[:1], fin=False) + frame(b"alive?", Opcode.PING) + frame(packet[1:], Opcode.CONT)
        )
        page.expect(Pingresp)
        # The pong came before the answer to the packet.
        assert not framed.protocol.events_received()


def test_what_waits_for_its_turn_is_handled_in_order(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Arrivals, "has_time", property(lambda _: False))
    with connected_web_socket(port) as (page, framed):
        page.subscribe("a")
        for number in range(50):
            framed.raw.sendall(frame(encode(Publish("a", b"%d" % number), V5)))
        assert [int(page.expect(Publish).payload) for _ in range(50)] == list(range(50))


def test_requests_without_number_are_answered_while_others_are_served(live: LiveGateway, port: int) -> None:
    with connected_web_socket(port) as (busy, framed), connected_peer(live, live.register(), V3, "other") as other:
        framed.raw.sendall(frame(encode(Pingreq(), V5)) * MANY)
        assert other.is_served()
        for _ in range(MANY):
            busy.expect(Pingresp)


# How connections end


def test_a_disconnect_is_answered_with_a_close_frame(live: LiveGateway, port: int) -> None:
    with connected_web_socket(port) as (page, framed):
        page.send(Disconnect())
        assert page.is_closed()
        assert framed.protocol.close_rcvd is not None
        assert framed.protocol.close_rcvd.code == CloseCode.NORMAL_CLOSURE
    assert endings(live) == [DisconnectReason.CLIENT_INITIATED_DISCONNECT]


def test_a_close_frame_is_a_farewell_without_the_will(live: LiveGateway, port: int) -> None:
    with connected_peer(live, live.register(), V5, "heir") as heir:
        heir.subscribe("will")
        with connected_web_socket(port, client_id="page", will=Will("will", b"gone")) as (page, framed):
            framed.raw.sendall(frame(b"\x03\xe9", Opcode.CLOSE))
            assert page.is_closed()
            assert framed.raw.recv(1) == b""
        live.wait_until(lambda: live.gateway.connected_devices == 1)
        assert heir.is_served()
    assert DisconnectReason.CLIENT_INITIATED_DISCONNECT in endings(live)


def test_packets_before_a_close_frame_are_handled(live: LiveGateway, port: int) -> None:
    with connected_peer(live, live.register(), V5, "hearer") as hearer:
        hearer.subscribe("last")
        with connected_web_socket(port) as (_, framed):
            last = encode(Publish("last", b"words"), V5)
            framed.raw.sendall(frame(last) + frame(b"\x03\xe8", Opcode.CLOSE))
            assert hearer.expect(Publish).payload == b"words"


def test_a_lost_connection_leaves_the_will(live: LiveGateway, port: int) -> None:
    with connected_peer(live, live.register(), V5, "heir") as heir:
        heir.subscribe("will")
        with connected_web_socket(port, will=Will("will", b"gone")) as (_, framed):
            framed.raw.sendall(frame(encode(Publish("will", b"last"), V5)))
            framed.raw.close()
            assert heir.expect(Publish).payload == b"last"
            assert heir.expect(Publish).payload == b"gone"
    assert DisconnectReason.CONNECTION_LOST in endings(live)


def test_the_stop_of_the_gateway_is_told(tmp_path: Path) -> None:
    with live_gateway(tmp_path) as live, door(live) as port, connected_web_socket(port) as (page, framed):
        stopping = live.thread.loop
        live.thread.call(lambda: stopping.create_task(live.gateway.stop(5.0)))
        assert page.expect(Disconnect).reason_code is ReasonCode.SERVER_SHUTTING_DOWN
        assert page.is_closed()
        framed.raw.sendall(frame(b"\x03\xe8", Opcode.CLOSE))
        assert framed.raw.recv(1) == b""


def test_a_key_that_has_ended_loses_its_connections_and_keeps_no_others(live: LiveGateway, port: int) -> None:
    another = AccessKeyTarget(KEY.scope, KEY.user_id, "AKIAANOTHER")
    with (
        door(live, another) as other_port,
        connected_web_socket(port, client_id="ended") as (ended, _),
        connected_web_socket(other_port, client_id="staying") as (staying, _),
    ):
        assert live.thread.call(lambda: live.gateway.has_connection_of(KEY))
        live.thread.call(lambda: live.gateway.principal_ended(KEY))
        assert ended.expect(Disconnect).reason_code is ReasonCode.ADMINISTRATIVE_ACTION
        assert ended.is_closed()
        assert staying.is_served()


# Those who never send CONNECT


def test_connect_must_come_in_time(tmp_path: Path) -> None:
    limits = GatewayLimits(connect_seconds=1.0)
    with live_gateway(tmp_path, limits=limits) as live, door(live) as port:
        with connected_web_socket(port, client_id="admitted") as (admitted, _), web_socket(port) as (slow, framed):
            framed.raw.sendall(frame(encode(Connect(V5, "slow"), V5))[:-1])
            assert slow.is_closed()
            assert admitted.is_served()
        with web_socket(port) as (silent, _):
            assert silent.is_closed()


def test_silent_web_sockets_give_their_places_to_others(tmp_path: Path) -> None:
    limits = GatewayLimits(max_strangers=4, silent_seconds=0.1)
    with live_gateway(tmp_path, limits=limits) as live, door(live) as port, contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(web_socket(port))
        live.wait_until(lambda: live.gateway.open_connections <= limits.max_strangers)
        started = live.thread.call(live.thread.loop.time)
        live.wait_until(lambda: live.thread.loop.time() > started + 2 * limits.silent_seconds)
        with connected_web_socket(port, client_id="page") as (page, _):
            assert page.is_served()
        with connected_peer(live, live.register(), V5, "device") as device:
            assert device.is_served()


def test_one_key_does_not_take_the_room_of_all(tmp_path: Path) -> None:
    limits = GatewayLimits(max_connections_per_certificate=2)
    with (
        live_gateway(tmp_path, limits=limits) as live,
        door(live) as port,
        connected_web_socket(port, client_id="first"),
        connected_web_socket(port, client_id="second"),
        web_socket(port) as (third, _),
    ):
        third.send(Connect(V5, "third"))
        assert third.expect(Connack).reason_code is ReasonCode.QUOTA_EXCEEDED
        assert third.is_closed()
        with connected_peer(live, live.register(), V5, "another") as another:
            assert another.is_served()


def test_there_is_no_room_beyond_the_limit_of_connections(tmp_path: Path) -> None:
    limits = GatewayLimits(max_connections=1)
    with live_gateway(tmp_path, limits=limits) as live, door(live) as port, connected_web_socket(port) as (page, _):
        with web_socket(port) as (_, refused):
            assert refused.recv(1) == b""
        assert page.is_served()


# Frames that a client must not send

FAULTS = {
    "unmasked": (Frame(Opcode.BINARY, b"\xc0\x00").serialize(mask=False), CloseCode.PROTOCOL_ERROR),
    "text": (frame(b"\xc0\x00", Opcode.TEXT), CloseCode.UNSUPPORTED_DATA),
    "compressed": (b"\xc2\x80abcd", CloseCode.PROTOCOL_ERROR),
    "unknown kind": (b"\x83\x80abcd", CloseCode.PROTOCOL_ERROR),
    "a continuation of nothing": (frame(b"\xc0\x00", Opcode.CONT), CloseCode.PROTOCOL_ERROR),
    "a message in a message": (frame(b"", fin=False) + frame(b""), CloseCode.PROTOCOL_ERROR),
    "a long ping": (b"\x89\xfe\x00\x80abcd" + bytes(128), CloseCode.PROTOCOL_ERROR),
    "a ping in parts": (b"\x09\x80abcd", CloseCode.PROTOCOL_ERROR),
    "a length beyond 63 bits": (b"\x82\xff" + b"\xff" * 8 + b"abcd", CloseCode.MESSAGE_TOO_BIG),
    "a huge length": (b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"abcd", CloseCode.MESSAGE_TOO_BIG),
    "a frame above the limit": (
        b"\x82\xff" + (MAX_FRAME_BYTES + 1).to_bytes(8, "big") + b"abcd",
        CloseCode.MESSAGE_TOO_BIG,
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_frame_that_a_client_must_not_send_ends_the_connection(live: LiveGateway, port: int, kind: str) -> None:
    sent, code = FAULTS[kind]
    with (
        connected_web_socket(port, client_id="page") as (page, framed),
        connected_web_socket(port, client_id="other") as (other, _),
    ):
        framed.raw.sendall(sent)
        assert page.is_closed()
        assert framed.protocol.close_rcvd is not None
        assert framed.protocol.close_rcvd.code == code
        assert framed.raw.recv(1) == b""
        assert other.is_served()


def test_a_message_in_frames_without_end_is_bounded(port: int) -> None:
    with connected_web_socket(port) as (page, framed):
        packet = encode(Publish("a", bytes(60_000)), V5)
        framed.raw.sendall(frame(packet, fin=False))
        sent = len(packet)
        with contextlib.suppress(OSError):
            while sent <= MAX_MESSAGE_BYTES:
                framed.raw.sendall(frame(packet, Opcode.CONT, fin=False))
                sent += len(packet)
        assert page.is_closed()
        assert framed.protocol.close_rcvd is not None
        assert framed.protocol.close_rcvd.code == CloseCode.MESSAGE_TOO_BIG


def test_a_large_frame_before_connect_is_refused(port: int) -> None:
    with web_socket(port) as (page, framed):
        framed.raw.sendall(b"\x82\xff" + (MAX_FRAME_BYTES).to_bytes(8, "big") + b"abcd")
        assert page.is_closed()
        assert framed.protocol.close_rcvd is not None
        assert framed.protocol.close_rcvd.code == CloseCode.MESSAGE_TOO_BIG


def test_empty_frames_without_number_leave_others_unaffected(live: LiveGateway, port: int) -> None:
    with (
        connected_web_socket(port) as (page, framed),
        connected_peer(live, live.register(), V5, "other") as other,
    ):
        for _ in range(20):
            framed.raw.sendall(frame(b"") * MANY)
            assert other.is_served()
        assert page.is_served()


def test_a_client_that_sends_pings_and_reads_nothing_is_ended(tmp_path: Path) -> None:
    limits = GatewayLimits(write_stall_seconds=0.5)
    with (
        live_gateway(tmp_path, limits=limits) as live,
        door(live) as port,
        connected_web_socket(port, client_id="deaf") as (_, framed),
        connected_web_socket(port, client_id="other") as (other, _),
    ):
        pings = frame(bytes(100), Opcode.PING) * MANY
        with contextlib.suppress(ConnectionError):
            while True:
                framed.raw.sendall(pings)
        live.wait_until(lambda: live.gateway.connected_devices == 1)
        assert other.is_served()


def test_a_subscriber_that_reads_nothing_is_ended_and_others_hear_everything(tmp_path: Path) -> None:
    limits = GatewayLimits(write_stall_seconds=1.0)
    with (
        live_gateway(tmp_path, limits=limits) as live,
        door(live) as port,
        connected_web_socket(port, client_id="deaf") as (deaf, _),
        connected_web_socket(port, client_id="hearing") as (hearing, _),
        connected_peer(live, live.register(), V5, "sender") as sender,
    ):
        for each in (deaf, hearing):
            each.subscribe("a", qos=QoS.AT_MOST_ONCE)
        for number in range(200):
            sender.send(Publish("a", number.to_bytes(2, "big").ljust(100_000)))
            assert int.from_bytes(hearing.expect(Publish).payload[:2], "big") == number
        live.wait_until(lambda: live.gateway.connected_devices == 2)
        assert hearing.is_served()


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_end_the_connection_and_nothing_else(live: LiveGateway, port: int, seed: int) -> None:
    dice = random.Random(seed)
    with (
        connected_web_socket(port, client_id="honest") as (honest, _),
        connected_web_socket(port, client_id="noisy") as (_, noisy),
    ):
        with contextlib.suppress(OSError):
            for _ in range(20):
                noisy.raw.sendall(dice.randbytes(dice.randint(1, 200)))
        assert honest.is_served()
    assert DisconnectReason.SERVER_ERROR not in endings(live)


def test_an_ended_connection_releases_the_memory_of_its_frames(live: LiveGateway, port: int) -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            with connected_web_socket(port) as (page, framed):
                page.send(Disconnect())
                assert page.is_closed()
                framed.raw.sendall(frame(b"\x03\xe8", Opcode.CLOSE))
            live.wait_until(lambda: live.gateway.open_connections == 0)
        live.thread.call(lambda: None)
        assert [each for each in gc.get_objects() if type(each) is Protocol and each.side is SERVER] == []
    finally:
        gc.enable()
