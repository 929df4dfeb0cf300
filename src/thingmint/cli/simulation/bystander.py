"""Owns the bystander of a storm: measures the latency for a caller and a device that do not take part in it.

It is a separate process, so that it measures the service and not the load of the devices' process.
"""

import asyncio
import contextlib
import multiprocessing
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from typing import Final

from thingmint.cli.connection import Connection, ServiceRefused, ServiceUnreachable, SignedClient
from thingmint.cli.simulation.clients.client import ANSWER_SECONDS, BrokerRefused, Client, ConnectionLost
from thingmint.cli.simulation.clients.failing import Failing
from thingmint.cli.simulation.measures import Measures, Step
from thingmint.cli.simulation.preparation import MadeCertificate
from thingmint.cli.simulation.target import Target
from thingmint.core.error_text import in_words
from thingmint.host.hardening import harden_process

INTERVAL_SECONDS: Final = 0.05
"""The interval of reads from the API and of messages; the next one starts after the one before has ended."""

_TROUBLES = (BrokerRefused, ConnectionLost, LookupError, OSError, ServiceRefused, ServiceUnreachable)


@dataclass(frozen=True, slots=True)
class BystanderOrders:
    """The bystander's connection to the API, and its identity as a device with a separate policy."""

    connection: Connection = field(repr=False)
    target: Target
    name: str
    certificate: MadeCertificate


class Bystander:
    """The handle of the bystander's process in the process of the devices."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def storm_begins(self) -> None:
        """Count later measurements as made during the storm."""
        self._pipe.send(None)

    async def measures(self) -> Measures:
        """End its work, and return its measurements; raise LookupError if it could not begin."""
        self._pipe.send(None)
        return await self._answer()

    async def begun(self) -> None:
        """Wait until it measures; raise LookupError if it cannot begin."""
        await self._answer()

    async def _answer(self) -> Measures:
        try:
            answer = await asyncio.to_thread(self._pipe.recv)
        except EOFError as error:
            raise LookupError("the bystander's process has ended") from error
        if isinstance(answer, Measures):
            return answer
        raise LookupError(f"the bystander: {answer}")


@contextlib.asynccontextmanager
async def bystander(orders: BystanderOrders) -> AsyncIterator[Bystander]:
    """Yield a bystander that measures; its process is ended when the block ends in any way."""
    # No fork: it would share the sockets of the devices.
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe()
    process = processes.Process(target=_stand_by, args=(orders, theirs), daemon=True)
    # Starting an interpreter takes some time.
    await asyncio.to_thread(process.start)
    theirs.close()
    try:
        found = Bystander(ours)
        await found.begun()
        yield found
    finally:
        # This also ends a thread that waits for an answer.
        process.kill()
        process.join()
        ours.close()


# In the bystander's process


def _stand_by(orders: BystanderOrders, pipe: Pipe) -> None:
    # The parent process ends it after an interruption.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    harden_process()
    with contextlib.suppress(EOFError, BrokenPipeError):
        try:
            pipe.send(asyncio.run(_measured(orders, pipe)))
        except _TROUBLES as error:
            pipe.send(in_words(error))


async def _measured(orders: BystanderOrders, pipe: Pipe) -> Measures:
    watch = _Watch(orders, Measures())
    await watch.begin()
    pipe.send(Measures())
    async with asyncio.TaskGroup() as group:
        group.create_task(_at_intervals(watch.read_api, watch))
        group.create_task(_at_intervals(watch.exchange, watch))
        # If the parent process is gone, the measurements are discarded.
        with contextlib.suppress(EOFError):
            await asyncio.to_thread(pipe.recv)
            watch.is_storm = True
            await asyncio.to_thread(pipe.recv)
        watch.has_ended = True
    await watch.leave()
    return watch.measures


async def _at_intervals(act: Callable[[], Awaitable[None]], watch: "_Watch") -> None:
    loop = asyncio.get_running_loop()
    due_at = loop.time()
    while not watch.has_ended:
        await act()
        # Skip intervals that have passed meanwhile: one slow measurement counts once.
        due_at = max(due_at + INTERVAL_SECONDS, loop.time())
        await asyncio.sleep(due_at - loop.time())


class _Watch(Failing):
    """One caller of the API and one device."""

    _client: Client

    def __init__(self, orders: BystanderOrders, measures: Measures) -> None:
        super().__init__(measures)
        self.measures = measures
        self.is_storm = False
        self.has_ended = False
        self._orders = orders
        self._api = SignedClient(orders.connection)
        # One thread, which keeps its connection open.
        self._caller = ThreadPoolExecutor(1)
        self._sent = 0

    async def begin(self) -> None:
        """Connect as a device, and subscribe to its own topic."""
        orders = self._orders
        context = orders.certificate.identity.tls_context(orders.target)
        self._client = await Client.connect(orders.target, context, orders.name)
        await self._client.subscribe(orders.name)

    async def leave(self) -> None:
        """Disconnect."""
        await self._client.disconnect()
        self._api.close()
        self._caller.shutdown()

    async def read_api(self) -> None:
        """Call DescribeCertificate for its own certificate."""
        loop = asyncio.get_running_loop()
        path = f"/certificates/{self._orders.certificate.certificate_id}"
        began = loop.time()
        try:
            await loop.run_in_executor(self._caller, self._api.call, "GET", path, {})
        except (ServiceRefused, ServiceUnreachable) as error:
            self.fail(self._api_step, in_words(error))
        else:
            self.measures.record(self._api_step, loop.time() - began)

    async def exchange(self) -> None:
        """Publish at QoS 1, and wait until the message arrives."""
        loop = asyncio.get_running_loop()
        self._sent += 1
        payload = str(self._sent).encode()
        back = self._client.expect(lambda message: message.payload == payload)
        began = loop.time()
        try:
            with self.lasting(), self.step(self._mqtt_step):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._client.publish(self._orders.name, payload)
                    await back
                self.measures.record(self._mqtt_step, loop.time() - began)
        finally:
            back.cancel()

    @property
    def _api_step(self) -> Step:
        return Step.API if self.is_storm else Step.QUIET_API

    @property
    def _mqtt_step(self) -> Step:
        return Step.MQTT if self.is_storm else Step.QUIET_MQTT
