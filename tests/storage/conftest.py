"""Gives tests of the engines a store on each of them."""

from tests.support.databases.engines import database_url, store, timings  # noqa: F401  fixtures are found by name
