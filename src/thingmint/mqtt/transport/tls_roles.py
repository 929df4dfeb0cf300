"""Owns what a TLS transport asks of the protocol above it and of the owner of all connections; does nothing itself."""

from typing import Protocol, TypeVar

from thingmint.host.peer_tls import Peer

# The transport: its module imports this one.
T_contra = TypeVar("T_contra", contravariant=True)


class TLSProtocol(Protocol[T_contra]):
    """What speaks over the connection; its methods must not raise."""

    def established(self, transport: T_contra, peer: Peer) -> None:
        """Begin: the handshake is done, and the peer holds the key of the certificate it showed."""
        ...

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent."""
        ...

    def pause_writing(self) -> None:
        """Note that the peer reads slower than is written."""
        ...

    def resume_writing(self) -> None:
        """Note that the peer has caught up."""
        ...

    def eof_received(self) -> None:
        """Note that all that the peer sent was delivered: close when it has been worked through.

        Called once at most, in the order of the stream; not called where this side has ended the connection.
        """
        ...

    def writing_lost(self) -> None:
        """Note that nothing reaches the peer any more; what it sent before may still be delivered."""
        ...

    def connection_lost(self) -> None:
        """End: called once, if `established` was, and nothing is called afterwards."""
        ...


class Owner(Protocol[T_contra]):
    """Who keeps count of the connections."""

    def heard(self, transport: T_contra) -> None:
        """Note that bytes have arrived on a connection that is not admitted yet."""
        ...

    def failed(self, transport: T_contra, beginning: bytes) -> None:
        """Note that the handshake has failed, and how the peer began."""
        ...

    def established(self, transport: T_contra) -> None:
        """Note that the handshake is done."""
        ...

    def stalled(self, transport: T_contra, since: float | None) -> None:
        """Note since when the peer has left too much unread; None once it has caught up."""
        ...

    def lost(self, transport: T_contra) -> None:
        """Forget the connection."""
        ...
