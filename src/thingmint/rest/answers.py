"""Owns the HTTP form of the API's answers: header fields, and errors in AWS's form."""

from msgspec import Struct

from thingmint.api.wire.errors import ErrorAnswer
from thingmint.rest.asgi_messages import Extensions, HTTPScope, Send

JSON = b"application/json"


class Answer(Struct, frozen=True):
    """A status, a body and special header fields. The repr omits the body, which may contain a private key."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    # An answer may contain a private key, so caches must not store it.
    cache_control: bytes = b"no-store"

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.body)} bytes of {self.content_type!r})"


def error_answer(error: ErrorAnswer) -> Answer:
    """Return the answer that AWS's clients decode as this error."""
    headers = [(b"x-amzn-errortype", error.name.encode("ascii"))]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    return Answer(error.status, error.body, headers=tuple(headers))


def answer_of_error(error: ErrorAnswer, request_id: str) -> Answer:
    """Return the answer of `error_answer`; in this form the request's id is in the header only."""
    del request_id
    return error_answer(error)


async def send_answer(scope: HTTPScope, send: Send, request_id: str, answer: Answer) -> None:
    """Send the answer, to HEAD without its body (RFC 9110, 9.3.2)."""
    if not answer.headers and "extensions" in scope and _is_written(scope["extensions"], request_id, answer):
        return
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(answer.body)),
        (b"cache-control", answer.cache_control),
        (b"x-amzn-requestid", request_id.encode("ascii")),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers, "trailers": False})
    body = b"" if scope["method"] == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _is_written(extensions: Extensions, request_id: str, answer: Answer) -> bool:
    """Write the answer in one call, and return whether the server could."""
    write = extensions.get("whole_answer")
    if write is None:
        return False
    fields = (
        b"content-type: %b\r\n" % answer.content_type,
        b"cache-control: %b\r\n" % answer.cache_control,
        b"x-amzn-requestid: %b\r\n" % request_id.encode("ascii"),
    )
    return write(answer.status, fields, answer.body)
