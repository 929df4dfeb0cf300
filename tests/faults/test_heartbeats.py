"""A node that is alive is not declared lost because its requests, or its connections to PostgreSQL, get no answer."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import asyncpg
from botocore.exceptions import BotoCoreError, ClientError
from tests.faults.test_shared_database import copy_keys
from tests.support.clients.aws import Live
from tests.support.devices.live_devices import device, new_credentials, unique
from tests.support.services.nodes import client_of, nodes
from tests.support.services.service import running_service

from thingmint.service.nodes.membership import BEAT_SECONDS, LOST_AFTER_SECONDS

FAULT_SECONDS = LOST_AFTER_SECONDS + 3 * BEAT_SECONDS
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tried'"
HOLDS_ROWS = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = ANY($1) AND locktype = 'transactionid')"
LOST = "another node is lost"


@contextlib.asynccontextmanager
async def backends_standing_still(url: str) -> AsyncIterator[Sequence[int]]:
    """Let the server's processes for the tried node stand still; later connections of that node get new ones."""
    connection = await asyncpg.connect(url)
    try:
        while True:
            pids = [row["pid"] for row in await connection.fetch(BACKENDS)]
            send(pids, signal.SIGSTOP)
            # Rows that a process holds while it stands still would be a fault of its own.
            if pids and not await connection.fetchval(HOLDS_ROWS, pids):
                break
            send(pids, signal.SIGCONT)
        try:
            yield pids
        finally:
            send(pids, signal.SIGCONT)
    finally:
        await connection.close()


def send(pids: Sequence[int], number: int) -> None:
    """Send the signal to those that have not ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextlib.contextmanager
def callers(node: Live, count: int) -> Iterator[None]:
    """Call a node with so many clients, which take every answer."""
    ends = threading.Event()

    def call() -> None:
        iot = client_of(node)
        while not ends.is_set():
            with contextlib.suppress(ClientError, BotoCoreError):
                iot.create_thing(thingName=unique("thing"))

    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join()


async def test_a_node_whose_connections_to_the_database_stand_still_is_not_declared_lost(
    tmp_path: Path, postgresql_url: str
) -> None:
    with nodes(tmp_path, postgresql_url, 1) as (one,):
        copy_keys(tmp_path / "node-0", tmp_path / "tried")
        named = postgresql_url + ("&" if "?" in postgresql_url else "?") + "application_name=tried"
        with running_service(tmp_path / "tried", "--database-url", named, "--mqtt", "127.0.0.1:0") as service:
            tried = Live(service, postgresql_url)
            with device(tried, new_credentials(client_of(one)), tmp_path, "lamp") as lamp:
                async with backends_standing_still(postgresql_url) as pids:
                    assert pids
                    await asyncio.sleep(FAULT_SECONDS)
                assert lamp.publish("room", b"1") == "Success"
                assert lamp.disconnected.empty()
        assert LOST not in one.service.log


async def test_a_node_whose_requests_wait_for_a_lock_is_not_declared_lost(tmp_path: Path, postgresql_url: str) -> None:
    with nodes(tmp_path, postgresql_url, 2, "--database-pool", "2") as (one, tried):
        with device(tried, new_credentials(client_of(one)), tmp_path, "lamp") as lamp:
            connection = await asyncpg.connect(postgresql_url)
            with callers(tried, 12):
                async with connection.transaction():
                    await connection.execute("LOCK TABLE thing IN ACCESS EXCLUSIVE MODE")
                    await asyncio.sleep(FAULT_SECONDS)
            await connection.close()
            assert lamp.publish("room", b"1") == "Success"
            assert lamp.disconnected.empty()
        assert LOST not in one.service.log
