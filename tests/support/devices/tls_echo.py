"""Runs the gateway's TLS listener around a protocol that sends back what it receives."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from tests.support.devices.device_identities import Identity, server_identity
from tests.support.machine.loop_thread import LoopThread, loop_thread

from thingmint.host.connections.peer_tls import Peer
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.mqtt.transport.listener import Listener
from thingmint.mqtt.transport.tls import device_tls_context
from thingmint.mqtt.transport.tls_transport import TLSTransport


def tls_context_of(identity: Identity) -> SSL.Context:
    """Return the gateway's context for this identity."""
    assert isinstance(identity.key, ec.EllipticCurvePrivateKey)
    return device_tls_context([identity.certificate, *identity.issuers], identity.key)


@dataclass(eq=False)
class Echo:
    """One connection's protocol. A first byte ``A`` makes it an admitted device; ``C`` closes, ``X`` aborts."""

    admit: Callable[[TLSTransport], None]
    transport: TLSTransport | None = None
    peer: Peer | None = None
    received: bytearray = field(default_factory=bytearray)
    pauses: int = 0
    resumes: int = 0
    losses: int = 0

    def established(self, transport: TLSTransport, peer: Peer) -> None:
        self.transport, self.peer = transport, peer

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.received += data
        if data[:1] == b"A":
            self.admit(self.transport)
        self.transport.write(data)
        if data[:1] == b"C":
            self.transport.close()
        if data[:1] == b"X":
            self.transport.abort()

    def pause_writing(self) -> None:
        self.pauses += 1

    def resume_writing(self) -> None:
        self.resumes += 1

    def eof_received(self, *, is_farewell: bool = False) -> None:
        assert self.transport is not None
        self.transport.close()

    def writing_lost(self) -> None:
        pass

    def connection_lost(self) -> None:
        self.losses += 1


@dataclass
class EchoServer:
    """The listener in its thread, and every protocol that it has made."""

    thread: LoopThread
    listener: Listener
    protocols: list[Echo]

    @property
    def port(self) -> int:
        return self.listener.port

    @property
    def last_peer(self) -> Peer:
        """What the last handshake told."""
        self.thread.wait_until(lambda: bool(self.protocols) and self.protocols[-1].peer is not None)
        peer = self.protocols[-1].peer
        assert peer is not None
        return peer


@contextlib.contextmanager
def echo_server(
    *,
    loop_name: str = "uvloop",
    limits: GatewayLimits | None = None,
    identity: Identity | None = None,
    host: str = "127.0.0.1",
) -> Iterator[EchoServer]:
    """Start a listener on a free port of the loopback, and stop it at the end."""
    protocols: list[Echo] = []

    def new_protocol() -> Echo:
        protocols.append(Echo(lambda transport: listener.admit(transport)))
        return protocols[-1]

    listener = Listener(
        new_protocol,
        host=host,
        port=0,
        tls_context=tls_context_of(server_identity()),
        limits=limits or GatewayLimits(),
    )
    with loop_thread(loop_name) as thread:
        thread.run(listener.start())
        try:
            yield EchoServer(thread, listener, protocols)
        finally:
            thread.run(listener.stop())
            assert listener.open_connections == 0
            assert all(protocol.losses == 1 for protocol in protocols)
