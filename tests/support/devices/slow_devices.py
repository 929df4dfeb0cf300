"""Owns devices that take their time in the TLS handshake, many at once, and come again when they are cut off."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

_GENEROUS: Final = 120.0
_AGAIN_SECONDS: Final = 0.5


@dataclass
class Tries:
    """What a fleet needed until the last of it was let in."""

    attempts: int = 0
    connected: int = 0


async def bring_all_in(
    port: int,
    context: ssl.SSLContext,
    *,
    count: int,
    thinking: float,
    first_bytes: bytes | Callable[[int], bytes],
    sources: Sequence[str] = ("127.0.0.1",),
) -> Tries:
    """Connect so many devices, each from one of the addresses; return how often they had to try.

    ``first_bytes`` are sent after the handshake. A function gets the number of the device.
    """
    tries = Tries()
    gone = asyncio.Event()
    async with asyncio.timeout(_GENEROUS), asyncio.TaskGroup() as group:
        for number in range(count):
            source = sources[number % len(sources)]
            first = first_bytes if isinstance(first_bytes, bytes) else first_bytes(number)
            group.create_task(_until_let_in(port, context, thinking, first, source, tries, gone, count))
    return tries


async def _until_let_in(
    port: int,
    context: ssl.SSLContext,
    thinking: float,
    first_bytes: bytes,
    source: str,
    tries: Tries,
    all_in: asyncio.Event,
    count: int,
) -> None:
    while True:
        tries.attempts += 1
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        except OSError:
            await asyncio.sleep(_AGAIN_SECONDS)
            continue
        try:
            if await _is_let_in(reader, writer, context, thinking, first_bytes):
                tries.connected += 1
                if tries.connected == count:
                    all_in.set()
                # It stays until all are in, as a fleet does.
                await all_in.wait()
                return
        except (OSError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()
        await asyncio.sleep(_AGAIN_SECONDS)


async def _is_let_in(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    context: ssl.SSLContext,
    thinking: float,
    first_bytes: bytes,
) -> bool:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    has_thought = False
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            received = await reader.read(65_536)
            if not received:
                return False
            if not has_thought:
                has_thought = True
                await asyncio.sleep(thinking)
            incoming.write(received)
    client.write(first_bytes)
    writer.write(outgoing.read())
    while True:
        try:
            return bool(client.read(1))
        except ssl.SSLWantReadError:
            received = await reader.read(65_536)
            if not received:
                return False
            incoming.write(received)
