"""Owns a throw-away PostgreSQL cluster for tests, and a fresh database for each test.

``THINGMINT_TEST_POSTGRESQL_URL`` names an existing server instead, whose role may create databases.
"""

import asyncio
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import asyncpg
import pytest
from tests.support.machine.quick_folder import quick_folder
from tests.support.services.processes import children_of

from thingmint.storage import open_store

T = TypeVar("T")

_START_SECONDS = 60
_APART_SECONDS = 120
_ROLE = "postgres"
_PORT = 5432


class PostgreSQLCluster:
    """A cluster of its own in a temporary directory, reached through a Unix socket only: no port is taken."""

    def __init__(
        self, programs: Path, directory: Path, *, durable: bool = False, of: "PostgreSQLCluster | None" = None
    ) -> None:
        """Make a new cluster, or a standby ``of`` another one that runs."""
        self._programs = programs
        self.directory = directory
        self._durable = durable
        self._server: subprocess.Popen[bytes] | None = None
        self._account = _unprivileged_account()
        if self._account is not None:
            os.chown(directory, self._account.pw_uid, self._account.pw_gid)
        place = ("-D", str(directory / "cluster"))
        if of is None:
            self._run("initdb", *place, "-U", _ROLE, "-A", "trust", "-E", "UTF8", "--no-sync")
        else:
            self._run("pg_basebackup", *place, "-d", of.url, "-R", "--checkpoint=fast", "--no-sync")

    @property
    def url(self) -> str:
        """The URL of the database that every cluster has."""
        return f"postgresql://{_ROLE}@/{_ROLE}?host={self.directory}&port={_PORT}"

    def start(self) -> None:
        """Start the server and return when it accepts connections."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.directory),
            "port": str(_PORT),
            "max_connections": "300",
        }
        if not self._durable:
            # What the server has acknowledged survives its own end, but not that of the machine.
            settings |= {"fsync": "off", "full_page_writes": "off", "max_wal_size": "128MB"}
        arguments = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            self._server = self._spawn("postgres", "-D", str(self.directory / "cluster"), *arguments, log=log.fileno())
        run_apart(self._answers())

    def stop(self) -> None:
        """End the server's connections and stop it."""
        if self._server is None:
            return
        # SIGINT is PostgreSQL's "fast shutdown": open transactions are rolled back.
        self._server.send_signal(2)
        try:
            self._server.wait(_START_SECONDS)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = None

    def crash(self) -> None:
        """End the server at once, as after a failure: what is not logged is lost, and the next start recovers."""
        assert self._server is not None
        # SIGQUIT is PostgreSQL's "immediate shutdown".
        self._server.send_signal(3)
        self._server.wait(_START_SECONDS)
        self._server = None

    def kill(self) -> None:
        """kill -9 of the server and all its processes."""
        if self._server is None:
            return
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._server.wait(_START_SECONDS)
        self._server = None

    def promote(self) -> None:
        """Make a standby the primary, and return when it accepts changes."""
        self._run("pg_ctl", "promote", "-w", "-D", str(self.directory / "cluster"))

    def freeze(self) -> None:
        """Let the server and all its processes stand still: connections stay open, and nothing answers."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        assert self._server is not None
        # The postmaster first: it starts no further process then.
        return [self._server.pid, *children_of(self._server.pid, "postgres")]

    async def _answers(self) -> None:
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while True:
            try:
                connection = await asyncpg.connect(self.url)
            except (OSError, asyncpg.PostgresError):
                assert self._server is not None
                log = (self.directory / "log").read_text(errors="replace")
                assert self._server.poll() is None, f"PostgreSQL ended at its start:\n{log}"
                assert asyncio.get_running_loop().time() < deadline, f"PostgreSQL does not answer:\n{log}"
                # There is no event to wait for: the server says in no machine-readable way that it is ready.
                await asyncio.sleep(0.02)
            else:
                await connection.close()
                return

    def _run(self, *command: str) -> None:
        finished = self._spawn(*command, log=subprocess.PIPE)
        output, _ = finished.communicate(timeout=_START_SECONDS)
        assert finished.returncode == 0, output.decode(errors="replace")

    def _spawn(self, program: str, *arguments: str, log: int) -> "subprocess.Popen[bytes]":
        account = self._account
        return subprocess.Popen(
            [str(self._programs / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.directory,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else [],
        )


def find_programs() -> Path | None:
    """Return the directory with the newest server's programs, or None."""
    on_path = shutil.which("initdb")
    # A link to one program may lie where the others are not.
    if on_path is not None and Path(on_path).resolve().with_name("postgres").exists():
        return Path(on_path).resolve().parent
    found = [initdb.parent for initdb in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda programs: _number(programs.parent.name), default=None)


def _number(version: str) -> float:
    try:
        return float(version)
    except ValueError:
        return 0.0


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Return the account to run as, since PostgreSQL refuses root; None if this process is not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.fail("PostgreSQL refuses to run as root, and there is no unprivileged account to run it")


def run_apart(coroutine: Coroutine[object, object, T], runner: asyncio.Runner | None = None) -> T:
    """Run the coroutine in another thread, whatever loop the test has; raise TimeoutError if it waits.

    A runner's loop runs meanwhile only, so that connections of an earlier coroutine can be used again.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    run_in = asyncio.run if runner is None else runner.run

    def run() -> None:
        try:
            results.append(run_in(asyncio.wait_for(coroutine, _APART_SECONDS)))
        except BaseException as error:  # noqa: BLE001  raised again by the thread that asked
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _missing() -> None:
    reason = "no PostgreSQL: neither initdb on PATH, nor /usr/lib/postgresql, nor THINGMINT_TEST_POSTGRESQL_URL"
    if os.environ.get("THINGMINT_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def new_cluster(*, durable: bool = False) -> Iterator[PostgreSQLCluster]:
    """Yield a running cluster and remove it afterwards; skip if PostgreSQL is not installed."""
    programs = find_programs()
    if programs is None:
        _missing()
        return
    # A short path: the name of a Unix socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(
        prefix="thingmint-postgresql-", dir=None if durable else quick_folder()
    ) as directory:
        cluster = PostgreSQLCluster(programs, Path(directory), durable=durable)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


class _Administration:
    """A connection that makes and drops databases. To open one for each statement takes a third of their time."""

    def __init__(self, server_url: str) -> None:
        self._runner = asyncio.Runner()
        self._connection: asyncpg.Connection = run_apart(asyncpg.connect(server_url), self._runner)

    def execute(self, statement: str) -> None:
        run_apart(self._connection.execute(statement), self._runner)

    def close(self) -> None:
        run_apart(self._connection.close(), self._runner)
        self._runner.close()


def new_database(
    server_url: str, template: str = "template1", administration: _Administration | None = None
) -> Iterator[str]:
    """Yield the URL of a fresh copy of the template on the server, and drop it afterwards."""
    name = f"thingmint_test_{secrets.token_hex(8)}"

    def execute(statement: str) -> None:
        if administration is None:
            run_apart(_execute(server_url, statement))
        else:
            administration.execute(statement)

    execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield _with_database(server_url, name)
    execute(f"DROP DATABASE {name} WITH (FORCE)")


def _with_database(url: str, name: str) -> str:
    parts = urlsplit(url)
    # Written by hand: urlunsplit drops an empty authority.
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}/{name}{query}"


@pytest.fixture(scope="module")
def postgresql_cluster() -> Iterator[PostgreSQLCluster]:
    """A cluster that the tests of a module may stop and start again."""
    yield from new_cluster()


@pytest.fixture
def stoppable_postgresql_url(postgresql_cluster: PostgreSQLCluster) -> Iterator[str]:
    """The URL of a fresh, empty database on the cluster that may be stopped; it must run when the test ends."""
    yield from new_database(postgresql_cluster.url)


@pytest.fixture(scope="session")
def _shared_cluster() -> Iterator[PostgreSQLCluster]:
    yield from new_cluster()


@pytest.fixture(scope="session")
def postgresql_server_url(request: pytest.FixtureRequest) -> str:
    """The URL of a server whose role may create databases: the session's, which all tests share."""
    url = os.environ.get("THINGMINT_TEST_POSTGRESQL_URL")
    if url:
        return url
    cluster: PostgreSQLCluster = request.getfixturevalue("_shared_cluster")
    return cluster.url


@pytest.fixture(scope="session")
def _administration(postgresql_server_url: str) -> Iterator[_Administration]:
    administration = _Administration(postgresql_server_url)
    yield administration
    administration.close()


@pytest.fixture
def postgresql_url(postgresql_server_url: str, _administration: _Administration) -> Iterator[str]:
    """The URL of a fresh, empty database."""
    yield from new_database(postgresql_server_url, administration=_administration)


@pytest.fixture(scope="session")
def _migrated_template(postgresql_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    for url in new_database(postgresql_server_url):
        run_apart(_open_and_close(url, tmp_path_factory.mktemp("template")))
        yield urlsplit(url).path.removeprefix("/")


async def _open_and_close(url: str, folder: Path) -> None:
    store = await open_store(url, folder, observe=lambda _kind, _seconds: None)
    await store.close()


@pytest.fixture
def migrated_postgresql_url(
    postgresql_server_url: str, _migrated_template: str, _administration: _Administration
) -> Iterator[str]:
    """The URL of a fresh database with Thingmint's tables, which are empty."""
    yield from new_database(postgresql_server_url, _migrated_template, _administration)
