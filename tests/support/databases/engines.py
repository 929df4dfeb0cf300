"""Owns the fixtures of the stores under test: every test that asks for ``store`` runs on both engines."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.databases.stores import Timings

from thingmint.registration.kernel.ports import Store
from thingmint.storage import open_store


@pytest.fixture
def timings() -> Timings:
    """What the store told its observer."""
    return Timings()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """Each engine in turn, with the tables of this version if it is PostgreSQL."""
    if request.param == "sqlite":
        return None
    url: str = request.getfixturevalue("migrated_postgresql_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest) -> str | None:
    """Each engine in turn, without tables."""
    if request.param == "sqlite":
        return None
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
async def store(database_url: str | None, tmp_path: Path, timings: Timings) -> AsyncIterator[Store]:
    """A fresh store, closed after the test."""
    opened = await open_store(database_url, tmp_path, observe=timings)
    yield opened
    await opened.close()
