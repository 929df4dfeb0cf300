"""Peers that mean no good: floods, silence, deafness, broken packets. Honest devices are served meanwhile."""

import asyncio
import contextlib
import random
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.devices.device_gateway import CREATE, LiveGateway, live_gateway
from tests.support.devices.device_identities import Identity, new_identity
from tests.support.devices.mqtt_peer import V3, V5, Peer, connected_peer, peer
from tests.support.machine.loop_thread import GENEROUS, LOOPS

from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.packets import (
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    ProtocolVersion,
    Puback,
    Publish,
    QoS,
    Will,
)
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.events import ClientDisconnected, DisconnectReason
from thingmint.mqtt.gateway.link import device_protocol
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.mqtt.transport.tls_transport import TLSTransport
from thingmint.registration.kernel import turns

FLOOD = 1200
MANY = 2000
WAITING = 90
SEEDS = range(30)


@pytest.fixture(params=sorted(LOOPS))
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path, loop_name=str(request.param)) as running:
        yield running


@pytest.fixture
def device(live: LiveGateway) -> Identity:
    return live.register()


def tls_transports(live: LiveGateway) -> list[TLSTransport]:
    return [each for each in live.gateway._listener._connections if isinstance(each, TLSTransport)]


def open_silently(live: LiveGateway, stack: contextlib.ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", live.port), timeout=GENEROUS))


# Those who never send CONNECT


def test_flood_of_silent_connections_leaves_devices_unaffected(live: LiveGateway, device: Identity) -> None:
    with contextlib.ExitStack() as stack, connected_peer(live, device, V3, "before") as before:
        for _ in range(FLOOD):
            open_silently(live, stack)

        with connected_peer(live, device, V3, "during") as during:
            during.subscribe("a")
            before.publish("a", b"hello")
            assert during.expect(Publish).payload == b"hello"
            assert before.is_served()
        assert live.gateway.open_connections - live.gateway.connected_devices <= FLOOD


def test_flood_of_handshakes_without_connect_leaves_devices_unaffected(live: LiveGateway, device: Identity) -> None:
    context = live.context(device)
    with contextlib.ExitStack() as stack, connected_peer(live, device, V3, "before") as before:
        for _ in range(300):
            stack.enter_context(context.wrap_socket(open_silently(live, stack), server_hostname="localhost"))

        with connected_peer(live, device, V3, "during") as during:
            assert during.is_served()
        assert before.is_served()
        assert live.gateway.open_connections - live.gateway.connected_devices <= FLOOD


def test_connect_that_waits_for_the_registry_keeps_its_place(tmp_path: Path) -> None:
    limits = GatewayLimits(max_strangers=2, silent_seconds=0.1)
    with live_gateway(tmp_path, limits=limits) as live, contextlib.ExitStack() as stack:
        gate = live.registry.gate = asyncio.Event()
        slow = stack.enter_context(peer(live, live.register(), V3))
        slow.send(Connect(V3, "slow"))
        live.wait_until(lambda: bool(live.registry.identified))
        begun = live.thread.call(live.gateway._services.loop.time)
        open_silently(live, stack).sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01")
        live.wait_until(lambda: live.gateway._services.loop.time() > begun + 2 * limits.silent_seconds)
        open_silently(live, stack)
        # The handshake and the CONNECT have the two places, and the newcomer waits.
        live.wait_until(lambda: len(live.gateway._listener._queue) == 1)
        live.thread.call(gate.set)
        assert slow.expect(Connack).reason_code is ReasonCode.SUCCESS


def test_connect_must_come_in_time(tmp_path: Path) -> None:
    with live_gateway(tmp_path, limits=GatewayLimits(connect_seconds=1.0)) as live:
        device = live.register()
        connect = encode(Connect(V3, "slow"), V3)
        with connected_peer(live, device, V3, "admitted") as admitted, peer(live, device) as slow:
            slow.send_bytes(connect[:-1])
            assert slow.is_closed()
            assert admitted.is_served()


def test_one_certificate_does_not_take_the_room_of_all(tmp_path: Path, version: ProtocolVersion) -> None:
    # A whole fleet shares its claim's key, and so may whoever has taken one device apart.
    with live_gateway(tmp_path, limits=GatewayLimits(max_connections_per_certificate=2)) as live:
        greedy, modest = live.register(), live.register()
        with (
            connected_peer(live, greedy, version, "first") as first,
            connected_peer(live, greedy, version, "second"),
            peer(live, greedy, version) as third,
        ):
            third.send(Connect(version, "third"))
            if version is V5:
                refused = third.expect(Connack)
                assert refused.reason_code is ReasonCode.QUOTA_EXCEEDED
            assert third.is_closed()
            with connected_peer(live, modest, version, "another") as another:
                assert another.is_served()
            # A client that comes again takes its own place.
            with connected_peer(live, greedy, version, "second") as again:
                assert again.is_served()
                assert first.is_served()
                first.send(Disconnect())
                assert first.is_closed()
                with connected_peer(live, greedy, version, "fourth") as fourth:
                    assert fourth.is_served()


def test_refused_devices_do_not_stay(live: LiveGateway) -> None:
    unknown = new_identity()
    for _ in range(20):
        with peer(live, unknown, V5) as stranger:
            stranger.send(Connect(V5, "x"))
            assert stranger.expect(Connack).reason_code is ReasonCode.NOT_AUTHORIZED
            assert stranger.is_closed()
    live.wait_until(lambda: live.gateway.open_connections == 0)
    assert live.gateway.connected_devices == 0


# Those who say too much


def test_requests_without_number_are_answered_while_others_are_served(live: LiveGateway, device: Identity) -> None:
    with connected_peer(live, device, V3, "busy") as busy, connected_peer(live, device, V3, "other") as other:
        busy.send(*([Pingreq()] * MANY))
        assert other.is_served()
        for _ in range(MANY):
            busy.expect(Pingresp)


def test_messages_are_taken_in_order_however_they_are_cut(live: LiveGateway, device: Identity) -> None:
    dice = random.Random(1)
    with connected_peer(live, device, V3, "receiver") as receiver, connected_peer(live, device, V3, "sender") as sender:
        receiver.subscribe("a")
        stream = b"".join(
            encode(Publish("a", b"%d" % number, QoS.AT_LEAST_ONCE, packet_id=number), V3) for number in range(1, 90)
        )
        while stream:
            length = dice.randint(1, 40)
            sender.send_bytes(stream[:length])
            stream = stream[length:]
        assert [sender.expect(Puback).packet_id for _ in range(1, 90)] == list(range(1, 90))
        assert [int(receiver.expect(Publish).payload) for _ in range(1, 90)] == list(range(1, 90))


@pytest.mark.parametrize("seed", SEEDS)
def test_random_bytes_end_the_connection_and_nothing_else(live: LiveGateway, device: Identity, seed: int) -> None:
    dice = random.Random(seed)
    version = dice.choice([V3, V5])
    with connected_peer(live, device, V3, "honest") as honest, connected_peer(live, device, version, "noisy") as noisy:
        for _ in range(20):
            noisy.send_bytes(dice.randbytes(dice.randint(1, 200)))
        # The last is malformed by itself, if no earlier one was; or the noise waits for a longer packet.
        assert honest.is_served()
    assert not [record for record in live.events.all if isinstance(record, ClientDisconnected) and is_fault(record)]


def is_fault(event: ClientDisconnected) -> bool:
    return event.reason is DisconnectReason.SERVER_ERROR


MALFORMED = {
    "reserved type": b"\xf3\x00",
    "length of five octets": b"\x30\xff\xff\xff\xff\x01",
    "packet id 0": b"\x32\x05\x00\x01a\x00\x00",
    "QoS 3": b"\x36\x05\x00\x01a\x00\x01",
    "wildcard in a topic": b"\x30\x03\x00\x01#",
    "empty topic": b"\x30\x02\x00\x00",
    "NUL in a topic": b"\x30\x03\x00\x01\x00",
    "SUBSCRIBE without filter": b"\x82\x02\x00\x01",
    "SUBSCRIBE with wrong flags": b"\x80\x06\x00\x01\x00\x01a\x00",
    "PINGREQ with a body": b"\xc0\x01\x00",
    "cut short": b"\x30\x01\x00",
}


@pytest.mark.parametrize("kind", sorted(MALFORMED))
def test_malformed_packet_ends_the_connection(live: LiveGateway, device: Identity, kind: str) -> None:
    with connected_peer(live, device, V3) as connection:
        connection.send_bytes(MALFORMED[kind])
        assert connection.is_closed()
    live.wait_until(lambda: live.gateway.connected_devices == 0)
    ended = [event for event in live.events.all if isinstance(event, ClientDisconnected)]
    assert [event.reason for event in ended] == [DisconnectReason.CLIENT_ERROR]


# Those who do not listen


def test_deaf_subscriber_costs_a_bounded_amount_and_others_hear_everything(live: LiveGateway, device: Identity) -> None:
    with (
        connected_peer(live, device, V3, "deaf") as deaf,
        connected_peer(live, device, V3, "hearing") as hearing,
        connected_peer(live, device, V3, "sender") as sender,
    ):
        for each in (deaf, hearing):
            each.subscribe("a", qos=QoS.AT_MOST_ONCE)
        for number in range(200):
            sender.send(Publish("a", number.to_bytes(2, "big").ljust(100_000)))
            assert int.from_bytes(hearing.expect(Publish).payload[:2], "big") == number
        sockets = tls_transports(live)
        unsent = live.thread.call(lambda: max(each._lower.get_write_buffer_size() for each in sockets if each._lower))
        assert unsent < 1_000_000
        assert sender.is_served()


def test_deaf_device_that_asks_without_end_is_no_longer_heard(live: LiveGateway, device: Identity) -> None:
    live.fleet.answer_bytes = 100_000
    with connected_peer(live, device, V3, "deaf") as deaf:
        deaf.socket.settimeout(1.0)
        with contextlib.suppress(TimeoutError):
            while True:
                deaf.socket.sendall(encode(Publish(CREATE, b"{}"), V3) * 100)
        sockets = tls_transports(live)
        unsent = live.thread.call(lambda: max(each._lower.get_write_buffer_size() for each in sockets if each._lower))
        assert unsent < 1_000_000
        with connected_peer(live, device, V3, "other") as other:
            assert other.is_served()


def test_slow_subscriber_gets_what_waits_once_it_reads(tmp_path: Path) -> None:
    with live_gateway(tmp_path, broker_limits=BrokerLimits(queued_bytes=100_000_000)) as live:
        device = live.register()
        with connected_peer(live, device, V3, "slow") as slow, connected_peer(live, device, V3, "sender") as sender:
            slow.subscribe("a")
            for number in range(WAITING):
                sender.publish("a", number.to_bytes(2, "big").ljust(100_000))
            assert any(each._writing_paused for each in tls_transports(live))
            heard: list[int] = []
            while len(heard) < WAITING:
                message = slow.expect(Publish)
                slow.send(Puback(message.packet_id))
                heard.append(int.from_bytes(message.payload[:2], "big"))
            assert heard == list(range(WAITING))


def test_requests_that_wait_for_the_registry_are_bounded_and_not_lost(live: LiveGateway, device: Identity) -> None:
    live.registry.gate = live.thread.call(asyncio.Event)
    with peer(live, device) as eager:
        eager.socket.settimeout(1.0)
        message = encode(Publish("a", bytes(1000), QoS.AT_LEAST_ONCE, packet_id=1), V3)
        eager.send(Connect(V3, "eager"))
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 30_000:
                eager.socket.sendall(message)
                sent += 1
        (connection,) = live.gateway._index.of_principal(device.certificate_id)
        assert connection.protocol.buffered < 100_000
        live.thread.call(live.registry.gate.set)
        eager.socket.settimeout(GENEROUS)
        eager.expect(Connack)
        for _ in range(sent):
            eager.expect(Puback)


# Those who fall silent


def test_silent_device_is_disconnected_after_half_as_long_again(
    tmp_path: Path, version: ProtocolVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_protocol, "SHORTEST_KEEP_ALIVE", 1)
    with live_gateway(tmp_path) as live:
        device = live.register()
        with (
            connected_peer(live, device, version, "silent", keep_alive=1) as silent,
            connected_peer(live, device, version, "patient", keep_alive=30) as patient,
        ):
            packet = silent.next_packet()
            if version is V5:
                assert isinstance(packet, Disconnect)
                assert packet.reason_code is ReasonCode.KEEP_ALIVE_TIMEOUT
            else:
                assert packet is None
            assert patient.is_served()
    reasons = [event.reason for event in live.events.all if isinstance(event, ClientDisconnected)]
    assert reasons[0] is DisconnectReason.MQTT_KEEP_ALIVE_TIMEOUT


def test_devices_that_fall_silent_together_are_disconnected_in_several_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_protocol, "SHORTEST_KEEP_ALIVE", 1)
    # Then a turn of the event loop has time for one of them.
    monkeypatch.setattr(turns, "SLICE_SECONDS", 0.0)
    with live_gateway(tmp_path) as live, contextlib.ExitStack() as stack:
        device = live.register()
        silent = [
            stack.enter_context(connected_peer(live, device, V5, f"silent-{number}", keep_alive=1))
            for number in range(5)
        ]
        for each in silent:
            assert each.expect(Disconnect).reason_code is ReasonCode.KEEP_ALIVE_TIMEOUT


def test_all_connections_end_without_wills_in_several_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SLICE_SECONDS", 0.0)
    with live_gateway(tmp_path) as live, contextlib.ExitStack() as stack:
        device, will = live.register(), Will("gone", b"device", retain=True)
        devices = [
            stack.enter_context(connected_peer(live, device, V5, f"device-{number}", will=will)) for number in range(5)
        ]
        live.thread.run(live.gateway.end_all_without_wills())
        for each in devices:
            assert each.expect(Disconnect).reason_code is ReasonCode.SERVER_BUSY
        live.wait_until(lambda: sum(isinstance(event, ClientDisconnected) for event in live.events.all) == 5)
        with connected_peer(live, device, V5, "watcher") as watcher:
            watcher.subscribe("gone")
            assert watcher.is_served()


def test_half_a_packet_is_no_sign_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_protocol, "SHORTEST_KEEP_ALIVE", 1)
    with live_gateway(tmp_path) as live, connected_peer(live, live.register(), V3, keep_alive=1) as dribbling:
        dribbling.socket.settimeout(0.2)
        packet = iter(encode(Publish("a", bytes(100)), V3))
        with pytest.raises((ConnectionError, ssl.SSLError, EOFError)):
            dribble(dribbling, packet)


def dribble(connection: Peer, packet: Iterator[int]) -> None:
    for byte in packet:
        connection.socket.sendall(bytes((byte,)))
        with contextlib.suppress(TimeoutError):
            if not connection.socket.recv(1):
                raise EOFError
    raise AssertionError("the gateway has waited for the whole packet")


# Those who come and go


def test_connections_that_come_and_go_leave_nothing_behind(live: LiveGateway, device: Identity) -> None:
    for number in range(60):
        with connected_peer(live, device, V5 if number % 2 else V3, f"client {number % 7}") as connection:
            connection.subscribe("a", f"{CREATE}/accepted")
            connection.publish(CREATE, b"{}")
            if number % 3 == 0:
                connection.send(Disconnect())
    live.wait_until(lambda: live.gateway.open_connections == 0 and not live.gateway._services.work)
    index = live.gateway._index
    assert (index._first_of, index._others_of, index._by_client) == ({}, {}, {})
    assert index.accepted == frozenset()
    assert len(live.gateway._listener._unauthenticated) == 0
    assert live.gateway._listener._stalled == {}
