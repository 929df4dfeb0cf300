"""Owns a pgbouncer that pools by transaction before a PostgreSQL server of the tests."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

_START_SECONDS = 30.0


def find_pgbouncer() -> str:
    """Return the program; skip the test if it is not installed."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        if os.environ.get("THINGMINT_REQUIRE_ALL") == "1":
            pytest.fail("no pgbouncer")
        pytest.skip("no pgbouncer")
    return found


@contextlib.contextmanager
def pgbouncer(url: str) -> Iterator[str]:
    """Yield the URL of the database through a pgbouncer with ten connections to the server."""
    program, parts = find_pgbouncer(), urlsplit(url)
    given = parse_qs(parts.query)
    host = parts.hostname or given["host"][0]
    port = parts.port or int(given.get("port", ["5432"])[0])
    user, database = parts.username or "postgres", parts.path.lstrip("/")
    with tempfile.TemporaryDirectory(prefix="thingmint-pgbouncer-", dir="/tmp") as name:
        folder = Path(name)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            listening = free.getsockname()[1]
        (folder / "users").write_text(f'"{user}" ""\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n{database} = host={host} port={port} dbname={database} user={user}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {listening}\nunix_socket_dir =\n"
            f"auth_type = any\nauth_file = {folder / 'users'}\n"
            "pool_mode = transaction\ndefault_pool_size = 10\nmax_client_conn = 200\n"
            "ignore_startup_parameters = extra_float_digits\n"
            f"logfile = {folder / 'log'}\npidfile = {folder / 'pid'}\n"
        )
        # pgbouncer refuses to run as root, as the server does, into whose directory it must be able to look.
        account = None
        if os.geteuid() == 0:
            owner = Path(host).stat().st_uid if host.startswith("/") else 0
            account = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
            for path in (folder, *folder.iterdir()):
                os.chown(path, account.pw_uid, account.pw_gid)
        process = subprocess.Popen(
            [program, str(folder / "pgbouncer.ini")],
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else [],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(process, listening, folder / "log")
            yield f"postgresql://{user}@127.0.0.1:{listening}/{database}?sslmode=disable"
        finally:
            process.terminate()
            process.wait(_START_SECONDS)


def _wait_for(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        assert process.poll() is None, log.read_text() if log.exists() else "pgbouncer ended at its start"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)
