"""Gives tests of the tables a store on each engine."""

from tests.support.databases.engines import (  # noqa: F401  fixtures are found by name
    database_url,
    empty_database_url,
    migrated_file,
    store,
    timings,
)
