"""A node that is alive is not declared lost because its requests, or its connections to PostgreSQL, get no answer."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
from botocore.exceptions import BotoCoreError, ClientError
from tests.faults.test_shared_database import copy_keys
from tests.support.clients.aws import Live
from tests.support.databases.cutting_proxy import CuttingProxy, proxy_in
from tests.support.databases.postgresql import run_apart
from tests.support.devices.live_devices import device, new_credentials, unique
from tests.support.machine.loop_thread import LoopThread, loop_thread
from tests.support.services.nodes import client_of, nodes
from tests.support.services.service import running_service

from thingmint.service.nodes.membership import BEAT_SECONDS, LOST_AFTER_SECONDS

FAULT_SECONDS = LOST_AFTER_SECONDS + 3 * BEAT_SECONDS
NOT_IDLE = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tried' AND state <> 'idle'"
LOST = "another node is lost"


@contextlib.contextmanager
def connections_standing_still(thread: LoopThread, proxy: CuttingProxy, url: str) -> Iterator[None]:
    """Let the tried node's connections to the database stand still; later ones work."""
    while True:
        thread.call(proxy.stop_open_connections)
        # What is under way ends in a moment. A transaction that held rows meanwhile would be a fault of its own.
        time.sleep(0.2)
        if run_apart(_value(url, NOT_IDLE)) == 0:
            break
        thread.call(proxy.resume_open_connections)
    try:
        yield
    finally:
        thread.call(proxy.resume_open_connections)


async def _value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


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


def test_a_node_whose_connections_to_the_database_stand_still_is_not_declared_lost(
    tmp_path: Path, migrated_postgresql_url: str
) -> None:
    with (
        nodes(tmp_path, migrated_postgresql_url, 1) as (one,),
        loop_thread("asyncio") as thread,
        proxy_in(thread, migrated_postgresql_url) as proxy,
    ):
        copy_keys(tmp_path / "node-0", tmp_path / "tried")
        named = f"{proxy.url}&application_name=tried"
        with running_service(tmp_path / "tried", "--database-url", named, "--mqtt", "127.0.0.1:0") as service:
            tried = Live(service, migrated_postgresql_url)
            with device(tried, new_credentials(client_of(one)), tmp_path, "lamp") as lamp:
                opened = proxy.connections
                with connections_standing_still(thread, proxy, migrated_postgresql_url):
                    time.sleep(FAULT_SECONDS)
                # It has noticed, and told the others by another connection that it is alive.
                assert proxy.connections > opened
                assert lamp.publish("room", b"1") == "Success"
                assert lamp.disconnected.empty()
        assert LOST not in one.service.log


async def test_a_node_whose_requests_wait_for_a_lock_is_not_declared_lost(
    tmp_path: Path, migrated_postgresql_url: str
) -> None:
    with nodes(tmp_path, migrated_postgresql_url, 2, "--database-pool", "2") as (one, tried):
        with device(tried, new_credentials(client_of(one)), tmp_path, "lamp") as lamp:
            connection = await asyncpg.connect(migrated_postgresql_url)
            with callers(tried, 12):
                async with connection.transaction():
                    await connection.execute("LOCK TABLE thing IN ACCESS EXCLUSIVE MODE")
                    await asyncio.sleep(FAULT_SECONDS)
            await connection.close()
            assert lamp.publish("room", b"1") == "Success"
            assert lamp.disconnected.empty()
        assert LOST not in one.service.log
