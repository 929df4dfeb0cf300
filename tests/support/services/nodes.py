"""Owns several nodes on one database for tests, and devices that say what becomes of their connections."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.faults.test_shared_database import copy_keys
from tests.support.clients.aws import IoT, Live
from tests.support.devices.live_devices import Credentials
from tests.support.services.service import Service, running_service, start_service

from thingmint.mqtt.codec.codec import decode_server_packet, encode
from thingmint.mqtt.codec.framing import FrameReader
from thingmint.mqtt.codec.packets import Connack, Connect, Packet, ProtocolVersion, ServerPacket

T = TypeVar("T")
PATIENCE = 60.0


@contextlib.contextmanager
def nodes(tmp_path: Path, url: str, count: int, *options: str) -> Iterator[list[Live]]:
    """Yield so many nodes with the same keys; those that a test has ended stay ended."""
    flags = ("--database-url", url, "--mqtt", "127.0.0.1:0", *options)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(running_service(tmp_path / "node-0", *flags, key_reserve=1))
        started = [Live(first, url)]
        for number in range(1, count):
            copy_keys(first.data_dir, tmp_path / f"node-{number}")
            another = running_service(tmp_path / f"node-{number}", *flags, key_reserve=1)
            started.append(Live(stack.enter_context(another), url))
        yield started


def another_node(tmp_path: Path, like: Live, name: str, *options: str) -> Service:
    """Start a node with the keys of another; the test ends it."""
    copy_keys(like.service.data_dir, tmp_path / name)
    assert like.database_url is not None
    flags = ("--database-url", like.database_url, "--mqtt", "127.0.0.1:0", *options)
    return start_service(tmp_path / name, *flags, key_reserve=1)


def client_of(node: Live, service: str = "iot", attempts: int = 1) -> IoT:
    """Return a client of one node, which repeats nothing unless it is told to."""
    client: IoT = node.client(service=service, retries={"total_max_attempts": attempts})
    node.service.closers.append(client.close)
    return client


def eventually(ask: Callable[[], T], is_right: Callable[[T], bool]) -> T:
    """Ask until the answer is right, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not is_right(answer := ask()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    return answer


def context_of(node: Live, credentials: Credentials, folder: Path) -> ssl.SSLContext:
    """Return what a device connects with."""
    context = ssl.create_default_context(cafile=str(node.ca_file))
    context.load_cert_chain(*credentials.files(folder))
    return context


@dataclass(eq=False)
class Wire:
    """A device in the loop of the test: as light as many of them must be."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    frames: FrameReader = field(default_factory=lambda: FrameReader(300_000))

    async def next_packet(self) -> ServerPacket | None:
        """Return the next packet; None at the end of the connection."""
        while (frame := self.frames.next_frame()) is None:
            try:
                received = await self.reader.read(65_536)
            except (OSError, ssl.SSLError):
                return None
            if not received:
                return None
            self.frames.feed(received)
        return decode_server_packet(frame, ProtocolVersion.MQTT_5)

    def send(self, packet: Packet) -> None:
        """Send a packet."""
        self.writer.write(encode(packet, ProtocolVersion.MQTT_5))

    def close(self) -> None:
        """Cut the connection."""
        self.writer.transport.abort()


async def connected_wire(node: Live, context: ssl.SSLContext, client_id: str, **fields: object) -> Wire:
    """Return a device whose CONNECT was accepted."""
    port = node.service.endpoints.mqtt_port
    wire = Wire(*await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost"))
    wire.send(Connect(ProtocolVersion.MQTT_5, client_id, **fields))  # type: ignore[arg-type]  # the fields of a CONNECT
    try:
        answer = await wire.next_packet()
        assert isinstance(answer, Connack), answer
        assert not answer.reason_code.is_failure, answer
    except BaseException:
        # A socket that is left open is found by the garbage collector, maybe after the loop was closed.
        wire.close()
        raise
    return wire
