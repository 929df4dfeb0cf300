"""Owns what the transports of devices have in common: flow control, time limits and the end of a connection.

The end of the peer's data is delivered after all data that it sent. Only an end by this side (`abort`, `close`)
discards data that has arrived.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from enum import Enum, auto
from typing import Final, Protocol, cast

from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.mqtt.transport.stream_protocol import StreamProtocol

_LOW_WATER_DIVISOR: Final = 4


class Owner(Protocol):
    """Keeps count of the connections, and shares the time among them."""

    def later(self, call: Callable[[], object]) -> None:
        """Call the function in a later turn of the event loop that has time for it, in the order of the calls."""
        ...

    def has_time_for(self, transport: "DeviceTransport") -> bool:
        """Return whether what a connection has just received may be handled in this turn of the event loop."""
        ...

    def in_turn(self, transport: "DeviceTransport", handle: Callable[[], object]) -> None:
        """Call the function in a later turn, because there is no time for what the connection has received."""
        ...

    def received(self, transport: "DeviceTransport") -> None:
        """Called when bytes have arrived on a connection that is not admitted yet."""
        ...

    def failed(self, transport: "DeviceTransport", beginning: bytes) -> None:
        """Called with the peer's first bytes when the handshake has failed."""
        ...

    def established(self, transport: "DeviceTransport") -> None:
        """Called when the handshake is done."""
        ...

    def stalled(self, transport: "DeviceTransport", since: float | None) -> None:
        """Called with the time since when the peer has too much unread; None when it has caught up."""
        ...

    def lost(self, transport: "DeviceTransport") -> None:
        """Called at the end of the connection."""
        ...


class ConnectionState(Enum):
    """How far a connection is; the order is that of its life."""

    HANDSHAKE = auto()
    OPEN = auto()
    CLOSING = auto()
    """This side has ended it. What still arrives is thrown away."""
    LOST = auto()


class DeviceTransport(asyncio.BaseProtocol, ABC):
    """One connection: below it a transport of the event loop, above it a `StreamProtocol`."""

    __slots__ = (
        "_deadline",
        "_discarded",
        "_limits",
        "_loop",
        "_lower",
        "_owner",
        "_peer_is_done",
        "_reading_paused",
        "_state",
        "_told_end",
        "_upper",
        "_writing_paused",
        "account",
        "address",
        "is_admitted",
        "sockets",
    )

    def __init__(
        self,
        *,
        address: str,
        sockets: tuple[tuple[str, int], tuple[str, int]],
        limits: GatewayLimits,
        owner: Owner,
        loop: asyncio.AbstractEventLoop,
        state: ConnectionState,
    ) -> None:
        self.address = address
        """The address of the peer, or the one in a balancer's header."""
        self.sockets = sockets
        """The addresses and ports of the peer and of this end, or those in a balancer's header."""
        self.is_admitted = False
        """Whether its CONNECT was accepted; until then, its progress is reported."""
        self.account: Hashable = None
        """The account of an admitted device."""
        self._limits = limits
        self._owner = owner
        self._loop = loop
        self._lower: asyncio.Transport | None = None
        self._upper: StreamProtocol | None = None
        self._state = state
        self._peer_is_done = False
        self._told_end = False
        self._discarded = 0
        self._reading_paused = False
        self._writing_paused = False
        self._deadline: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} from {self.address}, {self._state.name.lower()}>"

    # For the protocol above

    @property
    def is_established(self) -> bool:
        """Whether the handshake is done."""
        return self._state is not ConnectionState.HANDSHAKE

    @abstractmethod
    def write(self, data: bytes | bytearray) -> None:
        """Send data, or nothing if the connection has ended; a peer that has far too much unread is disconnected."""

    def pause_reading(self) -> None:
        """Deliver nothing more until `resume_reading`; TCP's flow control then stops the peer."""
        self._reading_paused = True
        self._arrange_reading()

    def resume_reading(self) -> None:
        """Deliver again, in the event loop's next turn at the earliest."""
        if self._reading_paused:
            self._reading_paused = False
            self._deliver_soon()

    @abstractmethod
    def close(self) -> None:
        """Send written data and close; a peer that does not read it in time is disconnected."""

    def abort(self) -> None:
        """Close at once; unsent bytes are lost."""
        if self._state is not ConnectionState.LOST:
            self._state = ConnectionState.CLOSING
            if self._lower is not None:
                self._lower.abort()
            elif self._peer_is_done:
                self._loop.call_soon(self._finish)

    # For the transport below

    def pause_writing(self) -> None:
        """Stop reading from a peer that does not read, because its requests would produce more data to write."""
        self._writing_paused = True
        self._owner.stalled(self, self._loop.time())
        self._arrange_reading()
        if self._upper is not None:
            self._upper.pause_writing()

    def resume_writing(self) -> None:
        """Read and write again."""
        self._writing_paused = False
        self._owner.stalled(self, None)
        if self._upper is not None:
            self._upper.resume_writing()
        self._deliver_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """Deliver data that had arrived before, unless this side has ended the connection; then end.

        Thousands of connections may end at once, so that all of this is done later, in time slices.
        """
        lower, self._lower = self._lower, None
        self._owner.stalled(self, None)
        if self._state is ConnectionState.CLOSING or lower is None:
            self._owner.later(self._finish)
            return
        self._note_peer_is_done()
        self._writing_paused = False
        self._owner.later(self._lose)

    # What differs between the transports

    @abstractmethod
    def _pump(self) -> None:
        """Deliver what has arrived, and report the end when nothing is left."""

    @abstractmethod
    def _deliver_soon(self) -> None:
        """Read again from the transport below, and deliver what has arrived, in a later turn of the event loop."""

    @abstractmethod
    def _arrange_reading(self) -> None:
        """Let the transport below read exactly while nothing has paused it."""

    @abstractmethod
    def _await_close(self, lower: asyncio.Transport) -> None:
        """Close the transport below when the peer has read the last bytes, or now if it has closed already."""

    @abstractmethod
    def _release(self) -> None:
        """Release what only an open connection needs; called once, at the end."""

    # For them

    def _attach(self, transport: asyncio.BaseTransport) -> asyncio.Transport:
        # uvloop's transports are none of asyncio's class.
        lower = self._lower = cast("asyncio.Transport", transport)
        high = self._limits.write_high_bytes
        lower.set_write_buffer_limits(high=high, low=high // _LOW_WATER_DIVISOR)
        return lower

    def _may_deliver(self) -> bool:
        return self._state is ConnectionState.OPEN and not self._reading_paused and not self._writing_paused

    def _has_discarded(self, size: int) -> bool:
        """Count bytes that are thrown away; return False if they are too many and the connection was aborted."""
        self._discarded += size
        if self._discarded > self._limits.handshake_bytes:
            self.abort()
            return False
        return True

    def _note_peer_is_done(self) -> None:
        """Start the time limit for handling received data; the peer sends nothing more."""
        if not self._peer_is_done:
            self._peer_is_done = True
            self._abort_after(self._limits.drain_seconds)

    def _wait_for_close(self) -> None:
        """End after the last bytes were written: wait a short time until the peer has read them and closed."""
        self._state = ConnectionState.CLOSING
        if self._lower is None:
            self._loop.call_soon(self._finish)
            return
        self._abort_after(self._limits.close_seconds)
        self._await_close(self._lower)

    def _abort_after(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(seconds, self.abort)

    def _lose(self) -> None:
        if self._upper is not None:
            self._upper.writing_lost()
        self._pump()

    def _finish(self) -> None:
        """Notify the owner and the protocol of the end, once."""
        if self._state is ConnectionState.LOST:
            return
        self._state = ConnectionState.LOST
        if self._deadline is not None:
            self._deadline.cancel()
        self._owner.lost(self)
        self._release()
        upper, self._upper = self._upper, None
        if upper is not None:
            upper.connection_lost()
