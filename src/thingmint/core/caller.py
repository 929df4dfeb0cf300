"""Owns the caller of a request: account, region, principal, the principal's policies, and the source of the request."""

from dataclasses import dataclass
from datetime import datetime

from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.core.policies.language import Policy


@dataclass(frozen=True, slots=True)
class Principal:
    """A named identity and the policies that limit it. Error messages and the audit trail show its ``arn``.

    ``token_issued_at`` is set for temporary credentials only.
    """

    arn: str
    policies: tuple[Policy, ...]
    token_issued_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of one authenticated request."""

    account: AccountId
    region: Region
    principal: Principal
    request_id: str
    source_address: str

    @property
    def scope(self) -> Scope:
        """The account and region whose registry the caller works on."""
        return Scope(self.account, self.region)
