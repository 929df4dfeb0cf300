"""Owns the bytes on their way to the broker: those of one turn of the loop leave together, a deaf broker is noticed.

Each packet alone would cost a system call, and Mosquitto one wake-up.
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
        """Whether the broker reads slower than is written."""
        self.has_written = False
        """Set by each write; the reader of it sets it back."""
        transport.set_write_buffer_limits(high=high)

    def write(self, encoded: bytes) -> None:
        """Send the bytes in this turn of the loop or the next."""
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

    async def drained(self) -> None:
        """Return when the broker has read enough; raise what ``fail`` was given."""
        if self.is_congested:
            self._drained = self._loop.create_future()
            await self._drained

    async def emptied(self) -> None:
        """Return when everything is with the kernel, or the connection has ended; raise what ``fail`` was given."""
        self.flush()
        if not self._transport.is_closing():
            self._transport.set_write_buffer_limits(high=0)
            await self.drained()

    def pause(self) -> None:
        """Note that the broker does not read."""
        self.is_congested = True

    def resume(self) -> None:
        """Note that it does again."""
        self.is_congested = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def fail(self, error: Exception) -> None:
        """Let nobody wait any longer."""
        self.is_congested = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(error)

    def _flush_when_due(self) -> None:
        self._is_flush_due = False
        self.flush()
