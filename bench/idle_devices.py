"""Owns devices that connect and then say nothing: a process of its own, whose connections cost as little as they can.

Jobs arrive as lines of JSON on standard input: where to connect from and to, with which certificates, and how many
devices. What came of each job is a line on standard output.
"""

import asyncio
import json
import os
import random
import ssl
import sys
import time
from typing import Any

from tests.support.devices.slow_devices import bring_all_in

from thingmint.host.hardening import harden_process
from thingmint.mqtt.codec.codec import decode_server_packet, encode
from thingmint.mqtt.codec.framing import FrameReader
from thingmint.mqtt.codec.packets import Connack, Connect, Pingreq, Pingresp, ProtocolVersion

CONNECT_S = 120.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 1.5
VERSION = ProtocolVersion.MQTT_5


class IdleDevice(asyncio.Protocol):
    """A connection that waits for the answers to CONNECT and to a ping."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._frames = FrameReader(65_536)
        self.answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say CONNECT; keep-alive 0 lets the device be silent."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(encode(Connect(VERSION, self._client_id, keep_alive=0), VERSION))

    def data_received(self, data: bytes) -> None:
        """Take an answer."""
        self._frames.feed(data)
        while (frame := self._frames.next_frame()) is not None:
            if not self.answered.done():
                self.answered.set_result(decode_server_packet(frame, VERSION))

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the connection has ended."""
        self.transport = None
        if not self.answered.done():
            self.answered.set_exception(error or ConnectionError("the connection was closed"))


async def connect(job: dict[str, Any]) -> list[IdleDevice]:
    """Return connected devices, made a few at a time."""
    contexts = _contexts(job)
    devices = []
    numbers = iter(range(job["count"]))
    loop = asyncio.get_running_loop()

    async def work() -> None:
        for number in numbers:
            device = IdleDevice(f"{job['prefix']}-{number}")
            await loop.create_connection(
                lambda device=device: device,  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                "127.0.0.1",
                job["port"],
                ssl=contexts[number % len(contexts)],
                server_hostname="localhost",
                local_addr=(job["source"], 0),
                ssl_handshake_timeout=CONNECT_S,
            )
            answer = await device.answered
            if not isinstance(answer, Connack) or answer.reason_code.is_failure:
                raise RuntimeError(f"a device was refused: {answer}")
            devices.append(device)

    async with asyncio.TaskGroup() as group:
        for _ in range(job["concurrency"]):
            group.create_task(work())
    return devices


async def storm(job: dict[str, Any]) -> dict[str, float]:
    """Connect so many devices of one address in one instant, each as often as it takes; return seconds and attempts.

    With ``thinking_s``, each pauses for so long in its handshake. They leave at the end.
    """
    if job.get("thinking_s"):
        return await _slow_storm(job)
    contexts, loop = _contexts(job), asyncio.get_running_loop()
    attempts = 0
    devices = []

    async def come_back(number: int) -> None:
        nonlocal attempts
        while True:
            attempts += 1
            device = IdleDevice(f"{job['prefix']}-{number}")
            try:
                await loop.create_connection(
                    lambda: device,  # noqa: B023  used at once
                    "127.0.0.1",
                    job["port"],
                    ssl=contexts[number % len(contexts)],
                    server_hostname="localhost",
                    ssl_handshake_timeout=CONNECT_S,
                )
                answer = await asyncio.wait_for(device.answered, CONNECT_S)
            except OSError:
                await asyncio.sleep(random.uniform(SHORTEST_PAUSE_S, LONGEST_PAUSE_S))
                continue
            if not isinstance(answer, Connack) or answer.reason_code.is_failure:
                raise RuntimeError(f"a device was refused: {answer}")
            devices.append(device)
            return

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(job["count"]):
            group.create_task(come_back(number))
    seconds = time.perf_counter() - began
    for device in devices:
        if device.transport is not None:
            device.transport.abort()
    return {"seconds": seconds, "attempts": attempts}


async def _slow_storm(job: dict[str, Any]) -> dict[str, float]:
    def connect_of(number: int) -> bytes:
        return encode(Connect(VERSION, f"{job['prefix']}-slow-{number}", keep_alive=0), VERSION)

    began = time.perf_counter()
    tries = await bring_all_in(
        job["port"], _contexts(job)[0], count=job["count"], thinking=job["thinking_s"], first_bytes=connect_of
    )
    return {"seconds": time.perf_counter() - began, "attempts": tries.attempts}


def _contexts(job: dict[str, Any]) -> list[ssl.SSLContext]:
    contexts = []
    for certificate, key in job["certificates"]:
        context = ssl.create_default_context(cafile=job["ca_file"])
        context.load_cert_chain(certificate, key)
        contexts.append(context)
    return contexts


async def ping(devices: list[IdleDevice]) -> int:
    """Return how many of the devices are served: each answers a ping."""
    served = 0
    for device in devices:
        if device.transport is None:
            continue
        device.answered = asyncio.get_running_loop().create_future()
        device.transport.write(encode(Pingreq(), VERSION))
        served += isinstance(await asyncio.wait_for(device.answered, CONNECT_S), Pingresp)
    return served


async def main() -> None:
    """Do the jobs of standard input: connect so many devices, ping all, or let so many come back at once."""
    harden_process()
    devices: list[IdleDevice] = []
    while line := await asyncio.to_thread(sys.stdin.readline):
        job, began = json.loads(line), time.perf_counter()
        if job["work"] == "connect":
            devices += await connect(job)
            print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)
        elif job["work"] == "storm":
            print(json.dumps(await storm(job)), flush=True)
        else:
            print(json.dumps({"served": await ping(devices)}), flush=True)
    # Thousands of connections need no farewell when the process ends.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
