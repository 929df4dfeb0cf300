"""Owns what the service knows of an issuer of device certificates besides its certificate: status, key, profile."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class IssuerStatus(StrEnum):
    """What an issuer may do. One issuer at most is ACTIVE."""

    PENDING = "PENDING"
    """Its key exists or is being made; its certificate is not here yet."""
    READY = "READY"
    """It is trusted, and has not issued yet."""
    ACTIVE = "ACTIVE"
    """It issues."""
    RETIRED = "RETIRED"
    """It is trusted for what it issued, and signs what is said about that."""


class KeyPlace(StrEnum):
    """Where the private key of an issuer is."""

    FILES = "FILES"
    """In the data directory of each node."""
    DATABASE = "DATABASE"
    """In the database, sealed by the key `keys/sealing.key` that all nodes have."""
    TOKEN = "TOKEN"  # noqa: S105  a kind of device, no secret
    """In a PKCS#11 token, which it never leaves."""
    DESTROYED = "DESTROYED"
    """Nowhere any more."""


@dataclass(frozen=True, slots=True)
class IssuerRecord:
    """An issuer as the database has it.

    ``reference`` names it from the first moment on. ``issuer_id`` is the SHA-256 of its certificate, None while it has
    none. ``chain_pem`` holds its certificate first, then those above it. ``public_key`` is a PEM text, None until the
    key was made. ``profile`` is a JSON object like the table [profile] of the settings, None for that table itself.
    """

    reference: str
    issuer_id: str | None
    status: IssuerStatus
    key_type: str
    key_place: KeyPlace
    sealed_key: bytes | None = field(repr=False)
    token_uri: str | None
    public_key: str | None
    chain_pem: str
    profile: str | None
    created_at: datetime
    activated_at: datetime | None = None
    retired_at: datetime | None = None

    @property
    def name(self) -> str:
        """What an operator calls it by: the issuer id, or the reference while there is none."""
        return self.issuer_id or self.reference
