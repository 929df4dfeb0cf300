"""TLS for clients that may show a certificate of any issuer: what they prove, large bodies, and ends in the middle."""

import hashlib
import http.client
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.devices.device_identities import Identity
from tests.support.machine.live_server import GENEROUS, LiveServer, client_tls_context, live_server, write_certificate
from tests.support.machine.loop_thread import LOOPS

from thingmint.host.connections.peer_tls import Peer, peer_tls_context
from thingmint.rest.asgi_messages import HTTPScope, Receive, Send
from thingmint.rest.http.any_client import AnyClientContext

ANSWER = b"answer" * 50_000


@dataclass
class Remembering:
    """Remembers what its peers proved, and answers the digest of the body and a long text."""

    peers: list[Peer] = field(default_factory=list)

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        self.peers.append(scope["state"]["peer"])
        digest, more = hashlib.sha256(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            digest.update(message["body"])
            more = message["more_body"]
        body = digest.digest() + ANSWER
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


@dataclass
class Served:
    """A server, its certificate, and an identity that nobody knows."""

    server: LiveServer
    application: Remembering
    certificate: Path
    key: Path

    def context(self, version: ssl.TLSVersion, *, shows: bool) -> ssl.SSLContext:
        context = client_tls_context(self.certificate)
        context.maximum_version = version
        if shows:
            context.load_cert_chain(self.certificate, self.key)
        return context


@pytest.fixture(scope="module", params=LOOPS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    certificate, key = write_certificate(tmp_path_factory.mktemp("tls"), "localhost")
    private_key = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private_key, ec.EllipticCurvePrivateKey)
    identity = Identity(x509.load_pem_x509_certificate(certificate.read_bytes()), private_key)
    application = Remembering()
    tls = AnyClientContext(
        peer_tls_context([((identity.certificate,), private_key)], b"http/1.1", requires_certificate=False)
    )
    with live_server(loop_name=request.param, tls=tls, application=application) as server:
        yield Served(server, application, certificate, key)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shows", [False, True])
def test_requests_of_every_size_are_answered(served: Served, version: ssl.TLSVersion, *, shows: bool) -> None:
    context = served.context(version, shows=shows)
    connection = http.client.HTTPSConnection("localhost", served.server.server.port, context=context, timeout=GENEROUS)
    for size in (0, 1, 60_000, 700_000):
        body = bytes(size)
        connection.request("POST", "/", body)
        with connection.getresponse() as answer:
            assert answer.read() == hashlib.sha256(body).digest() + ANSWER
    connection.close()
    peer = served.application.peers[-1]
    shown = (ssl.PEM_cert_to_DER_cert(served.certificate.read_text()),) if shows else ()
    assert (peer.chain, peer.server_name) == (shown, "localhost")


def test_records_of_one_octet_each_are_read(served: Served) -> None:
    context = served.context(ssl.TLSVersion.TLSv1_3, shows=True)
    plain = socket.create_connection(("127.0.0.1", served.server.server.port), timeout=GENEROUS)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with plain:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65_536))
        for octet in b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n":
            client.write(bytes([octet]))
        plain.sendall(outgoing.read())
        received = b""
        while b"HTTP/1.1 200" not in received:
            incoming.write(plain.recv(65_536))
            try:
                received += client.read(65_536)
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x00\x05nonsense", b"\x16\x03", b""])
def test_a_handshake_that_fails_ends_the_connection(served: Served, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.server.server.port), timeout=GENEROUS) as plain:
        plain.sendall(sent)
        plain.shutdown(socket.SHUT_WR)
        plain.settimeout(GENEROUS)
        while plain.recv(4096):
            pass
    served.server.wait_until(lambda: served.server.open_connections == 0)


def test_a_client_that_leaves_or_breaks_the_protocol_is_forgotten(served: Served) -> None:
    context = served.context(ssl.TLSVersion.TLSv1_2, shows=True)
    for ending in (b"", b"\x17\x03\x03\x00\x10" + bytes(16)):
        plain = socket.create_connection(("127.0.0.1", served.server.server.port), timeout=GENEROUS)
        secure = context.wrap_socket(plain, server_hostname="localhost")
        descriptor = socket.socket(fileno=secure.detach())
        descriptor.settimeout(GENEROUS)
        descriptor.sendall(ending)
        descriptor.shutdown(socket.SHUT_WR)
        with descriptor:
            while descriptor.recv(4096):
                pass
    served.server.wait_until(lambda: served.server.open_connections == 0)
