"""Owns the set of the service's issuers: one that issues, and those that have issued and are still trusted."""

from collections.abc import Iterator, Sequence

from thingmint.issuance.authorities.issuing_ca import IssuerUnfit, IssuingCA
from thingmint.issuance.issuer import Addresses, Issuer
from thingmint.issuance.profiles.profile import CertificateProfile


class Issuers:
    """One active issuing CA, which issues, and any number of retired ones, which do not any more.

    The active CA issues with two profiles: that of devices, and that of claims. `use` replaces the set while requests
    are served: one that has taken its issuer already finishes with it.
    """

    __slots__ = ("_addresses", "_cas", "_claim_profile", "active", "active_for_claims")

    def __init__(
        self,
        active: IssuingCA,
        retired: Sequence[IssuingCA],
        profile: CertificateProfile,
        claim_profile: CertificateProfile,
        addresses: Addresses | None = None,
        *,
        shortens: bool = False,
    ) -> None:
        """Raise IssuerUnfit if the active CA cannot issue, or a CA is in the set twice.

        ``addresses``: what certificates say of where others find out about them, as an `Issuer` takes it.
        ``shortens``: whether a certificate that would outlive its issuer ends with it; it is not issued otherwise.
        """
        self._claim_profile, self._addresses = claim_profile, addresses
        self.use(active, retired, profile, shortens=shortens)

    def use(
        self, active: IssuingCA, retired: Sequence[IssuingCA], profile: CertificateProfile, *, shortens: bool = False
    ) -> None:
        """Let these be the issuers from now on; raise IssuerUnfit, and change nothing, if they cannot be."""
        cas = {ca.issuer_id: ca for ca in (active, *retired)}
        if len(cas) <= len(retired):
            raise IssuerUnfit("an issuer is in the set twice")
        issuer, issuer_of_claims = (
            Issuer(active, each, self._addresses, shortens=shortens) for each in (profile, self._claim_profile)
        )
        self.active, self.active_for_claims, self._cas = issuer, issuer_of_claims, cas

    def __iter__(self) -> Iterator[IssuingCA]:
        """Yield each issuing CA, the active one first."""
        return iter(self._cas.values())
