"""Owns the interface of the device edge for operations on messages and connections. Independent of MQTT and brokers.

There is a device edge for each account. A caller can read and change the devices, topics and retained messages of its
own account only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from thingmint.core.identifiers import Scope

# AWS IoT's quota.
MAX_PAYLOAD_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class DeviceMessage:
    """A message to devices, with the properties of MQTT 5. Its repr does not show the payload."""

    topic: str
    payload: bytes = field(repr=False)
    qos: int = 0
    retain: bool = False
    is_text: bool | None = None
    content_type: str | None = field(default=None, repr=False)
    response_topic: str | None = None
    correlation_data: bytes | None = field(default=None, repr=False)
    expires_after: int | None = None
    user_properties: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class RetainedMessage:
    """The message that new subscribers of a topic get, and the time when it was stored."""

    topic: str
    payload: bytes = field(repr=False)
    qos: int
    stored_at: datetime | None
    """None if the broker does not return it."""
    user_properties: tuple[tuple[str, str], ...] = field(default=(), repr=False)


class OpenConnection(Struct, frozen=True):
    """A client that is connected now. Addresses are host and port."""

    client_id: str
    connected_at: datetime
    keep_alive: int
    is_clean: bool
    session_expiry: int
    source: tuple[str, int]
    target: tuple[str, int]


class EndedConnection(Struct, frozen=True):
    """The last connection of a client that is not connected now; the reason is AWS IoT's disconnect reason."""

    client_id: str
    ended_at: datetime
    reason: str
    keep_alive: int
    is_clean: bool
    session_expiry: int


class AccountDevices(Protocol):
    """The messages and connections of one account's devices, for its operators."""

    async def publish(self, message: DeviceMessage) -> None:
        """Publish a message to its subscribers.

        Raises InvalidRequest for an invalid topic or property, Throttled if it cannot be retained because of a limit,
        ServiceUnavailable if the broker does not answer.
        """
        ...

    async def retained(self, topic: str) -> RetainedMessage | None:
        """Return the topic's retained message; raise Throttled, AccessDenied or ServiceUnavailable."""
        ...

    def retained_after(self, topic: str, count: int) -> Sequence[RetainedMessage]:
        """Return up to ``count`` retained messages after this topic; raise InvalidRequest if the broker has no list."""
        ...

    async def forget(self) -> None:
        """Remove the account's retained messages and sessions from the memory of this node."""
        ...

    async def disconnect(self, client_id: str, *, clean_session: bool, prevent_will: bool) -> bool:
        """End a client's connection, and with it its session or its will; return whether it was connected."""
        ...

    async def connection(self, client_id: str) -> OpenConnection | None:
        """Return a client's connection, or None."""
        ...

    async def last_connection(self, client_id: str) -> EndedConnection | None:
        """Return how a client's last connection ended; None while it is connected, or if that is not stored."""
        ...

    async def send(self, client_id: str, message: DeviceMessage, confirmed_within: float | None) -> None:
        """Write a message to one client, subscribed or not; with ``confirmed_within``, wait for its acknowledgement.

        Raises ResourceNotFound if the client is not connected, AccessDenied if its policies do not allow the message,
        InvalidRequest for an invalid message, Throttled if the client's queue is full, DeliveryUnconfirmed.
        """
        ...


class OperatorDataPlane(Protocol):
    """The device edges of all accounts."""

    def edge_of(self, scope: Scope) -> AccountDevices:
        """Return the edge to the account's devices; raise InvalidRequest if they have no place here."""
        ...
