"""Owns the table for the check that the database is writable."""

from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps

# The value changes each time, so that the commit must make a change durable.
CHECK_WRITE = (
    "INSERT INTO write_check (id, checks) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET checks = write_check.checks + 1"
)


def check_write() -> Steps[None]:
    """Change one row, so that a commit proves that the database is writable."""
    yield from rows_of(CHECK_WRITE)
