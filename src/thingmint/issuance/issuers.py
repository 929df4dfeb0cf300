"""Owns the set of the service's issuers: one that issues, and those that have issued and are still trusted."""

from collections.abc import Callable, Iterator, Sequence

from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.issuer import Issuer
from thingmint.issuance.issuing_ca import IssuerUnfit, IssuingCA
from thingmint.issuance.profile import CertificateProfile
from thingmint.issuance.public_addresses import PublicAddresses


class Issuers:
    """One active issuing CA, which issues, and any number of retired ones, which do not any more.

    The active CA issues with two profiles: that of devices, and that of claims.
    """

    __slots__ = ("_cas", "active", "active_for_claims")

    def __init__(
        self,
        active: IssuingCA,
        retired: Sequence[IssuingCA],
        profile: CertificateProfile,
        claim_profile: CertificateProfile,
        addresses: Callable[[IssuingCA, SerialNumber], PublicAddresses] | None = None,
    ) -> None:
        """Raise IssuerUnfit if the active CA cannot issue with both profiles, or a CA is in the set twice."""
        self.active = Issuer(active, profile, addresses)
        self.active_for_claims = Issuer(active, claim_profile, addresses)
        self._cas = {ca.issuer_id: ca for ca in (active, *retired)}
        if len(self._cas) <= len(retired):
            raise IssuerUnfit("an issuer is in the set twice")

    def __iter__(self) -> Iterator[IssuingCA]:
        """Yield each issuing CA, the active one first."""
        return iter(self._cas.values())
