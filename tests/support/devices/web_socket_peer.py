"""Owns peers of a gateway in WebSockets, frame by frame, well or badly; TLS and the handshake are left out."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from tests.support.brokers.broker import SCOPE
from tests.support.devices.device_gateway import FakeDevice, LiveGateway
from tests.support.devices.mqtt_peer import V5, Peer
from tests.support.machine.loop_thread import GENEROUS
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, Protocol

from thingmint.core.errors import Throttled
from thingmint.core.principals import AccessKeyTarget
from thingmint.mqtt.codec.packets import Connack, ProtocolVersion
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.rights.ports import HandshakeSigner

KEY = AccessKeyTarget(SCOPE, "AIDAEXAMPLE", "AKIAEXAMPLE")


class _Door(asyncio.Protocol):
    """Takes the place of the HTTP server: gives each connection to the gateway at once."""

    def __init__(self, live: LiveGateway, target: AccessKeyTarget) -> None:
        self._live = live
        self._target = target

    def connection_made(self, transport: Any) -> None:
        def switch(protocol: asyncio.Protocol) -> bool:
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            return True

        sockets = (transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
        try:
            self._live.gateway.open_web_socket(HandshakeSigner(self._target, "localhost", {}), sockets, switch)
        except Throttled:
            transport.abort()


@contextlib.contextmanager
def door(live: LiveGateway, target: AccessKeyTarget = KEY) -> Iterator[int]:
    """Open a port at which every connection is a WebSocket of the key; yield the port."""
    live.registry.signers[target.access_key_id] = FakeDevice(target.principal_id)
    server = live.thread.run(live.thread.loop.create_server(lambda: _Door(live, target), "127.0.0.1", 0))
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        live.thread.call(server.close)


class WebSocket:
    """A socket for `Peer` that puts what it sends into frames of its own, and opens those that it hears."""

    def __init__(self, connection: socket.socket) -> None:
        self.raw = connection
        self.protocol = Protocol(CLIENT)
        self._heard = bytearray()

    def sendall(self, data: bytes) -> None:
        """Send the bytes in one masked frame."""
        self.raw.sendall(Frame(Opcode.BINARY, data).serialize(mask=True))

    def recv(self, size: int) -> bytes:
        """Return received payload; nothing at the end, also by a Close frame."""
        while not self._heard:
            received = self.raw.recv(size)
            if not received:
                return b""
            self.protocol.receive_data(received)
            for frame in self.protocol.events_received():
                assert isinstance(frame, Frame)
                if frame.opcode is Opcode.BINARY:
                    self._heard += frame.data
            if self.protocol.close_rcvd is not None and not self._heard:
                return b""
        heard = bytes(self._heard)
        self._heard.clear()
        return heard

    def settimeout(self, seconds: float) -> None:
        """Set the time limit of each call."""
        self.raw.settimeout(seconds)


@contextlib.contextmanager
def web_socket(port: int, version: ProtocolVersion = V5) -> Iterator[tuple[Peer, WebSocket]]:
    """Open a WebSocket at a door."""
    with socket.create_connection(("127.0.0.1", port), timeout=GENEROUS) as connection:
        framed = WebSocket(connection)
        yield Peer(framed, version), framed  # type: ignore[arg-type]  # it calls these methods only


@contextlib.contextmanager
def connected_web_socket(
    port: int, version: ProtocolVersion = V5, client_id: str = "page", **fields: Any
) -> Iterator[tuple[Peer, WebSocket]]:
    """Open a WebSocket, and send the CONNECT that is accepted."""
    with web_socket(port, version) as (opened, framed):
        answer: Connack = opened.connect(client_id, **fields)
        assert answer.reason_code is ReasonCode.SUCCESS
        yield opened, framed
