"""Gives tests of the engines a store on each of them."""

from tests.support.databases.engines import database_url, migrated_file, store, timings  # noqa: F401  fixtures are found by name
