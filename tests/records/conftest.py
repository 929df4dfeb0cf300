"""Gives tests of the tables a store on each engine."""

from tests.support.databases.engines import database_url, empty_database_url, store, timings  # noqa: F401  fixtures are found by name
