"""Owns the ASGI application that serves certificates, CRLs and OCSP without authentication. Signs nothing.

Every response is public and can be cached. OCSP requests are accepted by GET and POST (RFC 6960, appendix A.1; RFC
5019, 5). An error in an OCSP request is answered by an OCSP response with HTTP status 200.
"""

import base64
import binascii
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

from cryptography.hazmat.primitives import serialization
from msgspec import Struct

from thingmint.core.clock import Clock
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.public.addresses import ALL, OCSP_PATH, parse_certificate_path, parse_list_path
from thingmint.public.representation import Representation
from thingmint.registration.revocation.published import PublishedList, PublishedLists
from thingmint.registration.revocation.status import StatusAnswer, StatusService
from thingmint.registration.revocation.terms import CRLIssuers

# The ASGI types; this application uses few of their fields (https://asgi.readthedocs.io/en/latest/specs/www.html).
Scope: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

MOST_REQUEST_BYTES = 4096

_CERTIFICATE, _LIST = b"application/pkix-cert", b"application/pkix-crl"
_PEM, _TEXT = b"application/x-pem-file", b"text/plain; charset=utf-8"
_OCSP = b"application/ocsp-response"
_OCSP_PREFIX = OCSP_PATH.encode()
_NOT_KEPT = ((b"cache-control", b"no-store"),)
_LINE = 64
# How many CRLs are kept in PEM, because encoding a long list takes time.
_MOST_PEM = 8


class PublicApplication(Struct, frozen=True):
    """Serves the published objects. The application that mounts it must limit the size of request bodies."""

    clock: Clock
    crl_issuers: CRLIssuers
    lists: PublishedLists
    status: StatusService

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method, path = scope["method"], scope["raw_path"]
        if path.startswith(_OCSP_PREFIX):
            await self._serve_status(scope, method, path, receive, send)
            return
        if method not in ("GET", "HEAD"):
            await _send(
                scope, send, 405, Representation(b"Use GET or HEAD\n", _TEXT), [*_NOT_KEPT, (b"allow", b"GET, HEAD")]
            )
            return
        found = self._certificates(path) or self._lists(path)
        if found is None:
            await _send(scope, send, 404, Representation(b"Nothing is published here\n", _TEXT), _NOT_KEPT, method)
            return
        await self._give(scope, method, found, send)

    async def _give(self, scope: Scope, method: str, found: Representation, send: Send) -> None:
        fields = found.fields(self.clock.now())
        if found.is_known_to(scope["headers"]):
            await _send(scope, send, 304, None, fields)
        else:
            await _send(scope, send, 200, found, fields, method)

    # Certificates and lists

    def _certificates(self, path: bytes) -> Representation | None:
        named = parse_certificate_path(path)
        if named is None:
            return None
        cas = [each.ca for each in self.crl_issuers() if named.issuer_id in (ALL, each.ca.issuer_id)]
        if not cas:
            return None
        encoding = serialization.Encoding.PEM if named.is_pem else serialization.Encoding.DER
        body = b"".join(each.certificate.public_bytes(encoding) for each in cas)
        return _certificate_representation(body, _PEM if named.is_pem else _CERTIFICATE, cas)

    def _lists(self, path: bytes) -> Representation | None:
        named = parse_list_path(path)
        if named is None:
            return None
        if named.name.issuer_id == ALL:
            found = self.lists.complete(each.ca.issuer_id for each in self.crl_issuers())
        else:
            found = tuple(filter(None, (self.lists.get(named.name),)))
        return _list_representation(found, is_pem=named.is_pem) if found else None

    # OCSP

    async def _serve_status(self, scope: Scope, method: str, path: bytes, receive: Receive, send: Send) -> None:
        rest = path[len(_OCSP_PREFIX) :]
        if method == "POST" and rest in (b"", b"/"):
            request = await _body(scope, receive)
        elif method in ("GET", "HEAD") and rest.startswith(b"/"):
            request = _decoded(rest[1:])
        else:
            await _send(
                scope,
                send,
                405,
                Representation(b"Use GET or POST\n", _TEXT),
                [*_NOT_KEPT, (b"allow", b"GET, HEAD, POST")],
            )
            return
        answer = self.status.cached(request) or await self.status.answer_anew(request)
        found = _status_representation(answer)
        if method == "POST":
            await _send(scope, send, 200, found, found.fields(self.clock.now()))
        else:
            await self._give(scope, method, found, send)


def _certificate_representation(body: bytes, content_type: bytes, cas: Iterable[IssuingCA]) -> Representation:
    newest = max(each.not_before for each in cas)
    return Representation(body, content_type, hashlib.sha256(body).hexdigest(), newest)


def _list_representation(found: tuple[PublishedList, ...], *, is_pem: bool) -> Representation:
    body = b"".join(map(_pem, found)) if is_pem else found[0].der
    digest = (
        found[0].digest if not is_pem else hashlib.sha256("".join(each.digest for each in found).encode()).hexdigest()
    )
    return Representation(
        body,
        _PEM if is_pem else _LIST,
        digest,
        max(each.state.this_update for each in found),
        min(each.state.next_update for each in found),
    )


def _status_representation(answer: StatusAnswer) -> Representation:
    if answer.this_update is None:
        return Representation(answer.der, _OCSP)
    return Representation(
        answer.der, _OCSP, hashlib.sha256(answer.der).hexdigest(), answer.this_update, answer.next_update
    )


@lru_cache(_MOST_PEM)
def _pem(published: PublishedList) -> bytes:
    text = base64.b64encode(published.der)
    lines = b"\n".join(text[start : start + _LINE] for start in range(0, len(text), _LINE))
    return b"-----BEGIN X509 CRL-----\n" + lines + b"\n-----END X509 CRL-----\n"


def _decoded(encoded: bytes) -> bytes:
    """Return the OCSP request in a path (RFC 6960, appendix A.1); empty bytes, an invalid request, if there is none."""
    try:
        return base64.b64decode(unquote_to_bytes(encoded), validate=True)
    except binascii.Error:
        return b""


async def _body(scope: Scope, receive: Receive) -> bytes:
    # Most bodies arrive together with their heads.
    whole: bytes | None = scope["extensions"]["whole_body"]() if "extensions" in scope else None
    if whole is not None:
        return whole
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            # The client has gone, so it gets no response.
            return b""
        parts.append(message["body"])
        if not message.get("more_body", False):
            return b"".join(parts)


async def _send(
    scope: Scope,
    send: Send,
    status: int,
    content: Representation | None,
    fields: Iterable[tuple[bytes, bytes]],
    method: str = "GET",
) -> None:
    headers = [*fields]
    body = b"" if content is None else content.body
    if content is not None:
        headers.append((b"content-type", content.content_type))
        write = scope["extensions"].get("whole_answer") if "extensions" in scope else None
        if write is not None and write(status, [b"%b: %b\r\n" % each for each in headers], body):
            return
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body, "more_body": False})
