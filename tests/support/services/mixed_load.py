"""Owns a mixed load for tests of faults: callers and devices that go on whatever happens, and note what they saw.

Callers issue, deactivate and read certificates, and repeat no failed request. Devices publish messages of QoS 1, and
connect again when their connection has ended. Callers make no pause while a fault begins, so that it meets requests
under way. While they only wait for its end, they pause between rounds, except in `make soak`.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import random
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import IoT, Live
from tests.support.devices.live_devices import Credentials, new_credentials
from tests.support.machine.soak import examples
from tests.support.services.haproxy import Balancer
from tests.support.services.nodes import Wire, client_of, connected_wire, context_of

from thingmint.mqtt.codec.packets import Puback, Publish, QoS, Suback, Subscribe, Subscription
from thingmint.mqtt.codec.properties import ConnectProperties

PATIENCE = 180.0
PAUSE_SECONDS = examples(0.1, 0.0)
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
    acknowledged: set[bytes] = field(default_factory=set)
    """Messages of devices that were acknowledged; no two are equal."""
    heard: set[bytes] = field(default_factory=set)
    listens: asyncio.Event = field(default_factory=asyncio.Event)
    a_fault_begins: threading.Event = field(default_factory=threading.Event)

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
            if not self._seen.a_fault_begins.is_set():
                self._ends.wait(PAUSE_SECONDS)
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
    numbers = itertools.count(1)
    while True:
        wire: Wire | None = None
        try:
            async with asyncio.timeout(20):
                wire = await connected_wire(through, context, client_id)
            for number in numbers:
                payload = f"{client_id} {number}".encode()
                async with asyncio.timeout(20):
                    wire.send(Publish(f"from/{client_id}", payload, QoS.AT_LEAST_ONCE, packet_id=number % 65_535 + 1))
                    answer = await wire.next_packet()
                if not isinstance(answer, Puback) or answer.reason_code.is_failure:
                    raise ConnectionError("the message was not acknowledged")
                seen.acknowledged.add(payload)
                seen.devices[seen.fault]["ok"] += 1
                seen.successes[client_id] += 1
                await asyncio.sleep(0.05)
        except (OSError, ssl.SSLError, TimeoutError, AssertionError):
            seen.devices[seen.fault]["connections lost" if wire is not None else "connections refused"] += 1
            await asyncio.sleep(0.2)
        finally:
            if wire is not None:
                wire.close()


async def listen_for_ever(through: Live, context: ssl.SSLContext, client_id: str, seen: Seen) -> None:
    """Hear what devices publish, in a session that outlives connections, and connect again whenever one ends."""
    lasting = ConnectProperties(session_expiry_interval=3600)
    while True:
        wire: Wire | None = None
        try:
            async with asyncio.timeout(20):
                wire = await connected_wire(through, context, client_id, clean_start=False, properties=lasting)
            wire.send(Subscribe(1, (Subscription("from/#", QoS.AT_LEAST_ONCE),)))
            while (packet := await wire.next_packet()) is not None:
                if isinstance(packet, Suback):
                    if packet.reason_codes[0].is_failure:
                        break
                    seen.listens.set()
                if isinstance(packet, Publish):
                    wire.send(Puback(packet.packet_id))
                    seen.heard.add(bytes(packet.payload))
                seen.successes[client_id] += 1
        except (OSError, ssl.SSLError, TimeoutError, AssertionError):
            seen.devices[seen.fault]["connections refused"] += 1
        else:
            seen.devices[seen.fault]["connections lost"] += 1
        finally:
            if wire is not None:
                wire.close()
        await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def mixed_load(
    node: Live, balancer: Balancer, folder: Path, callers: int, devices: int, *, has_listener: bool = False
) -> AsyncIterator["MixedLoad"]:
    """Let so many callers and devices work through a balancer before this node and others, until the block ends.

    A listener hears all messages, which works if the nodes have a broker in common.
    """
    seen, ends = Seen(), threading.Event()
    endpoints = msgspec.structs.replace(
        node.service.endpoints, api=f"https://127.0.0.1:{balancer.api_port}", mqtt_port=balancer.mqtt_port
    )
    through = Live(dataclasses.replace(node.service, endpoints=endpoints, closers=[]), node.database_url)
    credentials: Credentials = new_credentials(client_of(node))
    context = context_of(node, credentials, folder)
    operators = [
        Operator(
            f"operator-{number}",
            through.client(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=15),
            seen,
            ends,
        )
        for number in range(callers)
    ]
    names = [f"device-{number}" for number in range(devices)]
    tasks = []
    if has_listener:
        tasks.append(asyncio.create_task(listen_for_ever(through, context, "listener", seen)))
        await seen.listens.wait()
    tasks += [asyncio.create_task(publish_for_ever(through, context, each, seen)) for each in names]
    for operator in operators:
        operator.start()
    try:
        listener = ("listener",) if has_listener else ()
        yield MixedLoad(seen, (*names, *listener, *(operator.name for operator in operators)))
    finally:
        ends.set()
        for operator in operators:
            await asyncio.to_thread(operator.join)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class MixedLoad:
    """A load that goes on, and the names of its clients."""

    seen: Seen
    names: Sequence[str]

    async def under(self, fault: str, happens: contextlib.AbstractAsyncContextManager[object], lasts: float) -> None:
        """Let a fault last so many seconds, and wait until every client has been served twice after it."""
        self.seen.a_fault_begins.set()
        await asyncio.sleep(PAUSE_SECONDS)
        self.seen.fault = fault
        async with happens:
            await asyncio.sleep(PAUSE_SECONDS)
            self.seen.a_fault_begins.clear()
            await asyncio.sleep(lasts - PAUSE_SECONDS)
        self.seen.healed[fault].append(await self.healed())
        self.seen.fault = "none"

    async def all_is_heard(self) -> None:
        """Wait until the listener has heard every message that was acknowledged."""
        deadline = time.monotonic() + PATIENCE
        acknowledged = self.seen.acknowledged.copy()
        while missing := acknowledged - self.seen.heard:
            assert time.monotonic() < deadline, sorted(missing)
            await asyncio.sleep(0.05)

    async def healed(self) -> float:
        """Return how long it takes until every client has been served twice."""
        seen = self.seen
        began, before = time.monotonic(), Counter(seen.successes)
        while missing := [name for name in self.names if seen.successes[name] < before[name] + 2]:
            assert time.monotonic() < began + PATIENCE, (missing, seen.table())
            await asyncio.sleep(0.05)
        return time.monotonic() - began


async def assert_kept(seen: Seen, iot: IoT) -> None:
    """Assert that no read was wrong, and that every acknowledged change is there."""
    assert seen.wrong == []
    for certificate_id, statuses in seen.statuses.items():
        described = await asyncio.to_thread(iot.describe_certificate, certificateId=certificate_id)
        assert described["certificateDescription"]["status"] in statuses
