"""Owns what the operations on messages and connections ask of the device edge; refuses to know MQTT and its brokers.

There is a device edge for each account: a caller reaches the devices, topics and retained messages of its own account,
and can neither see nor touch those of another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from thingmint.core.identifiers import Scope

# AWS IoT's quota.
MAX_PAYLOAD_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class DeviceMessage:
    """A message to devices, with what MQTT 5 can say of it. No repr shows what is in it."""

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
    """The message that new subscribers of a topic get, and when it was stored."""

    topic: str
    payload: bytes = field(repr=False)
    qos: int
    stored_at: datetime | None
    """None if the keeper does not tell."""
    user_properties: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """A client that is connected now. Addresses are host and port."""

    client_id: str
    connected_at: datetime
    keep_alive: int
    is_clean: bool
    session_expiry: int
    source: tuple[str, int]
    target: tuple[str, int]


@dataclass(frozen=True, slots=True)
class EndedConnection:
    """The last connection of a client that is not connected now; the reason is AWS IoT's word for it."""

    client_id: str
    ended_at: datetime
    reason: str
    keep_alive: int
    is_clean: bool
    session_expiry: int


class AccountDevices(Protocol):
    """What can be done with messages and connections of one account's devices, on behalf of its operators."""

    async def publish(self, message: DeviceMessage) -> None:
        """Pass a message on to its receivers.

        Raises InvalidRequest for a topic or property that no message may have, Throttled if there is no room to retain
        it, ServiceUnavailable if the broker does not answer.
        """
        ...

    async def retained(self, topic: str) -> RetainedMessage | None:
        """Return the topic's retained message; raise Throttled, AccessDenied or ServiceUnavailable."""
        ...

    def retained_after(self, topic: str, count: int) -> Sequence[RetainedMessage]:
        """Return so many retained messages whose topics come after this one; raise InvalidRequest without a list."""
        ...

    async def disconnect(self, client_id: str, *, clean_session: bool, prevent_will: bool) -> bool:
        """End a client's connection, and with it its session or its will; return whether it was connected."""
        ...

    async def connection(self, client_id: str) -> OpenConnection | None:
        """Return a client's connection, or None."""
        ...

    async def last_connection(self, client_id: str) -> EndedConnection | None:
        """Return how a client's last connection ended; None while it is connected, or if that is not remembered."""
        ...

    async def send(self, client_id: str, message: DeviceMessage, confirmed_within: float | None) -> None:
        """Write a message to one client, subscribed or not; wait for its acknowledgement if there is a time for it.

        Raises ResourceNotFound if it is not connected, AccessDenied if its policies do not let it receive the message,
        InvalidRequest for what no message may have, Throttled if it has no room, DeliveryUnconfirmed.
        """
        ...


class OperatorDataPlane(Protocol):
    """The device edges of all accounts."""

    def edge_of(self, scope: Scope) -> AccountDevices:
        """Return the edge to the account's devices; raise InvalidRequest if they have no place here."""
        ...
