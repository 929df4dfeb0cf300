"""Owns what a transaction does with certificates on their way to another account; knows no SQL."""

from collections.abc import Sequence
from typing import Protocol

from thingmint.core.certificates.certificate import Certificate
from thingmint.core.certificates.transfer import OutgoingCertificate
from thingmint.core.identifiers import CertificateId, Region, Scope
from thingmint.records.paging import PageRequest
from thingmint.records.steps import Steps


class TransferVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def incoming_certificate(self, scope: Scope, certificate_id: CertificateId) -> Steps[Certificate | None]:
        """Return another account's certificate that waits for this one to accept it, or None."""
        ...

    def certificates_of_region_for_update(
        self, region: Region, certificate_id: CertificateId
    ) -> Steps[Sequence[Certificate]]:
        """Return every account's certificate with this id, and keep others from changing them until this ends."""
        ...

    def outgoing_certificates(self, scope: Scope, page: PageRequest) -> Steps[Sequence[OutgoingCertificate]]:
        """Return up to ``page.size`` of the account's certificates that wait for another one to accept them."""
        ...
