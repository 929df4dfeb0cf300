"""Owns the verification of AWS Signature Version 4, and signing for the project's own client. Does no I/O.

Two phases, because the secret can be looked up only when the access key id is known. `read_signature` parses a request;
then `require_current`, `require_scope` and `require_signature` check time, service and key, in AWS's order. For any
content of a request, only AuthenticationFailure and its subclasses are raised.
"""

import hmac
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from thingmint.core.errors import SignatureRefused
from thingmint.rest.sigv4.canonical import (
    ALGORITHM,
    TERMINATOR,
    CredentialScope,
    HttpRequest,
    body_hash,
    canonical_request,
    header_values,
    signature,
    signing_key,
)
from thingmint.rest.sigv4.signature_claim import TIMESTAMP_FORMAT, Headers, SignatureClaim, read_claim

__all__ = [
    "CredentialScope",
    "Credentials",
    "HttpRequest",
    "SignedRequest",
    "read_signature",
    "require_current",
    "require_scope",
    "require_signature",
    "sign",
    "signing_key",
]

MAX_SKEW = timedelta(minutes=5)

_HOST = b"host"
_BODY_HASH = b"x-amz-content-sha256"
_AMAZON_PREFIXES = (b"x-amz-", b"x-amzn-")
# Load balancers add this header after the client has signed.
_ADDED_BY_PROXIES = b"x-amzn-trace-id"
# Proxies may change these headers, or they are not known yet when signing; AWS's clients do not sign them either.
_NEVER_SIGNED = frozenset(
    {b"authorization", b"connection", b"expect", b"transfer-encoding", b"user-agent", _ADDED_BY_PROXIES}
)
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key with its secret."""

    access_key_id: str
    secret: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


class SignedRequest(Struct, frozen=True):
    """A request and the claims of its signature; only the hash of the body has been verified."""

    request: HttpRequest
    headers: Headers
    claim: SignatureClaim
    payload_hash: str

    def __repr__(self) -> str:
        return f"SignedRequest({self.claim!r})"


def read_signature(request: HttpRequest, *, signs_token: bool = True) -> SignedRequest:
    """Return the request with the claims of its signature.

    Without ``signs_token`` a session token in the query is not signed. Clients of AWS IoT append it afterwards
    (developer guide, "IAM users, groups, and roles").

    Raises AuthenticationMissing if there is no signature, SignatureIncomplete if a part of it is missing or cannot be
    parsed, SignatureRefused if a header that must be signed is not, or if the body does not have the hash that was
    sent.
    """
    headers = header_values(request.headers)
    claim = read_claim(request.raw_query, headers, signs_token=signs_token)
    _require_signed_headers(headers, claim.signed_headers)
    payload_hash = body_hash(request.body)
    # Only S3 accepts UNSIGNED-PAYLOAD and STREAMING-…; here they would leave the body unprotected.
    if headers.get(_BODY_HASH, [payload_hash.encode()]) != [payload_hash.encode()]:
        raise SignatureRefused("The provided 'x-amz-content-sha256' header does not match what was computed.")
    return SignedRequest(request, headers, claim, payload_hash)


def require_current(signed: SignedRequest, now: datetime) -> None:
    """Raise SignatureRefused if the time differs by more than five minutes, or a presigned URL has expired."""
    claim = signed.claim
    allowed = MAX_SKEW if claim.valid_for is None else claim.valid_for
    if claim.signed_at < now - allowed:
        allowance = "5 min." if claim.valid_for is None else f"{int(allowed.total_seconds())} sec."
        raise SignatureRefused(
            f"Signature expired: {claim.timestamp} is now earlier than {_timestamp(now - allowed)} "
            f"({_timestamp(now)} - {allowance})"
        )
    if claim.signed_at > now + MAX_SKEW:
        raise SignatureRefused(
            f"Signature not yet current: {claim.timestamp} is still later than {_timestamp(now + MAX_SKEW)} "
            f"({_timestamp(now)} + 5 min.)"
        )


def require_scope(
    signed: SignedRequest, region: str, services: AbstractSet[str], *, absent: AbstractSet[str] = frozenset()
) -> None:
    """Raise SignatureRefused if the signature was made for another day, region, service or protocol.

    A signature for a service in ``absent`` passes here, so that the caller gets the error that the service does not
    exist.
    """
    scope, day = signed.claim.scope, signed.claim.timestamp[:8]
    if scope.date != day:
        raise SignatureRefused(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{scope.date}' != '{day}', from '{signed.claim.timestamp}'."
        )
    if scope.region != region:
        raise SignatureRefused(f"Credential should be scoped to a valid region, not '{scope.region}'.")
    if scope.service not in services and scope.service not in absent:
        expected = " or ".join(f"'{service}'" for service in sorted(services))
        raise SignatureRefused(f"Credential should be scoped to correct service: {expected}.")
    if scope.terminator != TERMINATOR:
        raise SignatureRefused(
            f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{scope.terminator}'."
        )


def require_signature(signed: SignedRequest, key: bytes) -> None:
    """Raise SignatureRefused unless the signature was made with this signing key over this request."""
    claim = signed.claim
    canonical = canonical_request(
        signed.request, claim.raw_query, claim.signed_headers, signed.headers, signed.payload_hash
    )
    expected = signature(key, claim.timestamp, claim.scope, canonical)
    if not hmac.compare_digest(expected, claim.signature):
        raise SignatureRefused(_MISMATCH)


def sign(
    request: HttpRequest, credentials: Credentials, region: str, now: datetime, *, service: str = "iot"
) -> list[tuple[bytes, bytes]]:
    """Return the headers to add to the request's own, which must include the host."""
    timestamp = _timestamp(now)
    payload_hash = body_hash(request.body)
    added = [(b"x-amz-date", timestamp.encode()), (_BODY_HASH, payload_hash.encode())]
    if credentials.session_token is not None:
        added.append((b"x-amz-security-token", credentials.session_token.encode()))
    values = header_values([*request.headers, *added])
    names = sorted(values.keys() - _NEVER_SIGNED)
    scope = CredentialScope(timestamp[:8], region, service)
    canonical = canonical_request(request, request.raw_query, names, values, payload_hash)
    made = signature(signing_key(credentials.secret, scope), timestamp, scope, canonical)
    authorization = (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{scope}, "
        f"SignedHeaders={b';'.join(names).decode()}, Signature={made}"
    )
    return [*added, (b"authorization", authorization.encode())]


def _require_signed_headers(headers: Headers, signed_headers: tuple[bytes, ...]) -> None:
    required = [name for name in headers if name.startswith(_AMAZON_PREFIXES) and name != _ADDED_BY_PROXIES]
    for name in (_HOST, *required):
        if name not in signed_headers:
            shown = name.decode("ascii", "backslashreplace")
            raise SignatureRefused(f"'{shown}' must be a 'SignedHeader' in the AWS Authorization.")
    for name in signed_headers:
        if name not in headers:
            raise SignatureRefused(f"The header '{name.decode()}' is signed and not in the request. {_MISMATCH}")


def _timestamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime(TIMESTAMP_FORMAT)
