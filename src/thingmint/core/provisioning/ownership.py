"""Owns the content of a certificate's ownership token and its lifetime. Does not seal tokens.

A device gets the token with its certificate, before the registry has a thing for it, and presents it to register.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import CertificateId, Scope

# AWS's developer guide, "Device provisioning MQTT API": an hour, after which an unused certificate is deleted.
TOKEN_VALID_FOR = timedelta(hours=1)

_ID_BYTES = hashlib.sha256().digest_size
_SECONDS_BYTES = 8


class OwnershipTokenInvalid(InvalidRequest):
    """The service did not issue the token to this account, or the token was changed or has expired."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """A certificate that a device got with a token, and when the token expires."""

    scope: Scope
    certificate_id: CertificateId
    expires_at: datetime

    def is_valid_at(self, at: datetime) -> bool:
        """Return whether the token has not expired."""
        return at < self.expires_at


@dataclass(frozen=True, slots=True)
class OwnershipUse:
    """The use of a token: the digest of the request (None if the token is unused) and the sealed answer."""

    request_digest: str | None
    sealed_answer: bytes | None = field(repr=False)


def request_digest(template_generation_id: str, parameters: Mapping[str, str]) -> str:
    """Return the digest of a RegisterThing request: equal for the same template with the same parameters."""
    text = json.dumps([template_generation_id, sorted(parameters.items())], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def new_ownership(scope: Scope, certificate_id: CertificateId, at: datetime) -> Ownership:
    """Return the ownership of a certificate issued now. Tokens have a resolution of one second."""
    return Ownership(scope, certificate_id, at.replace(microsecond=0) + TOKEN_VALID_FOR)


def token_content(ownership: Ownership) -> bytes:
    """Return the content of the token, for sealing: the 32 bytes of the certificate id, then the expiry."""
    seconds = int(ownership.expires_at.timestamp())
    return bytes.fromhex(ownership.certificate_id) + seconds.to_bytes(_SECONDS_BYTES, "big")


def ownership_of(scope: Scope, content: bytes) -> Ownership:
    """Return the ownership of a token's content. The content was sealed, so `token_content` wrote it."""
    certificate_id, seconds = content[:_ID_BYTES].hex(), int.from_bytes(content[_ID_BYTES:], "big")
    return Ownership(scope, CertificateId(certificate_id), datetime.fromtimestamp(seconds, UTC))


def answer_name(ownership: Ownership) -> str:
    """Return the context that the seal of an answer is bound to."""
    return f"answer to the owner of {ownership.certificate_id} in {ownership.scope.account}"


def token_name(scope: Scope) -> str:
    """Return the context that the seals of a scope's tokens are bound to, so that no other account's token is valid."""
    return f"certificate ownership token of {scope.account} in {scope.region}"
