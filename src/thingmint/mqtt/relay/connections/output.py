"""Owns the bytes to the broker: packets of one turn of the event loop are sent together, with back-pressure.

Separate packets would each cost a system call here and a wake-up of Mosquitto.
"""

import asyncio


class RelayOutput:
    """The writing half of one connection. Callers with a choice await ``drained`` before they write more."""

    __slots__ = ("_drained", "_high", "_is_flush_due", "_loop", "_transport", "_waiting", "has_written", "is_congested")

    def __init__(self, transport: asyncio.Transport, high: int) -> None:
        self._transport = transport
        self._high = high
        self._loop = asyncio.get_running_loop()
        self._waiting = bytearray()
        self._is_flush_due = False
        self._drained: asyncio.Future[None] | None = None
        self.is_congested = False
        """Whether the broker reads more slowly than the relay writes."""
        self.has_written = False
        """Set by each write; the code that reads it resets it."""
        transport.set_write_buffer_limits(high=high)

    def write(self, encoded: bytes) -> None:
        """Send the bytes in this turn of the event loop or the next."""
        self._waiting += encoded
        self.has_written = True
        if len(self._waiting) > self._high:
            self.flush()
        elif not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush_when_due)

    def flush(self) -> None:
        """Send at once."""
        if self._waiting and not self._transport.is_closing():
            # A new buffer, because an idle connection should not keep a large one.
            waiting, self._waiting = self._waiting, bytearray()
            self._transport.write(bytes(waiting))

    def finish(self) -> None:
        """Send at once, and end this half of the connection."""
        self.flush()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            # TLS connections cannot be half closed; written bytes are still sent.
            self._transport.close()

    async def drained(self) -> None:
        """Return when the broker has read enough; raise the error that ``fail`` got."""
        if self.is_congested:
            self._drained = self._loop.create_future()
            await self._drained

    async def emptied(self) -> None:
        """Return when the kernel has all bytes, or the connection has ended; raise the error that ``fail`` got."""
        self.flush()
        if not self._transport.is_closing():
            self._transport.set_write_buffer_limits(high=0)
            await self.drained()

    def pause(self) -> None:
        """Record that the broker does not read."""
        self.is_congested = True

    def resume(self) -> None:
        """Record that the broker reads again."""
        self.is_congested = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def fail(self, error: Exception) -> None:
        """End all waits with the error."""
        self.is_congested = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(error)

    def _flush_when_due(self) -> None:
        self._is_flush_due = False
        self.flush()
