"""Owns what operators see of the devices that are connected to this node; refuses to know MQTT and its brokers.

AWS IoT has no operation for any of it. A node knows the connections to itself only.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from thingmint.core.identifiers import CertificateId, Scope


@dataclass(frozen=True, slots=True)
class LiveConnection:
    """A client that is connected to this node now; the address is host and port."""

    client_id: str
    certificate_id: CertificateId
    connected_at: datetime
    source: tuple[str, int]


@dataclass(frozen=True, slots=True)
class ConnectionFilter:
    """Which connections are wanted: of clients whose id starts so, and of one certificate; empty is not asked for."""

    client_id_prefix: str = ""
    certificate_id: str = ""


@dataclass(frozen=True, slots=True)
class RecentRefusal:
    """What was refused to a device, why, and which policy denied it, if one did."""

    at: datetime
    certificate_id: CertificateId
    client_id: str
    source_address: str
    action: str
    reason: str
    resource: str
    policy: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class WatchedMessage:
    """A message that a watch has seen; no repr shows what is in it."""

    topic: str
    payload: bytes = field(repr=False)
    qos: int
    retain: bool


class Watch(Protocol):
    """What is published on the topics of a filter, while somebody looks."""

    async def next(self) -> WatchedMessage:
        """Return the next message."""
        ...

    @property
    def dropped(self) -> int:
        """How many messages were dropped because they came faster than they were read."""
        ...


class LiveDevices(Protocol):
    """The devices that are connected to this node, of all accounts; each caller reaches its own account's."""

    def connections(self, scope: Scope, wanted: ConnectionFilter, after: str, count: int) -> Sequence[LiveConnection]:
        """Return so many connections whose client ids come after this one, in the order of client ids."""
        ...

    def refusals(self, scope: Scope, wanted: ConnectionFilter, count: int) -> Sequence[RecentRefusal]:
        """Return the last refusals of the account's devices that are remembered, newest first."""
        ...

    def watch(
        self, scope: Scope, topic_filter: str, may_see: Callable[[str], bool]
    ) -> AbstractAsyncContextManager[Watch]:
        """Watch the topics of a filter; ``may_see`` decides for each topic.

        Raises InvalidRequest for a filter that no device may subscribe to, Throttled if too many watch already,
        ServiceUnavailable if the broker does not answer.
        """
        ...
