"""Owns the table that proves that the database can be written to."""

from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps

# The value changes each time, so that the commit has something to make durable.
CHECK_WRITE = (
    "INSERT INTO write_check (id, checks) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET checks = write_check.checks + 1"
)


def check_write() -> Steps[None]:
    """Change one row, so that a commit proves that the database can be written to."""
    yield from rows_of(CHECK_WRITE)
