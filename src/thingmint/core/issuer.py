"""Owns the record of an issuer of device certificates: its status, key and profile."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class IssuerStatus(StrEnum):
    """The status of an issuer. At most one issuer is ACTIVE."""

    PENDING = "PENDING"
    """Its key exists or is being generated. It has no certificate yet."""
    READY = "READY"
    """Its certificates are trusted. It has not issued any yet."""
    ACTIVE = "ACTIVE"
    """It issues the certificates of new requests."""
    RETIRED = "RETIRED"
    """It issues no more. Its certificates stay trusted, and it signs their CRLs and OCSP answers."""


class KeyPlace(StrEnum):
    """Where the private key of an issuer is."""

    FILES = "FILES"
    """In the data directory of each node."""
    DATABASE = "DATABASE"
    """In the database, sealed with the key `keys/sealing.key`, which all nodes have."""
    TOKEN = "TOKEN"  # noqa: S105  a kind of device, no secret
    """In a PKCS#11 token. The key never leaves it."""
    DESTROYED = "DESTROYED"
    """The key was destroyed."""


@dataclass(frozen=True, slots=True)
class IssuerRecord:
    """An issuer in the database.

    - ``reference``: names it from its creation on.
    - ``issuer_id``: the SHA-256 of its certificate, None until it has one.
    - ``chain_pem``: its certificate, then the certificates above it.
    - ``public_key``: a PEM text, None until the key was generated.
    - ``profile``: a JSON object like the table [profile] of the settings, None to use that table.
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
        """The name that operators use: the issuer id, or the reference until there is an issuer id."""
        return self.issuer_id or self.reference
