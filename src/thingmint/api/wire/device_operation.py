"""Owns the form of a device operation: a row with the topics of its requests, and its handler.

Each family of operations is a tuple of rows in one module. The gateway, the answers, the log and the reference page are
derived from the rows.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from msgspec import Struct

from thingmint.core.topics.names import RESERVED_PREFIX
from thingmint.core.topics.patterns import FORMAT, PayloadFormat, TopicPattern
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning.device_provisioning import FleetDevice

Members: TypeAlias = dict[str, object]


class Hearer(StrEnum):
    """The receivers of the service's messages for an operation."""

    REQUESTER = "the connection that asked"
    SUBSCRIBERS = "clients of the account that subscribe"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class DeviceCall:
    """A request for a handler: the device, the names in the topic, and the members of the payload."""

    device: FleetDevice
    client_id: str
    names: Mapping[str, str]
    members: Mapping[str, object] = field(repr=False)


Handler: TypeAlias = Callable[[RegistrationAuthority, DeviceCall], Awaitable[Members]]


class DeviceOperation(Struct, frozen=True):
    """A row: the messages that devices, or the service, publish on the topics of a pattern.

    A row with a handler is answered on ``…/accepted`` or ``…/rejected``. A row without receivers is one that AWS IoT
    serves and Thingmint does not: its messages are acknowledged, dropped, counted and logged.
    """

    name: str
    topic: TopicPattern
    hears: Hearer
    handler: Handler | None = None
    reads_payload: bool = True
    """Whether the payload must have the format of the topic; a request without members accepts any payload."""
    generates_key: bool = False
    """Whether the operation needs a new key, whose generation takes long."""
    most_qos: int = 1
    """The highest QoS of the service's messages for the operation; a subscription at QoS 0 gets QoS 0."""

    @property
    def action(self) -> str | None:
        """The action that a device's policies must allow on the topic; None if only the service publishes."""
        return None if self.hears is Hearer.SUBSCRIBERS else "iot:Publish"

    @property
    def sends_on(self) -> TopicPattern | None:
        """The topics on which the service publishes; subscriptions to them are accepted."""
        if self.handler is not None:
            return self.topic.answers()
        return self.topic if self.hears is Hearer.SUBSCRIBERS else None


class DeviceRequest(Struct, frozen=True):
    """A topic to which a device publishes, with the operation that it belongs to and the names in it."""

    operation: DeviceOperation
    topic: str
    names: Mapping[str, str]

    @property
    def format(self) -> PayloadFormat:
        """The format of the payload and of the answer; only for operations that have one."""
        return PayloadFormat(self.names[FORMAT])


class DeviceOperations:
    """The rows of all families, with the lookup of topics and filters."""

    def __init__(self, rows: Iterable[DeviceOperation]) -> None:
        self.rows: Final = tuple(rows)
        self._asked: Final = tuple(row for row in self.rows if row.action is not None)
        self._sent: Final = tuple((row, row.sends_on) for row in self.rows if row.sends_on is not None)

    def find(self, topic: str) -> DeviceRequest | None:
        """Return the request of a message to the topic, or None if no device may publish to it."""
        if not topic.startswith(RESERVED_PREFIX):
            return None
        for row in self._asked:
            names = row.topic.find(topic)
            if names is not None:
                return DeviceRequest(row, topic, names)
        return None

    def are_heard_with(self, topic_filter: str) -> bool:
        """Return whether a valid filter may match messages of the service; other filters would never get one."""
        return any(topic.may_match(topic_filter) for _, topic in self._sent)

    def events_are_heard_with(self, topic_filter: str) -> bool:
        """Return whether a valid filter may match messages that the service sends to all subscribers."""
        return any(row.hears is Hearer.SUBSCRIBERS and topic.may_match(topic_filter) for row, topic in self._sent)
