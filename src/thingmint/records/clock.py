"""Owns the queries for the database's time and engine version."""

from datetime import datetime

from thingmint.records.columns import time_of_column
from thingmint.records.statement import row_of
from thingmint.records.steps import Steps

# The time of the statement. now() would be the start of the transaction.
_POSTGRESQL_TIME = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"


def postgresql_time() -> Steps[datetime]:
    """Return the time of a PostgreSQL server's clock: aware, UTC, in microseconds."""
    row = yield from row_of(_POSTGRESQL_TIME)
    assert row is not None
    return time_of_column(row[0])


def postgresql_engine() -> Steps[str]:
    """Return the name and version of the engine behind PostgreSQL's protocol, as its version() gives them."""
    row = yield from row_of("SELECT version()")
    assert row is not None
    return str(row[0])
