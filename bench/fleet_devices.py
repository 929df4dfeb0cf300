"""Owns the devices of the fleet figures: a process of its own that lets simulated devices live as it is told.

Jobs arrive as lines of JSON on standard input, results on standard output. Template and claim are made once.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from thingmint.cli.connection import SignedClient, find_connection
from thingmint.cli.simulation.api import Api
from thingmint.cli.simulation.clients.client import Client
from thingmint.cli.simulation.clients.device import Orders, SimulatedDevice
from thingmint.cli.simulation.measures import Measures, Step
from thingmint.cli.simulation.preparation import CreatedResources, make_claim, make_template, parameters_of
from thingmint.cli.simulation.target import find_target
from thingmint.host.hardening import harden_process

RUN = "bench"


class Fleet:
    """Devices of one service."""

    def __init__(self, data_directory: str) -> None:
        connection = find_connection(Path(data_directory), {})
        client = SignedClient(connection)
        api, made = Api(client), CreatedResources()
        template = make_template(api, made, RUN)
        endpoint = api.text("GET", "/endpoint", "endpointAddress")
        assert connection.ca_file is not None
        target = find_target(endpoint, connection.ca_file, allow_remote=False)
        claim = make_claim(api, made, RUN, template).tls_context(target)
        self._by_keys = Orders(target, claim, template, parameters_of(api, template))
        self._by_csr = Orders(target, claim, template, parameters_of(api, template), with_csr=True)
        self._last = 0
        self._idle: list[SimulatedDevice] = []
        client.close()

    async def provision(self, job: dict[str, Any]) -> dict[str, Any]:
        """Provision devices for a time, each from claim to its first message; the last ones are waited for."""
        measures = Measures()

        async def one() -> None:
            device = self._device(measures, with_csr=job["csr"])
            await device.begin()
            await device.leave()

        async with _sustained(job, one) as taken:
            _require_success(measures)
        latencies = measures.latencies()
        return taken | {"p50_ms": {step: latencies[step].p50 for step in latencies}}

    async def connect(self, job: dict[str, Any]) -> dict[str, Any]:
        """Connect with the claim and leave, for a time."""

        async def one() -> None:
            self._last += 1
            client = await Client.connect(self._by_keys.target, self._by_keys.claim, f"bench-{self._last}")
            await client.disconnect()

        async with _sustained(job, one) as taken:
            return taken

    async def provision_many(self, job: dict[str, Any]) -> dict[str, Any]:
        """Provision devices that will come back."""
        measures = Measures()
        self._idle = [self._device(measures, with_csr=True) for _ in range(job["count"])]

        async def begin(device: SimulatedDevice) -> None:
            await device.begin()
            await device.leave()

        await _each(self._idle, begin, job["concurrency"])
        _require_success(measures)
        return {}

    async def come_back(self, job: dict[str, Any]) -> dict[str, Any]:
        """Connect the first so many of them, each with a subscription; they stay."""
        await _each(self._idle[job["first"] : job["last"]], SimulatedDevice.come_back, job["concurrency"])
        if any(device.has_failed for device in self._idle):
            raise RuntimeError("a device could not come back")
        return {}

    def _device(self, measures: Measures, *, with_csr: bool) -> SimulatedDevice:
        self._last += 1
        return SimulatedDevice(f"{RUN}-{self._last:06}", self._by_csr if with_csr else self._by_keys, measures)


@asynccontextmanager
async def _sustained(job: dict[str, Any], one: Callable[[], Any]) -> AsyncIterator[dict[str, Any]]:
    """Repeat the work, so many at a time, and yield what that took."""
    began, cpu_before, count = time.perf_counter(), time.process_time(), 0

    async def work() -> None:
        nonlocal count
        while time.perf_counter() - began < job["seconds"]:
            await one()
            count += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(job["concurrency"]):
            group.create_task(work())
    elapsed = time.perf_counter() - began
    yield {"count": count, "elapsed_s": elapsed, "client_cpu_s": time.process_time() - cpu_before}


async def _each(devices: list[SimulatedDevice], act: Callable[[SimulatedDevice], Any], concurrency: int) -> None:
    waiting = iter(devices)

    async def work() -> None:
        for device in waiting:
            await act(device)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())


def _require_success(measures: Measures) -> None:
    if measures.errors or measures.throttled:
        raise RuntimeError(f"devices failed: {dict(measures.errors)}, {measures.throttled} times throttled")
    assert measures.count(Step.PROVISIONED)


async def _answer(line: str, fleets: dict[str, Fleet]) -> dict[str, Any]:
    job = json.loads(line)
    if job["work"] == "prepare":
        os.sched_setaffinity(0, job.get("pin") or os.sched_getaffinity(0))
        fleets[RUN] = Fleet(job["data_directory"])
        return {}
    answered: dict[str, Any] = await getattr(fleets[RUN], job["work"])(job)
    return answered


async def main() -> None:
    """Answer each line of standard input; devices that stay are connected between lines."""
    harden_process()
    fleets: dict[str, Fleet] = {}
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await _answer(line, fleets)), flush=True)
    # Thousands of connections need no farewell when the process ends.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
