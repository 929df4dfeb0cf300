"""Gives tests of the tables a store on each engine."""

from tests.support.engines import database_url, empty_database_url, store, timings  # noqa: F401  fixtures are found by name
