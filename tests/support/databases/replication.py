"""Owns a PostgreSQL primary and its standby for tests, and the failover from one to the other."""

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.support.databases.postgresql import PostgreSQLCluster, find_programs, run_apart
from tests.support.machine.quick_folder import quick_folder
from tests.support.machine.required import required_program

_PATIENCE = 60.0


class ReplicatedPair:
    """Two servers, of which one is the primary. Both are in the URLs of `url`, in an order that never changes."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._programs = programs
        self._folders = [folder / "a", folder / "b"]
        for each in self._folders:
            each.mkdir()
        folder.chmod(0o755)
        self.primary = PostgreSQLCluster(programs, self._folders[0])
        self.primary.start()
        self.standby: PostgreSQLCluster | None = None
        self._frozen: PostgreSQLCluster | None = None

    def url(self, database: str, options: str = "") -> str:
        """Return the URL of a database on whichever server is the primary."""
        return f"postgresql://postgres@/{database}?host={','.join(map(str, self._folders))}&port=5432{options}"

    def follow(self, *, is_synchronous: bool = True) -> None:
        """Start a standby of the primary. If it is synchronous, a commit is acknowledged when both servers have it."""
        if self._frozen is not None:
            self._frozen.kill()
            self._frozen = None
        self.standby = PostgreSQLCluster(self._programs, self._other_folder(), of=self.primary)
        self.standby.start()
        run_apart(_configured(self.primary, "synchronous_standby_names", "*" if is_synchronous else ""))
        run_apart(self._until_it_streams("sync" if is_synchronous else "async"))

    def fail_over(self, *, is_killed: bool = True) -> None:
        """kill -9 or SIGSTOP of the primary, and promotion of the standby. The former primary does not come back."""
        assert self.standby is not None
        if is_killed:
            self.primary.kill()
        else:
            self.primary.freeze()
            self._frozen = self.primary
        self.standby.promote()
        self.primary, self.standby = self.standby, None

    def cut_off_standby(self) -> None:
        """Let the standby receive nothing any more, and return when it does not."""
        assert self.standby is not None
        run_apart(_configured(self.standby, "primary_conninfo", ""))
        run_apart(self._until_it_streams(None))

    def stop(self) -> None:
        """End all."""
        for each in (self.standby, self.primary, self._frozen):
            if each is not None:
                each.kill()

    def _other_folder(self) -> Path:
        """Return the folder of the server that is not the primary, without the files of an earlier server."""
        (folder,) = [each for each in self._folders if each != self.primary.directory]
        with contextlib.suppress(FileNotFoundError):
            (folder / "cluster").rename(Path(tempfile.mkdtemp(dir=folder)) / "former")
        return folder

    async def _until_it_streams(self, state: str | None) -> None:
        connection = await asyncpg.connect(self.primary.url)
        async with asyncio.timeout(_PATIENCE):
            # PostgreSQL announces no such state: there is no event to wait for.
            while await connection.fetchval("SELECT sync_state FROM pg_stat_replication") != state:  # noqa: ASYNC110  as above
                await asyncio.sleep(0.05)
        await connection.close()


async def _configured(server: PostgreSQLCluster, name: str, value: str) -> None:
    connection = await asyncpg.connect(server.url)
    await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


@contextlib.contextmanager
def replicated_pair() -> Iterator[ReplicatedPair]:
    """Yield a primary without a standby; skip if PostgreSQL is not installed."""
    programs = find_programs()
    if programs is None:
        required_program("initdb")
        pytest.skip("no PostgreSQL")
    with tempfile.TemporaryDirectory(prefix="thingmint-pair-", dir=quick_folder()) as folder:
        pair = ReplicatedPair(Path(folder), programs)
        try:
            yield pair
        finally:
            pair.stop()
