"""Three nodes behind HAProxy with callers and devices: one fault after the other, and what clients saw of each.

Nothing that was acknowledged is lost or undone, no read is wrong, and every fault heals without help. In CI each fault
comes once and is short; `make soak` repeats them for 20 minutes. With ``-s``, the table of the documents is printed.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import os
import random
import signal
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from tests.faults.test_clock_jumps import TurnedService, turned_by
from tests.faults.test_shared_database import copy_keys
from tests.support.aws import IoT, Live
from tests.support.haproxy import BALANCER, haproxy
from tests.support.live_devices import Credentials, new_credentials
from tests.support.nodes import Wire, client_of, connected_wire, context_of
from tests.support.postgresql import PostgreSQLCluster
from tests.support.service import Service, running_service, start_service
from tests.support.signing_requests import csr_pem
from tests.support.small_disk import fill, small_disk  # noqa: F401  the fixture is found by name
from tests.support.soak import examples

from thingmint.mqtt.codec.packets import Puback, Publish, QoS

SECONDS, LASTS = examples((0.0, 1.0), (1200.0, 5.0))
CALLERS, DEVICES = examples((2, 2), (4, 8))
PATIENCE = 180.0
ANY = frozenset({"ACTIVE", "INACTIVE"})


@dataclass
class Seen:
    """What clients saw, by the fault that was there; what was acknowledged, and what contradicts it."""

    fault: str = "none"
    calls: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    devices: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    healed: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: dict[str, frozenset[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    successes: Counter[str] = field(default_factory=Counter)

    def table(self) -> str:
        """Return the table of the documents."""
        rows: list[str] = [
            "| fault | calls: answered, failed | devices: messages acknowledged, failed | healed after |",
            "|---|---|---|---|",
        ]
        for fault, calls in self.calls.items():
            cells = [_told(calls), _told(self.devices[fault]), f"{max(self.healed[fault], default=0):.1f} s"]
            rows.append(f"| {fault} | {' | '.join(cells)} |")
        return "\n".join(rows)


def _told(outcomes: Counter[str]) -> str:
    others = sorted(name for name in outcomes if name != "ok")
    return ", ".join([str(outcomes["ok"]), *(f"{outcomes[name]} {name}" for name in others)])


class Operator(threading.Thread):
    """Issues, deactivates and reads certificates through the balancer, and repeats nothing."""

    def __init__(self, name: str, iot: IoT, seen: Seen, ends: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._iot, self._seen, self._ends = iot, seen, ends
        self._own: list[str] = []

    def run(self) -> None:
        """Go on until the end."""
        request = csr_pem("p-256")
        while not self._ends.is_set():
            created = self._call("create_certificate_from_csr", certificateSigningRequest=request, setAsActive=True)
            if created is not None:
                self._own.append(created["certificateId"])
                self._seen.statuses[self._own[-1]] = frozenset({"ACTIVE"})
            if not self._own:
                continue
            chosen = random.choice(self._own)
            if self._seen.statuses[chosen] == {"ACTIVE"}:
                self._seen.statuses[chosen] = ANY
                if self._call("update_certificate", certificateId=chosen, newStatus="INACTIVE") is not None:
                    self._seen.statuses[chosen] = frozenset({"INACTIVE"})
            read = random.choice(self._own)
            described = self._call("describe_certificate", certificateId=read)
            if described is not None and described["certificateDescription"]["status"] not in self._seen.statuses[read]:
                self._seen.wrong.append(f"{read}: {described['certificateDescription']['status']}")

    def _call(self, operation: str, **parameters: object) -> Any:  # an answer in AWS's form, or None
        calls = self._seen.calls[self._seen.fault]
        try:
            answer = getattr(self._iot, operation)(**parameters)
        except ClientError as error:
            calls[error.response["Error"]["Code"]] += 1
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                self._seen.wrong.append(f"{operation} {parameters}: not found")
            return None
        except BotoCoreError as error:
            calls[type(error).__name__] += 1
            return None
        calls["ok"] += 1
        self._seen.successes[self.name] += 1
        return answer


async def publish_for_ever(through: Live, context: ssl.SSLContext, client_id: str, seen: Seen) -> None:
    """Publish messages of QoS 1 through the balancer, and connect again whenever the connection ends."""
    while True:
        wire: Wire | None = None
        try:
            async with asyncio.timeout(20):
                wire = await connected_wire(through, context, client_id)
            for number in itertools.count(1):
                async with asyncio.timeout(20):
                    wire.send(Publish(f"from/{client_id}", b"1", QoS.AT_LEAST_ONCE, packet_id=number % 65_535 + 1))
                    answer = await wire.next_packet()
                if not isinstance(answer, Puback):
                    raise ConnectionError("the connection has ended")
                seen.devices[seen.fault]["ok"] += 1
                seen.successes[client_id] += 1
                await asyncio.sleep(0.05)
        except (OSError, ssl.SSLError, TimeoutError, AssertionError):
            seen.devices[seen.fault]["connections lost" if wire is not None else "connections refused"] += 1
            await asyncio.sleep(0.2)
        finally:
            if wire is not None:
                wire.close()


@dataclass
class Installation:
    """Three nodes, their database, and the balancer as callers and devices see it."""

    nodes: list[Live]
    restart: Callable[[int], Service]
    cluster: PostgreSQLCluster
    url: str
    turned: TurnedService
    disk: Path


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
    flags = ("--database-url", url, "--proxy-protocol", BALANCER)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(running_service(folders[0], *flags, "--mqtt", "127.0.0.1:0", key_reserve=0))
        services = [first]

        def start(number: int, *addresses: str) -> Service:
            log_file = tmp_path / f"node-{number}.log"
            return start_service(
                folders[number], *flags, *addresses, environment=environments[number], log_file=log_file, key_reserve=0
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
        yield Installation(lives, restart, cluster, url, turned, disk)


async def healed(seen: Seen, names: list[str]) -> float:
    """Return how long it takes until every client has been served twice."""
    began, before = time.monotonic(), Counter(seen.successes)
    while any(seen.successes[name] < before[name] + 2 for name in names):
        missing = [name for name in names if seen.successes[name] < before[name] + 2]
        assert time.monotonic() < began + PATIENCE, (missing, seen.table())
        await asyncio.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.soak
@pytest.mark.skipif("THINGMINT_TEST_POSTGRESQL_URL" in os.environ, reason="the server is not the test's to stop")
async def test_no_fault_loses_what_was_acknowledged_and_each_one_heals(
    tmp_path: Path,
    small_disk: Path,  # noqa: F811  the fixture
    postgresql_cluster: PostgreSQLCluster,
    stoppable_postgresql_url: str,
) -> None:
    seen, ends = Seen(), threading.Event()
    with (
        three_nodes(tmp_path, small_disk, postgresql_cluster, stoppable_postgresql_url) as at,
        haproxy(tmp_path, at.nodes) as balancer,
    ):
        one = at.nodes[0]
        endpoints = msgspec.structs.replace(
            one.service.endpoints, api=f"https://127.0.0.1:{balancer.api_port}", mqtt_port=balancer.mqtt_port
        )
        through = Live(dataclasses.replace(one.service, endpoints=endpoints, closers=[]), stoppable_postgresql_url)
        credentials: Credentials = new_credentials(client_of(one))
        context = context_of(one, credentials, tmp_path)
        operators = [
            Operator(
                f"operator-{number}",
                through.client(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=15),
                seen,
                ends,
            )
            for number in range(CALLERS)
        ]
        clients = [f"device-{number}" for number in range(DEVICES)]
        devices = [asyncio.create_task(publish_for_ever(through, context, each, seen)) for each in clients]
        for operator in operators:
            operator.start()
        names = [*clients, *(operator.name for operator in operators)]
        try:
            await healed(seen, names)
            for name, fault in _in_turns():
                seen.fault = name
                async with fault(at):
                    await asyncio.sleep(LASTS)
                seen.healed[name].append(await healed(seen, names))
                seen.fault = "none"
        finally:
            ends.set()
            for operator in operators:
                await asyncio.to_thread(operator.join)
            for task in devices:
                task.cancel()
            await asyncio.gather(*devices, return_exceptions=True)
        print(f"\n{seen.table()}\n{len(seen.statuses)} certificates")
        assert seen.wrong == []
        iot = client_of(one, attempts=10)
        for certificate_id, statuses in seen.statuses.items():
            described = await asyncio.to_thread(iot.describe_certificate, certificateId=certificate_id)
            assert described["certificateDescription"]["status"] in statuses


def _in_turns() -> Iterator[tuple[str, Fault]]:
    """Yield each fault once, and all of them again as long as there is time."""
    ends = time.monotonic() + SECONDS
    yield from FAULTS.items()
    for name, fault in itertools.cycle(FAULTS.items()):
        if time.monotonic() >= ends:
            return
        yield name, fault
