"""Owns the fixtures of the stores under test: every test that asks for ``store`` runs on both engines."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.databases.postgresql import run_apart
from tests.support.databases.stores import Timings

from thingmint.registration.kernel.ports import Store
from thingmint.storage import SQLITE_FILE_NAME, open_store


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


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of SQLite with the tables of this version, which are empty. The migrations take most of an opening."""
    folder = tmp_path_factory.mktemp("migrated")
    run_apart(_open_and_close(folder))
    return folder / SQLITE_FILE_NAME


async def _open_and_close(folder: Path) -> None:
    await (await open_store(None, folder, observe=lambda _kind, _seconds: None)).close()


@pytest.fixture
async def store(
    request: pytest.FixtureRequest, database_url: str | None, tmp_path: Path, timings: Timings
) -> AsyncIterator[Store]:
    """A fresh store, closed after the test."""
    if database_url is None:
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path)
    opened = await open_store(database_url, tmp_path, observe=timings)
    yield opened
    await opened.close()
