"""Owns who is calling: an account, a region, a principal, what its policies say, and where the request came from."""

from dataclasses import dataclass
from datetime import datetime

from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.core.policies.language import Policy


@dataclass(frozen=True, slots=True)
class Principal:
    """A named identity and the policies that bind it; ``arn`` is what error messages and the audit trail show.

    ``token_issued_at`` is set for temporary credentials only.
    """

    arn: str
    policies: tuple[Policy, ...]
    token_issued_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """One authenticated request's author."""

    account: AccountId
    region: Region
    principal: Principal
    request_id: str
    source_address: str

    @property
    def scope(self) -> Scope:
        """The account and region whose registry the caller works on."""
        return Scope(self.account, self.region)
