"""Slow, silent, deaf and numerous peers of the TLS listener: each meets its limit, and an honest one is served."""

import asyncio
import contextlib
import errno
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.devices.device_identities import client_context, new_identity
from tests.support.devices.tls_echo import Echo, EchoServer, echo_server
from tests.support.machine.loop_thread import GENEROUS, LOOPS

from thingmint.host.connections.listening import network_of
from thingmint.mqtt.transport.limits import GatewayLimits

CHUNK = b"x" * 16_384


@pytest.fixture(params=sorted(LOOPS))
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def device(tmp_path: Path) -> ssl.SSLContext:
    return client_context(tmp_path, new_identity())


@contextlib.contextmanager
def connected(server: EchoServer, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=GENEROUS)
    with plain, context.wrap_socket(plain, server_hostname="localhost") as wrapped:
        yield wrapped


def silent(server: EchoServer, stack: contextlib.ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=GENEROUS))


def is_echoed(connection: ssl.SSLSocket, message: bytes = b"hello") -> bool:
    connection.sendall(message)
    return connection.recv(len(message)) == message


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except (ConnectionError, ssl.SSLError):
        return True


def send_without_end(connection: ssl.SSLSocket) -> None:
    while True:
        connection.sendall(CHUNK)


def only_protocol(server: EchoServer) -> Echo:
    server.thread.wait_until(lambda: len(server.protocols) == 1 and server.protocols[0].transport is not None)
    return server.protocols[0]


@pytest.mark.parametrize("beginning", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01"])
def test_handshake_that_does_not_go_on_is_cut_off(loop_name: str, beginning: bytes) -> None:
    with echo_server(loop_name=loop_name, limits=GatewayLimits(handshake_seconds=0.1)) as server:
        with contextlib.ExitStack() as stack:
            half_open = silent(server, stack)
            half_open.sendall(beginning)
            assert is_closed(half_open)
        assert server.protocols == []


def test_stranger_that_is_not_admitted_in_time_is_cut_off(loop_name: str, device: ssl.SSLContext) -> None:
    limits = GatewayLimits(connect_seconds=1.0)
    with echo_server(loop_name=loop_name, limits=limits) as server, contextlib.ExitStack() as stack:
        admitted = stack.enter_context(connected(server, device))
        assert is_echoed(admitted, b"Admit")
        connection = stack.enter_context(connected(server, device))
        assert is_closed(connection)
        assert is_echoed(admitted)


def test_flood_of_silent_connections_leaves_room_for_a_device(loop_name: str, device: ssl.SSLContext) -> None:
    limits = GatewayLimits(max_strangers=20, max_waiting=50, silent_seconds=0.5)
    with echo_server(loop_name=loop_name, limits=limits) as server, contextlib.ExitStack() as stack:
        admitted = stack.enter_context(connected(server, device))
        assert is_echoed(admitted, b"Admit")
        flood = [silent(server, stack) for _ in range(200)]

        honest = stack.enter_context(connected(server, device))

        assert is_echoed(honest, b"Admit")
        assert is_echoed(admitted)
        # Those that sent nothing gave their places to those behind them, the device among them.
        assert all(is_closed(connection) for connection in flood[:20])
        assert server.thread.call(lambda: server.listener.open_connections) <= 72


def test_silent_stranger_makes_way_where_connections_are_scarce(loop_name: str, device: ssl.SSLContext) -> None:
    with (
        echo_server(loop_name=loop_name, limits=GatewayLimits(max_connections=2, silent_seconds=0.5)) as server,
        contextlib.ExitStack() as stack,
    ):
        first = stack.enter_context(connected(server, device))
        assert is_echoed(first, b"Admit")
        connection = silent(server, stack)

        second = stack.enter_context(connected(server, device))

        assert is_echoed(second, b"Admit")
        assert is_closed(connection)
        assert is_closed(silent(server, stack))
        assert is_echoed(first)
        assert is_echoed(second)


def test_peer_that_does_not_read_is_paused_then_cut_off(loop_name: str, device: ssl.SSLContext) -> None:
    limits = GatewayLimits(write_stall_seconds=0.2)
    with echo_server(loop_name=loop_name, limits=limits) as server, connected(server, device) as deaf:
        assert is_echoed(deaf, b"Admit")
        with pytest.raises((ConnectionError, ssl.SSLError)):
            send_without_end(deaf)
        protocol = only_protocol(server)
        server.thread.wait_until(lambda: protocol.losses == 1)
        assert protocol.pauses == 1
        assert protocol.resumes == 0


def test_slow_reader_gets_everything(loop_name: str, device: ssl.SSLContext) -> None:
    with echo_server(loop_name=loop_name) as server, connected(server, device) as slow:
        assert is_echoed(slow, b"Admit")
        protocol = only_protocol(server)
        sent = 0
        slow.settimeout(0.5)
        # A server that is slow to answer is not one that waits for its client.
        while not protocol.pauses:
            with contextlib.suppress(TimeoutError):
                sent += slow.send(CHUNK)
        slow.settimeout(GENEROUS)
        received = 0
        while received < sent:
            received += len(slow.recv(65_536))
        server.thread.wait_until(lambda: protocol.resumes == protocol.pauses)


def test_protocol_that_writes_far_too_much_loses_the_connection(loop_name: str, device: ssl.SSLContext) -> None:
    limits = GatewayLimits(write_limit_bytes=1_000_000)
    with echo_server(loop_name=loop_name, limits=limits) as server, connected(server, device) as deaf:
        protocol = only_protocol(server)

        def write_much() -> None:
            assert protocol.transport is not None
            for _ in range(2 * limits.write_limit_bytes // len(CHUNK)):
                protocol.transport.write(CHUNK)

        server.thread.call(write_much)
        server.thread.wait_until(lambda: protocol.losses == 1)
        while not is_closed(deaf):
            pass


def test_paused_protocol_receives_nothing_until_it_resumes(loop_name: str, device: ssl.SSLContext) -> None:
    with echo_server(loop_name=loop_name) as server, connected(server, device) as client:
        protocol = only_protocol(server)
        transport = protocol.transport
        assert transport is not None
        server.thread.call(transport.pause_reading)
        client.sendall(b"one")
        client.sendall(b"two")
        server.thread.call(lambda: transport.write(b"written while paused"))
        assert client.recv(100) == b"written while paused"
        assert protocol.received == b""

        server.thread.call(transport.resume_reading)

        assert client.recv(3) + client.recv(3) == b"onetwo"


def test_close_sends_what_was_written_and_says_so(loop_name: str, device: ssl.SSLContext) -> None:
    with echo_server(loop_name=loop_name) as server, connected(server, device) as client:
        client.sendall(b"Close" + CHUNK[:-5])
        received = b""
        while piece := client.recv(65_536):
            received += piece
        # A clean end: recv returned nothing instead of raising for a missing close_notify.
        assert received == b"Close" + CHUNK[:-5]


def test_close_does_not_wait_for_ever(loop_name: str, device: ssl.SSLContext) -> None:
    limits = GatewayLimits(close_seconds=0.1)
    with echo_server(loop_name=loop_name, limits=limits) as server, connected(server, device) as client:
        client.sendall(b"Close")
        server.thread.wait_until(lambda: server.listener.open_connections == 0)
        assert client.recv(5) == b"Close"


def test_close_notices_that_the_peer_has_gone_even_where_reading_was_paused(
    loop_name: str, device: ssl.SSLContext
) -> None:
    limits = GatewayLimits(close_seconds=10 * GENEROUS)
    with echo_server(loop_name=loop_name, limits=limits) as server:
        with connected(server, device) as client:
            transport = only_protocol(server).transport
            assert transport is not None
            server.thread.call(transport.pause_reading)
            server.thread.call(transport.close)
            assert client.recv(1) == b""
        server.thread.wait_until(lambda: server.listener.open_connections == 0)


def test_what_is_sent_after_the_end_is_thrown_away(loop_name: str, device: ssl.SSLContext) -> None:
    limits = GatewayLimits(close_seconds=GENEROUS)
    with echo_server(loop_name=loop_name, limits=limits) as server, connected(server, device) as client:
        client.sendall(b"Close")
        with pytest.raises((ConnectionError, ssl.SSLError)):
            send_without_end(client)
        server.thread.wait_until(lambda: server.listener.open_connections == 0)
        assert only_protocol(server).received == b"Close"


def test_abort_throws_away_what_is_unsent(loop_name: str, device: ssl.SSLContext) -> None:
    with echo_server(loop_name=loop_name) as server, connected(server, device) as client:
        protocol = only_protocol(server)
        client.sendall(b"X")
        server.thread.wait_until(lambda: protocol.losses == 1)
        while not is_closed(client):
            pass


@pytest.mark.parametrize("farewell", ["close_notify", "end of file", "reset"])
def test_peer_that_leaves_is_noticed(loop_name: str, device: ssl.SSLContext, farewell: str) -> None:
    with echo_server(loop_name=loop_name) as server:
        with connected(server, device) as client:
            assert is_echoed(client)
            if farewell == "close_notify":
                client.unwrap()
            elif farewell == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.thread.wait_until(lambda: server.listener.open_connections == 0)
        assert only_protocol(server).losses == 1


def test_tampered_record_ends_the_connection(loop_name: str, device: ssl.SSLContext) -> None:
    with echo_server(loop_name=loop_name) as server:
        with contextlib.ExitStack() as stack:
            plain = silent(server, stack)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = device.wrap_bio(incoming, outgoing, server_hostname="localhost")
            handshake(plain, client, incoming, outgoing)
            client.write(b"hello")
            record = bytearray(outgoing.read())
            record[-1] ^= 1
            plain.sendall(record)
            server.thread.wait_until(lambda: server.listener.open_connections == 0)
        assert only_protocol(server).received == b""


def handshake(plain: socket.socket, client: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
    while True:
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            plain.sendall(outgoing.read())
            incoming.write(plain.recv(65_536))
        else:
            plain.sendall(outgoing.read())
            return


def test_ipv6_is_served(loop_name: str, device: ssl.SSLContext) -> None:
    with echo_server(loop_name=loop_name, host="localhost") as server:
        addresses = {address for address, _port in server.listener.addresses}
        for address in addresses:
            plain = socket.create_connection((address, server.port), timeout=GENEROUS)
            with plain, device.wrap_socket(plain, server_hostname="localhost") as client:
                assert is_echoed(client)


def test_socket_that_cannot_be_used_is_forgotten(
    loop_name: str, device: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    with echo_server(loop_name=loop_name) as server, contextlib.ExitStack() as stack:
        really = server.listener._loop
        monkeypatch.setattr(server.listener, "_loop", LoopWithout(really, refuse))
        assert is_closed(silent(server, stack))
        monkeypatch.setattr(server.listener, "_loop", really)
        server.thread.wait_until(lambda: server.listener.open_connections == 0)
        assert is_echoed(stack.enter_context(connected(server, device)))


class LoopWithout:
    """A loop that cannot take over accepted sockets."""

    def __init__(self, loop: asyncio.AbstractEventLoop, refuse: object) -> None:
        self._loop = loop
        self.connect_accepted_socket = refuse

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class ExhaustedSocket:
    """A listening socket that finds no descriptor once, and works afterwards."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._refusals = [OSError(errno.EMFILE, "Too many open files")]
        self.fileno = listener.fileno

    def accept(self) -> tuple[socket.socket, object]:
        if self._refusals:
            raise self._refusals.pop()
        return self._listener.accept()


def test_want_of_descriptors_costs_a_stranger_its_place_and_ends(loop_name: str, device: ssl.SSLContext) -> None:
    limits = GatewayLimits(silent_seconds=0.5)
    with echo_server(loop_name=loop_name, limits=limits) as server, contextlib.ExitStack() as stack:
        connection = silent(server, stack)
        server.thread.wait_until(lambda: server.listener.open_connections == 1)
        exhausted = ExhaustedSocket(server.listener._acceptor._listeners[0])
        listener = server.listener
        server.thread.wait_until(lambda: listener._unauthenticated.stalled(listener._loop.time()) is not None)

        server.thread.call(lambda: server.listener._acceptor._accept(exhausted))  # type: ignore[arg-type]  # it is enough of one

        assert is_closed(connection)
        assert is_echoed(stack.enter_context(connected(server, device)))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_strangers_are_counted_by_what_one_can_be_expected_to_own(address: str, network: str) -> None:
    assert network_of(address) == network


def test_limits_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_strangers must be positive"):
        GatewayLimits(max_strangers=0)
