"""Owns what a transaction does with the attachments of principals to things; knows no SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from thingmint.core.identifiers import Scope, ThingName
from thingmint.core.registry.thing import ThingPrincipalType
from thingmint.records.paging import Listed, PageRequest
from thingmint.records.steps import Steps


@dataclass(frozen=True, slots=True)
class Attachment:
    """A principal, by its ARN, on a thing."""

    thing_name: ThingName
    principal: str
    type: ThingPrincipalType


class ThingPrincipalVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def attachment(self, scope: Scope, name: ThingName, principal: str) -> Steps[Attachment | None]:
        """Return the principal's attachment to the thing, or None."""
        ...

    def attach_principal(self, scope: Scope, attachment: Attachment) -> Steps[bool]:
        """Attach a principal to a thing, both held by this transaction; say whether it was not attached before."""
        ...

    def detach_principal(self, scope: Scope, name: ThingName, principal: str) -> Steps[bool]:
        """Detach the principal from the thing; say whether it was attached."""
        ...

    def principals_of_thing(
        self, scope: Scope, name: ThingName, page: PageRequest, type_: ThingPrincipalType | None = None
    ) -> Steps[Sequence[Listed[Attachment]]]:
        """Return up to ``page.size`` attachments of the thing, of one type or of both, oldest first."""
        ...

    def things_of_principal(
        self, scope: Scope, principal: str, page: PageRequest
    ) -> Steps[Sequence[Listed[Attachment]]]:
        """Return up to ``page.size`` attachments of the principal, oldest first."""
        ...
