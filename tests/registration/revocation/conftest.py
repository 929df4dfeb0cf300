"""Gives tests of several nodes a store on each engine."""

from tests.support.databases.engines import database_url, migrated_file, store, timings  # noqa: F401  fixtures are found by name
