"""Owns what a transaction does to know certificates by what their issuers signed; knows no SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from thingmint.core.certificates.certificate import Certificate, CertificateMode
from thingmint.core.identifiers import CertificateId, Region, Scope, SerialNumber
from thingmint.records.steps import Steps


@dataclass(frozen=True, slots=True)
class RevokedCertificate:
    """A certificate that was revoked and then deleted; ``signed_digest`` is that of what its issuer signed.

    ``ca_key_digest`` is that of its CA's key, None if that is not known.
    """

    scope: Scope
    signed_digest: str
    ca_certificate_id: CertificateId | None
    ca_key_digest: str | None
    serial_number: SerialNumber
    mode: CertificateMode
    not_after: datetime


class SignedCertificateVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def certificates_signed_alike(self, region: Region, signed_digest: str) -> Steps[Sequence[Certificate]]:
        """Return every account's foreign certificates whose issuer signed this, whichever issuer, oldest first."""
        ...

    def issued_with_serial_number(self, region: Region, serial_number: SerialNumber) -> Steps[Sequence[Certificate]]:
        """Return every account's certificates with this number that the service itself issued, by any issuer."""
        ...

    def registered_with_serial_number(
        self, region: Region, ca_certificate_id: CertificateId, serial_number: SerialNumber
    ) -> Steps[Sequence[Certificate]]:
        """Return every account's certificates with this number that were registered with the CA certificate."""
        ...

    def insert_revoked_certificate(self, revoked: RevokedCertificate) -> Steps[None]:
        """Remember what was revoked and is deleted; do nothing if it is remembered already."""
        ...

    def revoked_certificates(
        self, region: Region, signed_digest: str, ca_certificate_id: CertificateId | None, serial_number: SerialNumber
    ) -> Steps[Sequence[RevokedCertificate]]:
        """Return what any account has revoked and deleted: with this digest, or with this CA and serial number."""
        ...

    def delete_revoked_certificate(self, scope: Scope, signed_digest: str) -> Steps[bool]:
        """Forget what the account has revoked and deleted; return whether it was remembered."""
        ...

    def delete_ended_revoked_certificates(self, at: datetime, limit: int) -> Steps[int]:
        """Forget up to ``limit`` certificates that ended before this time; return how many."""
        ...

    def other_encodings(self) -> Steps[Sequence[Certificate]]:
        """Return the certificates of all accounts that an earlier version registered a second time."""
        ...
