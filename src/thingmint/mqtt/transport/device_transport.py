"""Owns the interface of a device's connection as a stream of MQTT's bytes, independent of what carries them."""

from collections.abc import Hashable
from typing import Protocol


class DeviceTransport(Protocol):
    """One connection: TLS on TCP, or a WebSocket on the API's port."""

    address: str
    """The address of the peer, or the one in a balancer's header."""
    is_admitted: bool
    """Whether its CONNECT was accepted; until then, its progress is reported."""
    account: Hashable
    """The account of an admitted device."""
    sockets: tuple[tuple[str, int], tuple[str, int]]
    """The addresses and ports of the peer and of this end, or those in a balancer's header."""

    @property
    def is_established(self) -> bool:
        """Whether the handshake is done."""
        ...

    def write(self, data: bytes | bytearray) -> None:
        """Send data, or nothing if the connection has ended; a peer that has far too much unread is disconnected."""
        ...

    def pause_reading(self) -> None:
        """Deliver nothing more until `resume_reading`; TCP's flow control then stops the peer."""
        ...

    def resume_reading(self) -> None:
        """Deliver again, in the event loop's next turn at the earliest."""
        ...

    def close(self) -> None:
        """Send written data and close; a peer that does not read it in time is disconnected."""
        ...

    def abort(self) -> None:
        """Close at once; unsent bytes are lost."""
        ...
