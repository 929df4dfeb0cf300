"""Owns what a transaction does with certificate providers; knows no SQL."""

from collections.abc import Sequence
from typing import Protocol

from thingmint.core.certificates.certificate_provider import (
    CertificateProvider,
    CertificateProviderEntry,
    ProvidedOperation,
)
from thingmint.core.identifiers import CertificateProviderName, Scope
from thingmint.records.paging import PageRequest
from thingmint.records.steps import Steps


class CertificateProviderVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def certificate_provider(self, scope: Scope, name: CertificateProviderName) -> Steps[CertificateProvider | None]:
        """Return the provider, or None."""
        ...

    def certificate_provider_for_update(
        self, scope: Scope, name: CertificateProviderName
    ) -> Steps[CertificateProvider | None]:
        """Return the provider and keep others from changing it until this transaction ends."""
        ...

    def certificate_provider_of(self, scope: Scope, operation: ProvidedOperation) -> Steps[CertificateProvider | None]:
        """Return the provider of the operation, or None."""
        ...

    def certificate_providers(self, scope: Scope, page: PageRequest) -> Steps[Sequence[CertificateProviderEntry]]:
        """Return up to ``page.size`` providers in the order of their creation."""
        ...

    def insert_certificate_provider(self, provider: CertificateProvider) -> Steps[bool]:
        """Store a new provider unless its name or its operation has one; say whether it was stored."""
        ...

    def update_certificate_provider(self, provider: CertificateProvider) -> Steps[None]:
        """Store function, operation and time of one that this transaction holds for update."""
        ...

    def delete_certificate_provider(self, provider: CertificateProvider) -> Steps[None]:
        """Delete one that this transaction holds for update."""
        ...
