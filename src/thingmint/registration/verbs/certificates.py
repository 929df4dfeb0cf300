"""Owns what a transaction does with device certificates; knows no SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from thingmint.core.certificates.certificate import Certificate, CertificateSummary
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope
from thingmint.records.paging import PageRequest
from thingmint.records.steps import Steps


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate of the service's own, and the SHA-256 of its issuer's DER in hex."""

    certificate_id: CertificateId
    issuer_id: str


class CertificateVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def certificate(self, scope: Scope, certificate_id: CertificateId) -> Steps[Certificate | None]:
        """Return the certificate, or None."""
        ...

    def presented_certificate(
        self, region: Region, certificate_id: CertificateId, account: AccountId | None
    ) -> Steps[Certificate | None]:
        """Return the certificate that a device means which asks for the account, or for none.

        That is the account's own, or else the one in DEFAULT mode; those in SNI_ONLY mode of other accounts are not.
        """
        ...

    def accounts_of_certificate(self, region: Region, certificate_id: CertificateId) -> Steps[Sequence[AccountId]]:
        """Return accounts of the region that have the certificate, in any mode and status; two if there are several."""
        ...

    def certificate_for_update(self, scope: Scope, certificate_id: CertificateId) -> Steps[Certificate | None]:
        """Return the certificate and keep others from changing it until this transaction ends."""
        ...

    def certificate_summaries(self, scope: Scope, page: PageRequest) -> Steps[Sequence[CertificateSummary]]:
        """Return up to ``page.size`` certificates in the order of their creation, newest first unless ascending.

        Those of other accounts that wait for this one to accept them are among them.
        """
        ...

    def newest_issued(self) -> Steps[Issued | None]:
        """Return which certificate was issued last, of those that the service itself issued to any account."""
        ...

    def insert_certificate(self, certificate: Certificate) -> Steps[None]:
        """Store a new certificate.

        Raises DuplicateCertificate if the account has it already in any encoding, or if any account has it in DEFAULT
        mode and this is to be in DEFAULT mode too.
        """
        ...

    def update_certificate(self, before: Certificate, after: Certificate) -> Steps[bool]:
        """Store status, transfer, times and version if the stored version is that of ``before``; say if it was."""
        ...

    def delete_certificate(self, certificate: Certificate) -> Steps[bool]:
        """Delete the certificate if its stored version is still this one; say whether it was."""
        ...
