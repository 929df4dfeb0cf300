"""Connections that end at the same moment do so in several turns of the event loop, and none loses what it has sent."""

import asyncio
import contextlib
import itertools
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from tests.support.devices.device_gateway import LiveGateway, live_gateway
from tests.support.devices.mqtt_peer import V3, Peer, connected_peer
from tests.support.devices.tls_echo import echo_server
from tests.support.machine.loop_thread import GENEROUS, LOOPS, LoopThread, held

from thingmint.mqtt.transport import listener
from thingmint.registration.kernel import turns

DEVICES = 8
# More than a handshake may take.
MUCH = 200 * 1024


@pytest.fixture(params=sorted(LOOPS))
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def shortest_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SLICE_SECONDS", 0.0)


def counted(thread: LoopThread, count: Callable[[], int], last: int) -> "Future[set[int]]":
    """Return by how much the count changes in each turn until it has the last value; begin before the loop is held."""

    async def watch() -> set[int]:
        counts = [count()]
        async with asyncio.timeout(GENEROUS):
            while counts[-1] != last:
                await asyncio.sleep(0)
                counts.append(count())
        return {abs(later - earlier) for earlier, later in itertools.pairwise(counts)}

    return asyncio.run_coroutine_threadsafe(watch(), thread.loop)


def close(device: Peer) -> None:
    device.socket.close()


def close_tcp(device: Peer) -> None:
    socket.socket(fileno=device.socket.detach()).close()


def reset(device: Peer) -> None:
    device.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    close_tcp(device)


@pytest.fixture
def live(tmp_path: Path, loop_name: str) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path, loop_name=loop_name) as running:
        yield running


@pytest.mark.parametrize("end", [close, close_tcp, reset])
def test_devices_that_are_lost_at_once_end_in_several_turns(live: LiveGateway, end: Callable[[Peer], None]) -> None:
    with contextlib.ExitStack() as stack:
        identity = live.register()
        devices = [stack.enter_context(connected_peer(live, identity, V3, f"device-{n}")) for n in range(DEVICES)]
        ends = counted(live.thread, lambda: live.gateway.connected_devices, 0)
        closes = counted(live.thread, lambda: live.gateway.open_connections, 0)
        with held(live.thread):
            for device in devices:
                end(device)
        assert ends.result(GENEROUS) <= {0, 1}
        assert closes.result(GENEROUS) <= {0, 1}


def test_what_a_client_sends_with_the_end_of_its_handshake_does_not_count_as_handshake(
    tmp_path: Path, loop_name: str
) -> None:
    with live_gateway(tmp_path) as issuing, echo_server(loop_name=loop_name) as server, contextlib.ExitStack() as stack:
        client = Handshake(issuing.context(issuing.register()), server.port, stack)
        client.answer()
        with held(server.thread):
            client.finish(b"A" + bytes(MUCH))
        assert client.receive(1 + MUCH) == b"A" + bytes(MUCH)


@pytest.fixture
def shortest_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the listener handle what one connection has received in a turn."""
    monkeypatch.setattr(listener, "_MESSAGE_SECONDS", 0.0)


@pytest.mark.usefixtures("shortest_turns")
def test_what_devices_send_at_once_is_handled_in_several_turns(tmp_path: Path, loop_name: str) -> None:
    with live_gateway(tmp_path) as issuing, echo_server(loop_name=loop_name) as server, contextlib.ExitStack() as stack:
        context = issuing.context(issuing.register())
        devices = [Handshake(context, server.port, stack) for _ in range(DEVICES)]
        for device in devices:
            device.answer()
            device.finish(b"A")
            assert device.receive(1) == b"A"
        received = counted(server.thread, lambda: sum(len(each.received) for each in server.protocols), 2 * DEVICES)
        with held(server.thread):
            for device in devices:
                device.finish(b"m")
        # One that is handled at once, and one that has waited.
        assert received.result(GENEROUS) <= {0, 1, 2}


@pytest.mark.usefixtures("shortest_turns")
def test_a_device_that_sends_much_while_it_waits_is_held_back_and_loses_nothing(tmp_path: Path, loop_name: str) -> None:
    with live_gateway(tmp_path) as issuing, echo_server(loop_name=loop_name) as server, contextlib.ExitStack() as stack:
        context = issuing.context(issuing.register())
        devices = [Handshake(context, server.port, stack) for _ in range(DEVICES)]
        for device in devices:
            device.answer()
            device.finish(b"A")
            assert device.receive(1) == b"A"
        with held(server.thread):
            for number, device in enumerate(devices):
                device.finish(bytes([number]) * MUCH)
        for number, device in enumerate(devices):
            assert device.receive(MUCH) == bytes([number]) * MUCH


class Handshake:
    """A client of TLS 1.3 whose messages are sent when the test says."""

    def __init__(self, context: ssl.SSLContext, port: int, stack: contextlib.ExitStack, *, begins: bool = True) -> None:
        self._socket = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=GENEROUS))
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self._socket.sendall(self._outgoing.read())

    def answer(self) -> None:
        """Take the server's messages, and keep the answer."""
        while True:
            self._incoming.write(self._socket.recv(65_536))
            with contextlib.suppress(ssl.SSLWantReadError):
                return self._tls.do_handshake()

    def finish(self, data: bytes) -> None:
        """Send the answer, and data behind it, as far as the connection takes it now."""
        self._tls.write(data)
        sender = threading.Thread(target=self._socket.sendall, args=(self._outgoing.read(),))
        sender.start()
        sender.join(0.2)

    def receive(self, count: int) -> bytes:
        """Return so many bytes of data."""
        received = b""
        while len(received) < count:
            try:
                received += self._tls.read(65_536)
            except ssl.SSLWantReadError:
                self._incoming.write(self._socket.recv(65_536))
        return received
