"""A registry is moved from SQLite to PostgreSQL, whole, also if the move is killed; SQLite stays as it was."""

import asyncio
import hashlib
import json
import shutil
import subprocess
import time
from pathlib import Path

import asyncpg
import pytest
from bench.filling import fill
from tests.support.clients.aws import Live
from tests.support.devices.live_devices import device, new_credentials
from tests.support.machine.soak import examples
from tests.support.services.forked import run_thingmint, start_thingmint
from tests.support.services.nodes import client_of
from tests.support.services.service import ended_start, running_service

from thingmint.storage import SQLITE_FILE_NAME

ROWS = examples(4_000, 1_000_000)


def run_move(data_dir: Path, url: str) -> "subprocess.CompletedProcess[str]":
    return run_thingmint("move", "--data-dir", str(data_dir), "--database-url", url)


async def killed_while_it_copies(data_dir: Path, url: str) -> None:
    """Begin a move, and kill it when it writes to PostgreSQL."""
    connection = await asyncpg.connect(url)
    words = ("move", "--data-dir", str(data_dir), "--database-url", url)
    process = start_thingmint(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    writes = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL"
    try:
        deadline = time.monotonic() + 60
        while not await connection.fetchval(writes):
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < deadline
            await asyncio.sleep(0.002)
    finally:
        process.kill()
        process.wait()
    while await connection.fetchval(writes):  # noqa: ASYNC110  a server ends what its client has left, and tells nobody
        await asyncio.sleep(0.01)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    await connection.close()


def digest_of_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.soak
async def test_registry_is_moved_whole_although_the_move_is_killed_and_the_source_is_not_used_again(
    tmp_path: Path,
    postgresql_url: str,
) -> None:
    data_dir = tmp_path / "node"
    # One certificate, which the filling copies, before there are others.
    with running_service(data_dir, "--mqtt", "127.0.0.1:0", key_reserve=1) as service:
        credentials = new_credentials(client_of(Live(service, None)))
        in_use = await asyncio.to_thread(run_move, data_dir, postgresql_url)
        assert (in_use.returncode, "is in use by thingmint serve" in in_use.stderr) == (1, True), in_use.stderr
    other_dir = tmp_path / "other"
    shutil.copytree(data_dir, other_dir)
    fill(data_dir, ROWS)
    before = digest_of_file(data_dir / SQLITE_FILE_NAME)
    await killed_while_it_copies(data_dir, postgresql_url)
    assert not (data_dir / "moved.json").exists()

    began = time.monotonic()
    moved = await asyncio.to_thread(run_move, data_dir, postgresql_url)
    assert moved.returncode == 0, moved.stderr
    print(f"{ROWS} certificates: {time.monotonic() - began:.1f} s")
    assert f"{ROWS:,} rows" in next(line for line in moved.stdout.splitlines() if line.startswith("certificate "))
    assert digest_of_file(data_dir / SQLITE_FILE_NAME) == before

    # As if it had been killed between the commit and the mark.
    (data_dir / "moved.json").unlink()
    (data_dir / "storage.json").write_text(json.dumps({"engine": "sqlite"}))
    again = await asyncio.to_thread(run_move, data_dir, postgresql_url)
    assert (again.returncode, again.stdout) == (0, moved.stdout), again.stderr
    assert "was moved to PostgreSQL at" in run_move(data_dir, postgresql_url).stderr
    refused = await asyncio.to_thread(run_move, other_dir, postgresql_url)
    assert (refused.returncode, "holds something else than this registry" in refused.stderr) == (1, True)
    assert not (other_dir / "moved.json").exists()
    assert "was moved to PostgreSQL at" in ended_start(data_dir)

    options = ("--database-url", postgresql_url, "--mqtt", "127.0.0.1:0")
    if ROWS < 10_000:  # at its end, `running_service` reads every row
        with running_service(data_dir, *options, key_reserve=1) as service:
            node = Live(service, postgresql_url)
            described = client_of(node).describe_certificate(certificateId=credentials.certificate_id)
            assert described["certificateDescription"]["certificatePem"] == credentials.certificate_pem
            with device(node, credentials, tmp_path, "lamp"):
                assert client_of(node).create_keys_and_certificate()["certificateId"]
