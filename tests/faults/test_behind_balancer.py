"""Three nodes behind HAProxy with callers and devices: one fault after the other, and what clients saw of each.

Nothing that was acknowledged is lost or undone, no read is wrong, and every fault heals without help. In CI each fault
comes once and is short; `make soak` repeats them for 20 minutes. With ``-s``, the table of the documents is printed.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from tests.faults.test_clock_jumps import TurnedService, turned_by
from tests.faults.test_shared_database import copy_keys
from tests.support.clients.aws import Live
from tests.support.databases.cutting_proxy import CuttingProxy, proxy_in
from tests.support.databases.postgresql import PostgreSQLCluster
from tests.support.machine.loop_thread import LoopThread, loop_thread
from tests.support.machine.soak import examples, soak_seconds
from tests.support.machine.wire import answers, exchange
from tests.support.services.haproxy import BALANCER, haproxy
from tests.support.services.mixed_load import assert_kept, mixed_load
from tests.support.services.nodes import client_of
from tests.support.services.service import Service, running_service, start_service
from tests.support.services.small_disk import fill, small_disk  # noqa: F401  the fixture is found by name

pytestmark = pytest.mark.long

LASTS = examples(1.0, 5.0)
CALLERS, DEVICES = examples((2, 2), (4, 8))


@dataclass(frozen=True)
class Network:
    """The network between one node and the database; what is sent while it is cut arrives when it is healed."""

    thread: LoopThread
    proxy: CuttingProxy

    def cut(self) -> None:
        """Let nothing pass in either direction."""
        self.thread.call(self.proxy.passes.clear)

    def heal(self) -> None:
        """Let everything pass, also what has waited."""
        self.thread.call(self.proxy.passes.set)


@contextlib.contextmanager
def network_to(url: str) -> Iterator[Network]:
    """Yield a network to this database, which works while this thread waits."""
    with loop_thread() as thread, proxy_in(thread, url) as proxy:
        yield Network(thread, proxy)


@dataclass
class Installation:
    """Three nodes, their database, and the balancer as callers and devices see it."""

    nodes: list[Live]
    restart: Callable[[int], Service]
    cluster: PostgreSQLCluster
    url: str
    turned: TurnedService
    disk: Path
    network: Network
    """Between the second node and the database."""


Fault = Callable[[Installation], AbstractAsyncContextManager[None]]


@contextlib.asynccontextmanager
async def node_killed(at: Installation) -> AsyncIterator[None]:
    """kill -9 of a node; it is started again at the end."""
    await asyncio.to_thread(at.nodes[1].service.kill)
    yield
    at.nodes[1] = Live(await asyncio.to_thread(at.restart, 1), at.url)


@contextlib.asynccontextmanager
async def node_frozen(at: Installation) -> AsyncIterator[None]:
    """SIGSTOP of a node."""
    at.nodes[1].service.process.send_signal(signal.SIGSTOP)
    yield
    at.nodes[1].service.process.send_signal(signal.SIGCONT)


@contextlib.asynccontextmanager
async def database_stopped(at: Installation) -> AsyncIterator[None]:
    """PostgreSQL stopped and started."""
    await asyncio.to_thread(at.cluster.stop)
    yield
    await asyncio.to_thread(at.cluster.start)


@contextlib.asynccontextmanager
async def database_frozen(at: Installation) -> AsyncIterator[None]:
    """SIGSTOP of PostgreSQL."""
    at.cluster.freeze()
    yield
    at.cluster.thaw()


@contextlib.asynccontextmanager
async def connections_cut(at: Installation) -> AsyncIterator[None]:
    """All connections of nodes to PostgreSQL cut, several times a second."""
    async with _cutting(at):
        yield


@contextlib.asynccontextmanager
async def network_cut(at: Installation) -> AsyncIterator[None]:
    """The network between a node and PostgreSQL cut, without a word to either, and healed."""
    await asyncio.to_thread(at.network.cut)
    yield
    while await asyncio.to_thread(_is_ready, at.nodes[1]):  # noqa: ASYNC110  the node sets no event of ours
        await asyncio.sleep(0.1)
    await asyncio.to_thread(at.network.heal)


def _is_ready(node: Live) -> bool:
    request = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    [answer] = answers(exchange(node.service.endpoints.api_port, request))
    return answer.status == 200


@contextlib.asynccontextmanager
async def connections_exhausted(at: Installation) -> AsyncIterator[None]:
    """max_connections used up by others, and those of nodes cut."""
    others: list[asyncpg.Connection] = []

    async def take_all() -> None:
        while True:
            try:
                others.append(await asyncpg.connect(at.url))
            except (asyncpg.PostgresError, OSError):
                await asyncio.sleep(0.01)

    taking = asyncio.create_task(take_all())
    try:
        await asyncio.sleep(0.5)
        async with _cutting(at, others):
            yield
    finally:
        taking.cancel()
        for connection in others:
            connection.terminate()


@contextlib.asynccontextmanager
async def _cutting(at: Installation, others: list[asyncpg.Connection] | None = None) -> AsyncIterator[None]:
    connection = others[0] if others else await asyncpg.connect(at.url)

    async def cut() -> None:
        while True:
            own = [each.get_server_pid() for each in others or [connection]]
            await connection.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND NOT pid = any($1::int[])",
                own,
            )
            await asyncio.sleep(0.2)

    cutting = asyncio.create_task(cut())
    try:
        yield
    finally:
        cutting.cancel()
        if not others:
            await connection.close()


@contextlib.asynccontextmanager
async def clock_wrong(at: Installation) -> AsyncIterator[None]:
    """The clock of a node ten minutes ahead."""
    at.turned.turn(timedelta(minutes=10))
    yield
    at.turned.turn(timedelta(0))


@contextlib.asynccontextmanager
async def disk_full(at: Installation) -> AsyncIterator[None]:
    """The disk of a node's data directory full."""
    ballast = at.disk / "ballast"
    await asyncio.to_thread(fill, ballast)
    yield
    ballast.unlink()


FAULTS: dict[str, Fault] = {
    "kill -9 of a node": node_killed,
    "SIGSTOP of a node": node_frozen,
    "PostgreSQL stopped": database_stopped,
    "SIGSTOP of PostgreSQL": database_frozen,
    "connections to PostgreSQL cut, five times a second": connections_cut,
    "the network between a node and PostgreSQL cut": network_cut,
    "max_connections used up by others": connections_exhausted,
    "the clock of a node ten minutes ahead": clock_wrong,
    "the disk of a node full": disk_full,
}


@contextlib.contextmanager
def three_nodes(tmp_path: Path, disk: Path, cluster: PostgreSQLCluster, url: str) -> Iterator[Installation]:
    """Yield nodes that listen on the same ports again when they are restarted; the first one is never touched."""
    clock_file = tmp_path / "clock"
    clock_file.write_text("+0")
    folders = [tmp_path / "node-0", disk / "node-1", tmp_path / "node-2"]
    environments: list[dict[str, str]] = [{}, {}, turned_by(clock_file)]
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(network_to(url))
        ways = [("--database-url", each, "--proxy-protocol", BALANCER) for each in (url, network.proxy.url, url)]
        first = stack.enter_context(running_service(folders[0], *ways[0], "--mqtt", "127.0.0.1:0", key_reserve=0))
        services = [first]

        def start(number: int, *addresses: str) -> Service:
            log_file = tmp_path / f"node-{number}.log"
            options = (*ways[number], *addresses)
            return start_service(
                folders[number], *options, environment=environments[number], log_file=log_file, key_reserve=0
            )

        def restart(number: int) -> Service:
            ports = services[number].endpoints
            services[number] = start(
                number, "--api", f"127.0.0.1:{ports.api_port}", "--mqtt", f"127.0.0.1:{ports.mqtt_port}"
            )
            return services[number]

        def end_others() -> None:
            for service in services[1:]:
                service.close_clients()
                service.terminate()

        stack.callback(end_others)
        for number in (1, 2):
            copy_keys(first.data_dir, folders[number])
            services.append(start(number, "--mqtt", "127.0.0.1:0"))
        lives = [Live(service, url) for service in services]
        turned = TurnedService(services[2], clock_file)
        yield Installation(lives, restart, cluster, url, turned, disk, network)


@pytest.mark.soak
@pytest.mark.skipif("THINGMINT_TEST_POSTGRESQL_URL" in os.environ, reason="the server is not the test's to stop")
async def test_no_fault_loses_what_was_acknowledged_and_each_one_heals(
    tmp_path: Path,
    small_disk: Path,  # noqa: F811  the fixture
    postgresql_cluster: PostgreSQLCluster,
    stoppable_postgresql_url: str,
) -> None:
    with (
        three_nodes(tmp_path, small_disk, postgresql_cluster, stoppable_postgresql_url) as at,
        haproxy(tmp_path, at.nodes) as balancer,
    ):
        one = at.nodes[0]
        async with mixed_load(one, balancer, tmp_path, CALLERS, DEVICES) as load:
            await load.healed()
            for name, fault in _in_turns():
                await load.under(name, fault(at), LASTS)
        print(f"\n{load.seen.table()}\n{len(load.seen.statuses)} certificates")
        await assert_kept(load.seen, client_of(one, attempts=10))


def _in_turns() -> Iterator[tuple[str, Fault]]:
    """Yield each fault once, and all of them again as long as there is time."""
    ends = time.monotonic() + soak_seconds()
    yield from FAULTS.items()
    for name, fault in itertools.cycle(FAULTS.items()):
        if time.monotonic() >= ends:
            return
        yield name, fault
