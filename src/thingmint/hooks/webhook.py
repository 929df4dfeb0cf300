"""Owns one POST of JSON to a webhook and its answer, over HTTP/1.1. Follows no redirects and uses no proxy."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import httptools
import msgspec

from thingmint.core.hooks import HookFailed
from thingmint.hooks.signature import HEADER, QuestionSigner
from thingmint.hooks.trust import MachineTrust

MAX_ANSWER_BYTES = 65_536
_CHUNK = 16_384
_OK = 200
_FIRST_FINAL_STATUS = 200


@dataclass(frozen=True, slots=True)
class Webhook:
    """A URL that answers a hook's requests; the server's certificate is verified."""

    host: str
    port: int
    path: str
    is_tls: bool
    signer: QuestionSigner | None = None
    trust: MachineTrust = field(default_factory=MachineTrust, repr=False, compare=False)

    async def ask(self, question: Mapping[str, object]) -> object:
        """Return the answer's JSON; raise HookFailed if there is none with status 200."""
        try:
            tls = await self.trust.context() if self.is_tls else None
            reader, writer = await asyncio.open_connection(self.host, self.port, ssl=tls)
            try:
                writer.write(self._request(msgspec.json.encode(question)))
                answer = await _read(reader)
            finally:
                # The exchange is complete. To wait until a slow peer closes TLS is not necessary.
                writer.transport.abort()
        except (OSError, httptools.HttpParserError) as error:
            raise HookFailed(f"the webhook cannot be reached: {type(error).__name__}") from error
        except httptools.HttpParserUpgrade as error:
            raise HookFailed("the webhook wants to speak another protocol") from error
        return answer.decoded()

    def _request(self, body: bytes) -> bytes:
        host = f"[{self.host}]" if ":" in self.host else self.host
        signature = "" if self.signer is None else f"{HEADER}: {self.signer.signature(body)}\r\n"
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {host}:{self.port}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json\r\nUser-Agent: thingmint\r\nContent-Length: {len(body)}\r\n"
            f"{signature}Connection: close\r\n\r\n"
        )
        return head.encode("ascii") + body


@dataclass(slots=True)
class _Answer:
    """The first final response that the parser reports; bytes after it are ignored."""

    body: bytearray = field(default_factory=bytearray)
    status: int = 0
    is_complete: bool = False
    has_length: bool = False
    parser: httptools.HttpResponseParser = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        if not self.is_complete:
            self.status, self.has_length = 0, False

    def on_header(self, name: bytes, value: bytes) -> None:
        del value
        self.has_length = self.has_length or name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        if not self.is_complete:
            self.status = self.parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if self.is_complete:
            return
        self.body += body
        if len(self.body) > MAX_ANSWER_BYTES:
            raise HookFailed(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")

    def on_message_complete(self) -> None:
        # RFC 9110, 15.2: any number of interim responses may come before the final one.
        self.is_complete = self.is_complete or self.status >= _FIRST_FINAL_STATUS

    def decoded(self) -> object:
        if self.status != _OK:
            raise HookFailed(f"the webhook answered with status {self.status}")
        try:
            return msgspec.json.decode(bytes(self.body))
        except (msgspec.DecodeError, RecursionError) as error:
            raise HookFailed("the webhook's answer is not JSON") from error


async def _read(reader: asyncio.StreamReader) -> _Answer:
    answer = _Answer()
    received = 0
    while not answer.is_complete:
        data = await reader.read(_CHUNK)
        received += len(data)
        if received > 2 * MAX_ANSWER_BYTES:
            raise HookFailed("the answer's head does not end")
        if not data:
            # RFC 9112, 6.3: the end of the connection ends a response without a length. A response with a length is
            # incomplete.
            if answer.has_length or answer.status < _FIRST_FINAL_STATUS:
                raise HookFailed("the webhook closed the connection before its answer was complete")
            break
        try:
            answer.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            raise HookFailed(f"the answer is longer than {MAX_ANSWER_BYTES} bytes") from error
    return answer
