"""Gives tests of the log a store on each engine."""

from tests.support.engines import database_url, store, timings  # noqa: F401  fixtures are found by name
from tests.support.postgresql import (  # noqa: F401  fixtures are found by name
    postgresql_cluster,
    postgresql_server_url,
    postgresql_url,
)
