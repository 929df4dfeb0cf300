"""Runs the HTTP server in a thread of its own, around a tiny application, and speaks to it in raw bytes."""

import asyncio
import contextlib
import datetime as dt
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support.machine.loop_thread import LoopThread, loop_thread

from thingmint.rest.asgi_messages import ASGIApplication, HTTPScope, Receive, Send
from thingmint.rest.http.limits import Limits
from thingmint.rest.http.protocol.phases import Phase
from thingmint.rest.http.server import Server

GENEROUS = 30.0


@dataclass
class TinyApplication:
    """Answers what it was asked; some paths misbehave on purpose."""

    started: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    disconnects: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    release: threading.Event = field(default_factory=threading.Event)
    served: list[str] = field(default_factory=list)

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        path = scope["path"]
        self.started.release()
        self.served.append(path)
        if path == "/fails":
            raise ArithmeticError("on purpose")
        if path == "/fails-late":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
            raise ArithmeticError("on purpose")
        if path == "/silent":
            return
        if path == "/refuses-early":
            await self._answer(send, 413, b"{}")
            return
        if path.startswith("/large/"):
            await self._answer(send, 200, b"x" * int(path.removeprefix("/large/")))
            return
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                self.disconnects.release()
                return
            body += message["body"]
            if not message["more_body"]:
                break
        while path.startswith("/waits") and not self.release.is_set():  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.005)
        seen = {
            "path": path,
            "raw_path": scope["raw_path"].decode(),
            "query": scope["query_string"].decode(),
            "body": len(body),
            "client": list(scope["client"] or ()),
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        }
        await self._answer(send, 200, json.dumps(seen).encode())

    @staticmethod
    async def _answer(send: Send, status: int, body: bytes) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


@dataclass(frozen=True)
class Response:
    """A response as it came off the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> str:
        """The message of an error in AWS's form."""
        return str(json.loads(self.body)["message"])


class Client:
    """A connection that says exactly what it is told to."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        plain = socket.create_connection((host, port), timeout=GENEROUS)
        try:
            self.socket = tls.wrap_socket(plain, server_hostname="localhost") if tls else plain
        except BaseException:
            plain.close()
            raise
        self._received = b""

    def send(self, data: bytes) -> None:
        """Send as much as the server takes: it may close first."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)

    def _more(self) -> bool:
        try:
            piece = self.socket.recv(65536)
        except ConnectionError:
            piece = b""
        self._received += piece
        return bool(piece)

    def response(self) -> Response | None:
        """Read one response; None if the server closes instead."""
        while b"\r\n\r\n" not in self._received:
            if not self._more():
                assert not self._received, self._received
                return None
        head, _, rest = self._received.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers["content-length"])
        while len(rest) < length and self._more():
            rest = self._received.partition(b"\r\n\r\n")[2]
        self._received = rest[length:]
        return Response(int(status_line.split()[1]), headers, rest[:length])

    def ask(self, data: bytes) -> Response | None:
        """Send, then read one response."""
        self.send(data)
        return self.response()

    def is_closed_by_server(self) -> bool:
        """Wait for the end of the connection; False if something else arrives."""
        return not self._more()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@dataclass
class LiveServer(LoopThread):
    """A server in its thread."""

    server: Server
    application: TinyApplication

    def client(self, tls: ssl.SSLContext | None = None) -> Client:
        """Connect to the server."""
        return Client(self.server.port, tls)

    def ask(self, data: bytes) -> Response | None:
        """Send bytes on a new connection and read one response."""
        with self.client() as client:
            return client.ask(data)

    @property
    def open_connections(self) -> int:
        """How many sockets are open, including those in their handshake."""
        return len(self.server._connections)

    def let_pass(self, seconds: float) -> None:
        """Let the server look at its open connections as it would this much later."""

        async def look() -> None:
            for protocol in self.server.protocols():
                protocol.enforce(self.loop.time() + seconds)

        self.run(look())

    def wait_for_half_a_head(self) -> None:
        """Wait until the server has received the beginning of a request's head on some connection."""
        self.wait_until(lambda: any(protocol._clock.phase is Phase.HEAD for protocol in self.server.protocols()))

    def wait_for_reader(self) -> None:
        """Wait until the server waits for some client to read a response."""
        self.wait_until(lambda: any(protocol.waits_for_client for protocol in self.server.protocols()))


@contextlib.contextmanager
def live_server(
    *,
    loop_name: str = "uvloop",
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    observe_connections: Callable[[int], None] | None = None,
    application: ASGIApplication | None = None,
) -> Iterator[LiveServer]:
    """Start a server on a free port of the loopback, and stop it at the end; by default around a tiny application."""
    tiny = TinyApplication()
    server = Server(
        application or tiny,
        host=host,
        port=0,
        ssl_context=tls,
        limits=limits,
        observe_connections=observe_connections,
        spared=frozenset({b"/alive"}),
    )
    with loop_thread(loop_name) as thread:
        live = LiveServer(thread.loop, server, tiny)
        try:
            live.run(server.start())
            yield live
        finally:
            tiny.release.set()
            live.run(server.stop(5.0))


def write_certificate(directory: Path, common_name: str) -> tuple[Path, Path]:
    """Write a self-signed certificate for localhost and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = directory / f"{common_name}.pem", directory / f"{common_name}.key"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_path, key_path


def client_tls_context(certificate: Path) -> ssl.SSLContext:
    """Return a client's context that trusts this certificate alone."""
    return ssl.create_default_context(cafile=str(certificate))
