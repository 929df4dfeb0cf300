"""Owns what a transaction does with all that is attached to one principal, whatever it is; knows no SQL."""

from dataclasses import dataclass
from typing import Protocol

from thingmint.core.identifiers import Scope
from thingmint.records.steps import Steps


@dataclass(frozen=True, slots=True)
class Attachments:
    """Whether any thing and any policy is attached to a principal."""

    things: bool
    policies: bool


class AttachmentVerbs(Protocol):
    """Reads see the transaction's own writes. Principals are named by their ARNs."""

    def principal_attachments(self, scope: Scope, principal: str) -> Steps[Attachments]:
        """Return what is attached to the principal. Whoever attaches anything locks the principal first."""
        ...

    def detach_policies(self, scope: Scope, principal: str) -> Steps[tuple[str, ...]]:
        """Detach every policy from the principal and return their names."""
        ...
