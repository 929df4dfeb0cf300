"""Owns what a transaction does with users' own CA certificates and registration codes; knows no SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from thingmint.core.certificates.ca_certificate import CACertificate, CACertificateSummary
from thingmint.core.certificates.certificate import CertificateSummary
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope
from thingmint.records.paging import PageRequest
from thingmint.records.steps import Steps


class CACertificateVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def ca_certificate(self, scope: Scope, certificate_id: CertificateId) -> Steps[CACertificate | None]:
        """Return the CA certificate, or None."""
        ...

    def ca_certificate_for_update(self, scope: Scope, certificate_id: CertificateId) -> Steps[CACertificate | None]:
        """Return the CA certificate and keep others from changing it until this transaction ends."""
        ...

    def ca_certificates_of_subject(self, scope: Scope, subject_digest: str) -> Steps[Sequence[CACertificate]]:
        """Return the account's CA certificates with this subject, oldest first."""
        ...

    def ca_certificates_of_issuer(
        self, region: Region, subject_digest: str, account: AccountId | None
    ) -> Steps[Sequence[CACertificate]]:
        """Return what may have issued a certificate that a device presents, oldest first.

        These are the region's CA certificates with this subject, active and open to automatic registration, that are in
        DEFAULT mode or belong to the account that the device asked for.
        """
        ...

    def ca_certificates_of_any_account(
        self, region: Region, subject_digest: str, limit: int
    ) -> Steps[Sequence[CACertificate]]:
        """Return up to ``limit`` CA certificates of the region with this subject, oldest first, of any account.

        They are active and open to automatic registration.
        """
        ...

    def ca_certificate_summaries(
        self, scope: Scope, template_name: str | None, page: PageRequest
    ) -> Steps[Sequence[CACertificateSummary]]:
        """Return up to ``page.size`` CA certificates, of those with this template if one is given."""
        ...

    def summaries_by_ca(
        self, scope: Scope, ca_certificate_id: CertificateId, page: PageRequest
    ) -> Steps[Sequence[CertificateSummary]]:
        """Return up to ``page.size`` certificates that were registered with the CA certificate."""
        ...

    def insert_ca_certificate(self, ca_certificate: CACertificate, most_of_one_subject: int) -> Steps[None]:
        """Store a new CA certificate.

        Raises ResourceExists if the account has it, or any account in DEFAULT mode if this is in DEFAULT mode too;
        LimitExceeded if the account has so many of its subject already.
        """
        ...

    def update_ca_certificate(self, before: CACertificate, after: CACertificate) -> Steps[bool]:
        """Store status, registration, times and version if the stored version is that of ``before``; say if it was."""
        ...

    def delete_ca_certificate(self, ca_certificate: CACertificate) -> Steps[bool]:
        """Delete the CA certificate if its stored version is still this one; say whether it was."""
        ...

    def registration_code(self, scope: Scope) -> Steps[str | None]:
        """Return the account's registration code, or None."""
        ...

    def insert_registration_code(self, scope: Scope, code: str, at: datetime) -> Steps[bool]:
        """Store a registration code unless the account has one; say whether it was stored."""
        ...

    def delete_registration_code(self, scope: Scope) -> Steps[bool]:
        """Delete the account's registration code; say whether it had one."""
        ...
