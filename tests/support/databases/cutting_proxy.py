"""Owns a TCP proxy before PostgreSQL that loses connections on demand, at a place that can be counted.

It knows how PostgreSQL frames its messages and nothing of what they say. The places are counted from the moment at
which a fault is set; after one fault everything passes again.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qs, urlsplit

from tests.support.machine.loop_thread import LoopThread

_READ_BYTES = 65_536


class Side(StrEnum):
    """Whose messages are counted."""

    SERVER = "server"
    CLIENT = "client"


class Loss(StrEnum):
    """What becomes of the message at which the fault happens, and of the connection."""

    SWALLOWED = "the message is swallowed and the connection closed"
    CLOSED_AFTER = "the message arrives and the connection is closed"
    SWALLOWED_RESET = "the message is swallowed and the connection reset"
    RESET_AFTER = "the message arrives and the connection is reset"
    STALLED = "the message is swallowed and nothing arrives any more"


@dataclass
class Fault:
    """Where the connection is lost, and how; ``fired`` says whether that place was reached.

    ``by_message`` counts single messages instead of all that arrives at once; ``containing`` counts those only that
    hold these bytes. ``after`` names bytes of a client: only the connection that sends them first is meant, so that the
    background work of a service does not meet the fault.
    """

    side: Side
    loss: Loss
    at: int = 0
    by_message: bool = False
    containing: bytes = b""
    after: bytes = b""
    fired: bool = False
    _meant: object | None = None

    def strikes(self, side: Side, part: bytes, connection: object) -> bool:
        """Return whether this part is the one, and count it."""
        if self._meant is None and side is Side.CLIENT and self.after in part:
            self._meant = connection
        if self.after and self._meant is not connection:
            return False
        if self.fired or side is not self.side or self.containing not in part:
            return False
        self.fired = self.at == 0
        self.at -= 1
        return self.fired


@dataclass
class CuttingProxy:
    """A listening proxy; ``url`` is that of the database as seen through it."""

    target: str
    port: int = 0
    fault: Fault | None = None
    connections: int = 0
    passes: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether anything passes; otherwise the database hangs for everybody."""
    _open: set[asyncio.Event] = field(default_factory=set)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def url(self) -> str:
        """The URL of the database through the proxy."""
        parts = urlsplit(self.target)
        user = parts.netloc.rpartition("@")[0]
        return f"postgresql://{user}@127.0.0.1:{self.port}{parts.path}?sslmode=disable"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        passes = asyncio.Event()
        passes.set()
        try:
            theirs, ours = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        both = (writer, ours)
        pumps = [
            asyncio.create_task(self._pump(Side.CLIENT, reader, ours, both, passes)),
            asyncio.create_task(self._pump(Side.SERVER, theirs, writer, both, passes)),
        ]
        self._open.add(passes)
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open.discard(passes)
            for pump in pumps:
                pump.cancel()
            for each in both:
                each.close()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._tasks.discard(task)

    def stop_open_connections(self) -> None:
        """Let nothing pass on the connections that are open now; what is sent there waits. Later ones work."""
        for passes in self._open:
            passes.clear()

    def resume_open_connections(self) -> None:
        """Let everything pass, also what has waited."""
        for passes in self._open:
            passes.set()

    async def stop(self) -> None:
        """End all connections."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self.target)
        given = parse_qs(parts.query)
        host = parts.hostname or given["host"][0]
        port = parts.port or int(given.get("port", ["5432"])[0])
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _pump(
        self,
        side: Side,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        passes: asyncio.Event,
    ) -> None:
        messages = _Messages(starts_untyped=side is Side.CLIENT)
        with contextlib.suppress(OSError):
            while data := await source.read(_READ_BYTES):
                parts = messages.of(data)
                fault = self.fault
                for part in parts if fault is not None and fault.by_message else [b"".join(parts)]:
                    if part and fault is not None and fault.strikes(side, part, both):
                        await _lose(fault.loss, part, sink, both)
                        return
                    await self.passes.wait()
                    await passes.wait()
                    sink.write(part)
                await sink.drain()


async def _lose(
    loss: Loss, part: bytes, sink: asyncio.StreamWriter, both: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
) -> None:
    if loss is Loss.STALLED:
        await asyncio.Event().wait()
    if loss in (Loss.CLOSED_AFTER, Loss.RESET_AFTER):
        sink.write(part)
        await sink.drain()
    client = both[0]
    if loss in (Loss.SWALLOWED_RESET, Loss.RESET_AFTER):
        own: socket.socket = client.get_extra_info("socket")
        # A linger time of zero makes the system send RST instead of FIN.
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.transport.abort()


@dataclass
class _Messages:
    """Cuts a stream into PostgreSQL's messages; the first one of a client has no type."""

    starts_untyped: bool
    _left: bytes = b""

    def of(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete now."""
        self._left += data
        found = list[bytes]()
        while True:
            skipped = 0 if self.starts_untyped else 1
            if len(self._left) < skipped + 4:
                return found
            length = skipped + int.from_bytes(self._left[skipped : skipped + 4], "big")
            if len(self._left) < length:
                return found
            found.append(self._left[:length])
            self._left = self._left[length:]
            self.starts_untyped = False


@contextlib.asynccontextmanager
async def cutting_proxy(target: str) -> AsyncIterator[CuttingProxy]:
    """Yield a proxy before the database of this URL, in the running loop."""
    proxy = CuttingProxy(target)
    proxy.passes.set()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()


@contextlib.contextmanager
def proxy_in(thread: LoopThread, target: str) -> Iterator[CuttingProxy]:
    """Yield a proxy before the database of this URL, which runs beside the test."""
    context = cutting_proxy(target)
    proxy = thread.run(context.__aenter__())
    try:
        yield proxy
    finally:
        thread.run(context.__aexit__(None, None, None))
