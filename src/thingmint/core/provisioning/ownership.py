"""Owns what a certificate's ownership token says, and how long it is good; knows no way to seal it.

A device gets the token with its certificate, before anything in the registry belongs to it, and shows it to register.
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
    """The token was not given out by this service to this account, was changed, or has ended."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """A certificate that was given to a device with a token, and when the token ends."""

    scope: Scope
    certificate_id: CertificateId
    expires_at: datetime

    def is_valid_at(self, at: datetime) -> bool:
        """Return whether the token may still be used."""
        return at < self.expires_at


@dataclass(frozen=True, slots=True)
class OwnershipUse:
    """What a token was used for: the digest of the request, None if it was not, and the sealed answer to it."""

    request_digest: str | None
    sealed_answer: bytes | None = field(repr=False)


def request_digest(template_generation_id: str, parameters: Mapping[str, str]) -> str:
    """Return what two RegisterThing requests have in common if they are the same: this template, these parameters."""
    text = json.dumps([template_generation_id, sorted(parameters.items())], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def new_ownership(scope: Scope, certificate_id: CertificateId, at: datetime) -> Ownership:
    """Return the ownership of a certificate that is given out now; tokens count whole seconds."""
    return Ownership(scope, certificate_id, at.replace(microsecond=0) + TOKEN_VALID_FOR)


def token_content(ownership: Ownership) -> bytes:
    """Return what the token says, to be sealed."""
    seconds = int(ownership.expires_at.timestamp())
    return bytes.fromhex(ownership.certificate_id) + seconds.to_bytes(_SECONDS_BYTES, "big")


def ownership_of(scope: Scope, content: bytes) -> Ownership:
    """Return what the content of a token of this scope says; it was sealed, so it was written by `token_content`."""
    certificate_id, seconds = content[:_ID_BYTES].hex(), int.from_bytes(content[_ID_BYTES:], "big")
    return Ownership(scope, CertificateId(certificate_id), datetime.fromtimestamp(seconds, UTC))


def answer_name(ownership: Ownership) -> str:
    """Return what the answer to the token's request is bound to under its seal."""
    return f"answer to the owner of {ownership.certificate_id} in {ownership.scope.account}"


def token_name(scope: Scope) -> str:
    """Return what tokens of a scope are bound to, so that no other account's passes."""
    return f"certificate ownership token of {scope.account} in {scope.region}"
