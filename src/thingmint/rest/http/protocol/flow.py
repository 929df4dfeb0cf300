"""Owns the back-pressure of one connection in both directions. Independent of requests."""

import asyncio
import math

_NEVER = math.inf


class Flow:
    """Whether the connection reads, and whether its client reads."""

    __slots__ = ("_loop", "_reading_is_paused", "_stall_seconds", "_transport", "_writable", "_write_deadline")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, stall_seconds: float) -> None:
        """Take for how many seconds a client may leave data unread."""
        self._transport = transport
        self._loop = loop
        self._stall_seconds = stall_seconds
        self._reading_is_paused = False
        self._writable: asyncio.Event | None = None
        self._write_deadline = _NEVER

    @property
    def reading_is_paused(self) -> bool:
        """Whether the connection leaves the client's data in the kernel."""
        return self._reading_is_paused

    def read(self, *, on: bool) -> None:
        """Resume or pause reading."""
        if on is not self._reading_is_paused:
            return
        self._reading_is_paused = not on
        if self._transport.is_closing():
            return
        if on:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def hand_over(self, last: bytes, protocol: asyncio.Protocol) -> None:
        """Write the last bytes, resume reading, and give the transport to another protocol, which begins."""
        self._transport.write(last)
        self.read(on=True)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)

    @property
    def writing_is_paused(self) -> bool:
        """Whether the client has left so much unread that nothing more should be written."""
        return self._writable is not None

    def pause_writing(self) -> None:
        """Start the time limit of the client, which does not read."""
        self._writable = asyncio.Event()
        self._write_deadline = self._loop.time() + self._stall_seconds

    def resume_writing(self) -> None:
        """Wake the tasks that wait in `until_writable`."""
        if self._writable is not None:
            self._writable.set()
            self._writable = None
        self._write_deadline = _NEVER

    async def until_writable(self) -> None:
        """Return when the client has read enough, or when the connection is lost."""
        if self._writable is not None:
            await self._writable.wait()

    def is_unread_too_long(self, now: float) -> bool:
        """Return whether the client's time limit has passed."""
        return now > self._write_deadline
