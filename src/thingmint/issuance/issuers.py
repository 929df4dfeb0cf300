"""Owns the set of the service's issuers: the one that issues, and earlier ones that are still trusted."""

from collections.abc import Iterator, Sequence

from thingmint.issuance.authorities.issuing_ca import IssuerUnfit, IssuingCA
from thingmint.issuance.issuer import Addresses, Issuer
from thingmint.issuance.profiles.profile import CertificateProfile


class Issuers:
    """One active issuing CA, and any number of retired ones, which no longer issue.

    The active CA issues with two profiles, one for devices and one for claims. `use` can replace the set while requests
    are running. A request that has its issuer already finishes with it.
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

        ``addresses`` and ``shortens`` are those of `Issuer`.
        """
        self._claim_profile, self._addresses = claim_profile, addresses
        self.use(active, retired, profile, shortens=shortens)

    def use(
        self, active: IssuingCA, retired: Sequence[IssuingCA], profile: CertificateProfile, *, shortens: bool = False
    ) -> None:
        """Replace the set of issuers; raise IssuerUnfit and change nothing if they cannot be used."""
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
