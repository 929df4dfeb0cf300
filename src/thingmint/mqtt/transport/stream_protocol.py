"""Owns the interface of the protocol above a device's transport: what the transport calls, and when."""

from typing import Protocol


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
