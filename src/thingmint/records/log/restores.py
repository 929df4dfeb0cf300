"""Owns the query of the audit trail whether a restore has ended."""

from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps

NEWEST_DETAILS = "SELECT action, detail FROM audit ORDER BY position DESC LIMIT $1"

# A restore writes its audit entry last. A service may have started since.
_LOOKED_AT = 10_000


def is_restored(restore_id: str) -> Steps[bool]:
    """Return whether the audit trail records the restore with this id."""
    rows = yield from rows_of(NEWEST_DETAILS, _LOOKED_AT)
    return any(action == "RestoreBackup" and f'"{restore_id}"' in detail for action, detail in rows)
