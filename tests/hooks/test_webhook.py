"""Webhooks over real sockets: what passes as an answer, and what is a failure."""

import asyncio
import hmac
import json
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.registration.authority import NOW, StandingClock

from thingmint.core.hooks import HookFailed
from thingmint.core.identifiers import SerialNumber
from thingmint.hooks.signature import QuestionSigner
from thingmint.hooks.trust import BELIEVED_SECONDS, MachineTrust
from thingmint.hooks.webhook import MAX_ANSWER_BYTES, Webhook
from thingmint.issuance.authorities.trust_anchor import (
    CertificateAuthority,
    create_root_ca,
    create_server_certificate,
    create_service_ca,
)

QUESTION = {"certificateId": "ab", "parameters": {"a": "ä"}}
ALLOWED = b'{"allowProvisioning": true}'
Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(handle: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Yield the port of a server that reads one request and leaves its answer to the handler."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        try:
            await handle(head + await reader.readexactly(length), writer)
        finally:
            writer.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def answering(answer: bytes) -> Handler:
    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return handle


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def ask(answer: bytes) -> object:
    async with server(answering(answer)) as port:
        return await Webhook("127.0.0.1", port, "/hook?x=1", is_tls=False).ask(QUESTION)


async def test_a_webhook_is_posted_the_question() -> None:
    requests: list[bytes] = []

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        requests.append(request)
        await answering(http(ALLOWED))(request, writer)

    async with server(handle) as port:
        answer = await Webhook("127.0.0.1", port, "/hook?x=1", is_tls=False).ask(QUESTION)
    assert answer == {"allowProvisioning": True}
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook?x=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Content-Type: application/json" in head
    assert json.loads(body) == QUESTION


async def test_a_question_is_signed_with_the_shared_secret_and_the_time() -> None:
    requests: list[bytes] = []

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        requests.append(request)
        await answering(http(ALLOWED))(request, writer)

    signer = QuestionSigner(b"s" * 32, StandingClock())
    async with server(handle) as port:
        await Webhook("127.0.0.1", port, "/", is_tls=False, signer=signer).ask(QUESTION)

    head, _, body = requests[0].partition(b"\r\n\r\n")
    seconds = int(NOW.timestamp())
    digest = hmac.digest(b"s" * 32, f"{seconds}.".encode() + body, "sha256").hex()
    assert f"\r\nX-Thingmint-Signature: t={seconds},v1={digest}\r\n".encode() in head
    assert "ssss" not in repr(signer)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n" + ALLOWED,
        b"HTTP/1.0 200 OK\r\n\r\n" + ALLOWED,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1b\r\n" + ALLOWED + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + http(ALLOWED),
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + ALLOWED,
        http(ALLOWED) + http(b"{}", "500 Internal Server Error"),
    ],
)
async def test_answers_may_be_framed_in_every_way_of_http(answer: bytes) -> None:
    assert await ask(answer) == {"allowProvisioning": True}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "before its answer was complete"),
        (b"no HTTP\r\n\r\n", "cannot be reached"),
        (http(ALLOWED)[:-1], "before its answer was complete"),
        (http(b"not json"), "not JSON"),
        (http(b"[" * 20_000), "not JSON"),
        (http(b""), "not JSON"),
        (http(ALLOWED, "500 Internal Server Error"), "status 500"),
        (http(ALLOWED, "403 Forbidden") + http(b""), "status 403"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "before its answer was complete"),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "another protocol"),
        (http(b"", "302 Found\r\nLocation: http://127.0.0.1/"), "status 302"),
        (http(b" " * (MAX_ANSWER_BYTES + 1)), "longer than"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 40_000, "head does not end"),
    ],
)
async def test_other_answers_are_failures(answer: bytes, reason: str) -> None:
    with pytest.raises(HookFailed, match=reason):
        await ask(answer)


async def test_an_interim_answer_may_come_long_before_the_answer() -> None:
    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        await answering(http(ALLOWED))(request, writer)

    async with server(handle) as port:
        answer = await Webhook("127.0.0.1", port, "/", is_tls=False).ask(QUESTION)
    assert answer == {"allowProvisioning": True}


async def test_a_port_that_nobody_listens_on_is_a_failure() -> None:
    async with server(answering(b"")) as port:
        pass
    with pytest.raises(HookFailed, match="cannot be reached: ConnectionRefusedError"):
        await Webhook("127.0.0.1", port, "/", is_tls=False).ask(QUESTION)


async def test_a_webhook_that_is_given_up_lets_go_of_its_connection() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await gone.wait()

    async with server(handle) as port:
        task = asyncio.create_task(Webhook("127.0.0.1", port, "/", is_tls=False).ask(QUESTION))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gone.set()


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A trust anchor, and a server's certificates with its key."""
    now = datetime.now(UTC)
    root_key, ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root = CertificateAuthority(create_root_ca(root_key, SerialNumber(1), now), root_key)
    service = CertificateAuthority(create_service_ca(root, ca_key.public_key(), SerialNumber(2), now), ca_key)
    certificate = create_server_certificate(service, key.public_key(), ["localhost"], SerialNumber(3), now)
    folder = tmp_path_factory.mktemp("tls")
    pem = serialization.Encoding.PEM
    (folder / "root.pem").write_bytes(root.certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(certificate.public_bytes(pem) + service.certificate.public_bytes(pem) + private)
    return folder / "root.pem", folder / "server.pem"


async def test_a_webhook_over_tls_is_asked_if_its_certificate_holds(
    tls_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, server_file = tls_files
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file)
    async with server(answering(http(ALLOWED)), context) as port:
        with pytest.raises(HookFailed, match="SSLCertVerificationError"):
            await Webhook("localhost", port, "/", is_tls=True).ask(QUESTION)
        trusting = ssl.create_default_context(cafile=root)
        monkeypatch.setattr(ssl, "create_default_context", lambda: trusting)
        assert await Webhook("localhost", port, "/", is_tls=True).ask(QUESTION) == {"allowProvisioning": True}
        with pytest.raises(HookFailed, match="SSLCertVerificationError"):
            await Webhook("127.0.0.1", port, "/", is_tls=True).ask(QUESTION)


async def test_trust_is_loaded_once_for_many_questions_and_again_after_a_while(
    tls_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # To load a machine's trust anchors takes a tenth of a second, in which nothing else would be served.
    loaded_by: list[str] = []

    def load() -> ssl.SSLContext:
        loaded_by.append(threading.current_thread().name)
        return trusting

    trusting = ssl.create_default_context(cafile=tls_files[0])
    monkeypatch.setattr(ssl, "create_default_context", load)
    seconds = [0.0]
    trust = MachineTrust(lambda: seconds[0])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_files[1])
    async with server(answering(http(ALLOWED)), context) as port:
        webhook = Webhook("localhost", port, "/", is_tls=True, trust=trust)
        await asyncio.gather(*(webhook.ask(QUESTION) for _ in range(8)))
        assert len(loaded_by) == 1
        assert loaded_by[0] != threading.current_thread().name
        seconds[0] += BELIEVED_SECONDS
        await webhook.ask(QUESTION)
    assert len(loaded_by) == 2


def test_an_address_of_version_6_is_bracketed() -> None:
    assert b"Host: [::1]:443" in Webhook("::1", 443, "/", is_tls=True)._request(b"")
