"""Owns the interfaces that transports call: the protocol above each, and the owner of all connections."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from thingmint.host.connections.peer_tls import Peer

# The transport: its module imports this one.
T_contra = TypeVar("T_contra", contravariant=True)


class StreamProtocol(Protocol):
    """The protocol on a stream that has begun; its methods must not raise."""

    def data_received(self, data: bytes) -> None:
        """Receive data from the peer."""
        ...

    def pause_writing(self) -> None:
        """Called when the peer reads more slowly than the protocol writes."""
        ...

    def resume_writing(self) -> None:
        """Called when the peer has caught up."""
        ...

    def eof_received(self, *, is_farewell: bool = False) -> None:
        """Called when all data from the peer was delivered: close the connection when it has been handled.

        Called at most once, in the order of the stream; not called if this side has ended the connection. It is a
        farewell if the peer has sent a Close frame, which only a WebSocket has.
        """
        ...

    def writing_lost(self) -> None:
        """Called when nothing can be sent to the peer any more; data that it sent before may still be delivered."""
        ...

    def connection_lost(self) -> None:
        """Called once after the end; no other method is called afterwards."""
        ...


class TLSProtocol(StreamProtocol, Protocol[T_contra]):
    """The protocol on a TLS connection. If it never begins, no method is called."""

    def established(self, transport: T_contra, peer: Peer) -> None:
        """Begin: the handshake is done, and the peer holds the key of the certificate it showed."""
        ...


class Owner(Protocol[T_contra]):
    """Keeps count of the connections, and shares the time among them."""

    def later(self, call: Callable[[], object]) -> None:
        """Call the function in a later turn of the event loop that has time for it, in the order of the calls."""
        ...

    def has_time_for(self, transport: T_contra) -> bool:
        """Return whether what a connection has just received may be handled in this turn of the event loop."""
        ...

    def in_turn(self, transport: T_contra, handle: Callable[[], object]) -> None:
        """Call the function in a later turn, because there is no time for what the connection has received."""
        ...

    def received(self, transport: T_contra) -> None:
        """Called when bytes have arrived on a connection that is not admitted yet."""
        ...

    def failed(self, transport: T_contra, beginning: bytes) -> None:
        """Called with the peer's first bytes when the handshake has failed."""
        ...

    def established(self, transport: T_contra) -> None:
        """Called when the handshake is done."""
        ...

    def stalled(self, transport: T_contra, since: float | None) -> None:
        """Called with the time since when the peer has too much unread; None when it has caught up."""
        ...

    def lost(self, transport: T_contra) -> None:
        """Called at the end of the connection."""
        ...
