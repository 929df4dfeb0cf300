"""Owns the interface to the devices that are connected to this node. Independent of MQTT and brokers.

AWS IoT has no operations for it. Only the connections to this node are visible.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from thingmint.core.identifiers import PrincipalId, Scope


class LiveConnection(Struct, frozen=True):
    """A client that is connected to this node now; the address is host and port."""

    client_id: str
    principal_id: PrincipalId
    connected_at: datetime
    source: tuple[str, int]


class ConnectionFilter(Struct, frozen=True):
    """Selects connections by the beginning of the client id and by the certificate; an empty field selects all."""

    client_id_prefix: str = ""
    certificate_id: str = ""


class RecentRefusal(Struct, frozen=True):
    """A refused action of a device, the reason, and the policy that denied it, if one did."""

    at: datetime
    principal_id: PrincipalId
    client_id: str
    source_address: str
    action: str
    reason: str
    resource: str
    policy: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class WatchedMessage:
    """A message that a watch has received; its repr does not show the payload."""

    topic: str
    payload: bytes = field(repr=False)
    qos: int
    retain: bool


class Watch(Protocol):
    """The messages that are published on the topics of a filter while the watch is open."""

    async def next(self) -> WatchedMessage:
        """Return the next message."""
        ...

    @property
    def dropped(self) -> int:
        """The number of messages that were dropped because they arrived faster than they were read."""
        ...


class LiveDevices(Protocol):
    """The devices of all accounts that are connected to this node; each caller gets only those of its account."""

    def connections(self, scope: Scope, wanted: ConnectionFilter, after: str, count: int) -> Sequence[LiveConnection]:
        """Return up to ``count`` connections whose client ids come after this one, in the order of client ids."""
        ...

    def refusals(self, scope: Scope, wanted: ConnectionFilter, count: int) -> Sequence[RecentRefusal]:
        """Return the last refusals of the account's devices, newest first."""
        ...

    def watch(
        self, scope: Scope, topic_filter: str, may_see: Callable[[str], bool]
    ) -> AbstractAsyncContextManager[Watch]:
        """Watch the topics of a filter; ``may_see`` decides for each topic.

        Raises InvalidRequest for a filter that no device may subscribe to, Throttled if too many watch already,
        ServiceUnavailable if the broker does not answer.
        """
        ...
