"""Owns how the database is asked what time it is and which engine it is; knows no table."""

from datetime import datetime

from thingmint.records.columns import time_of_column
from thingmint.records.statement import row_of
from thingmint.records.steps import Steps

# The time of the statement: now() is that of the transaction's beginning.
_POSTGRESQL_TIME = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"


def postgresql_time() -> Steps[datetime]:
    """Return the present, aware, UTC, to the microsecond, by the clock of a PostgreSQL server."""
    row = yield from row_of(_POSTGRESQL_TIME)
    assert row is not None
    return time_of_column(row[0])


def postgresql_engine() -> Steps[str]:
    """Return the name and version of the engine that speaks PostgreSQL's protocol, as it tells them (version())."""
    row = yield from row_of("SELECT version()")
    assert row is not None
    return str(row[0])
