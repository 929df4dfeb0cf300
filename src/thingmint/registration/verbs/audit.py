"""Owns what a transaction does with the audit trail: append and read, never change; knows no SQL."""

from collections.abc import Sequence
from typing import Protocol

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.identifiers import Scope
from thingmint.records.paging import PageKey
from thingmint.records.steps import Steps


class AuditVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def append_audit(self, entry: AuditEntry) -> Steps[None]:
        """Append an entry to the audit trail."""
        ...

    def audit_entries(self, scope: Scope, after: PageKey | None, limit: int) -> Steps[Sequence[AuditEntry]]:
        """Return up to ``limit`` audit entries, newest first."""
        ...
