"""Owns the messages on their way to one client: what waits, what is unacknowledged, and what is sent again.

Order is kept: what a client has not acknowledged when its connection ends comes first on the next one, as a duplicate
under its old packet identifier. Nothing here knows which filter a message matched.
"""

import math
from collections import deque
from dataclasses import dataclass, replace

from thingmint.mqtt.data_plane import DATA_PLANE_PACKET_IDS, Delivery, DeviceConnection
from thingmint.mqtt.limits import BrokerLimits
from thingmint.mqtt.packets import Publish
from thingmint.mqtt.properties import NO_PUBLISH_PROPERTIES
from thingmint.mqtt.rooms import Part
from thingmint.mqtt.topics import received_as

# What Python's objects take besides the bytes in them, roughly: for a message on its way, and for a user property.
_MESSAGE_OVERHEAD = 500
_USER_PROPERTY_OVERHEAD = 200


@dataclass(slots=True)
class Outgoing:
    """A message for one client, with its QoS and RETAIN as this client gets them; ``packet_id`` once it was sent.

    ``size`` is the number of bytes that it is taken to occupy; ``group`` is that of the shared subscription by which
    the message comes.
    """

    message: Publish
    expires_at: float | None
    size: int
    packet_id: int = 0
    group: str | None = None

    @property
    def received_as(self) -> str:
        """What iot:Receive is asked about."""
        return received_as(self.message.topic, self.group)

    def has_expired(self, now: float) -> bool:
        """Say whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now


class Outbox:
    """Sends as much as the connection takes, and keeps the rest within its bounds."""

    __slots__ = (
        "_ids_in_use",
        "_in_flight",
        "_last_id",
        "_limits",
        "_replaying",
        "_shared",
        "_waiting",
        "size",
        "turn",
    )

    def __init__(self, limits: BrokerLimits, shared: Part) -> None:
        self._limits = limits
        self._shared = shared
        self._waiting: deque[Outgoing] = deque()
        self._in_flight: dict[int, Outgoing] = {}
        self._ids_in_use: set[int] = set()
        self._last_id = 0
        self._replaying = 0
        self.size = 0
        """How many bytes all that waits or is unacknowledged is taken to occupy."""
        self.turn = 0
        """How many of the stored messages may still be sent in this second."""

    @property
    def is_replaying(self) -> bool:
        """Whether the first of what waits was stored while the client was away."""
        return self._replaying > 0

    @property
    def is_full(self) -> bool:
        """Whether this client's own bounds are reached."""
        return len(self._waiting) >= self._limits.queued_messages or self.size >= self._limits.queued_bytes

    def put(self, outgoing: Outgoing) -> bool:
        """Let the message wait for ``flush``; return False, having kept nothing of it, if there is no room."""
        if self.is_full or self._shared.left < outgoing.size:
            return False
        self._waiting.append(outgoing)
        self._occupy(outgoing.size)
        return True

    def flush(self, connection: DeviceConnection, now: float) -> None:
        """Send what waits until the client takes no more; what has expired or is not allowed any more is dropped."""
        while self._waiting:
            outgoing = self._waiting[0]
            if self._is_void(outgoing, connection, now):
                self._drop_first()
            elif not self._may_send(outgoing, connection) or not self._send(outgoing, connection, now):
                return

    def acknowledge(self, packet_id: int) -> None:
        """Forget the message with the packet identifier, if it is under way."""
        outgoing = self._in_flight.pop(packet_id, None)
        if outgoing is not None:
            self._release(outgoing)

    def interrupt(self) -> None:
        """Take back what was not acknowledged: the connection has ended. Of QoS 0, nothing is kept for the next."""
        unacknowledged = [*self._in_flight.values(), *self._waiting]
        self._in_flight.clear()
        self._waiting = deque(outgoing for outgoing in unacknowledged if outgoing.message.qos)
        for outgoing in unacknowledged:
            if not outgoing.message.qos:
                self._release(outgoing)
        self._replaying = 0

    def begin(self) -> None:
        """Count what waits as stored: there is a new connection."""
        self._replaying, self.turn = len(self._waiting), 0

    def clear(self) -> None:
        """Drop everything."""
        self._waiting.clear()
        self._in_flight.clear()
        self._ids_in_use.clear()
        self._occupy(-self.size)
        self._replaying = 0

    def _is_void(self, outgoing: Outgoing, connection: DeviceConnection, now: float) -> bool:
        return outgoing.has_expired(now) or not connection.may_receive(outgoing.received_as)

    def _may_send(self, outgoing: Outgoing, connection: DeviceConnection) -> bool:
        if self._replaying and not self.turn:
            return False
        window = min(connection.receive_window, self._limits.in_flight)
        return not outgoing.message.qos or len(self._in_flight) < window

    def _send(self, outgoing: Outgoing, connection: DeviceConnection, now: float) -> bool:
        is_duplicate = outgoing.packet_id > 0
        packet_id = 0
        if outgoing.message.qos:
            packet_id = outgoing.packet_id or self._free_id()
        outcome = connection.deliver(as_sent(outgoing, packet_id, is_duplicate, now))
        if outcome is Delivery.FULL:
            return False
        self.turn -= self._replaying > 0
        if outcome is Delivery.TOO_LARGE or not packet_id:
            self._drop_first()
            return True
        self._leave_first()
        outgoing.packet_id = packet_id
        self._ids_in_use.add(packet_id)
        self._in_flight[packet_id] = outgoing
        return True

    def _leave_first(self) -> Outgoing:
        self._replaying -= self._replaying > 0
        return self._waiting.popleft()

    def _drop_first(self) -> None:
        self._release(self._leave_first())

    def _release(self, outgoing: Outgoing) -> None:
        self._ids_in_use.discard(outgoing.packet_id)
        self._occupy(-outgoing.size)

    def _occupy(self, size: int) -> None:
        self.size += size
        self._shared.take(size)

    def _free_id(self) -> int:
        # There are far more identifiers than messages in flight.
        while True:
            self._last_id = self._last_id % DATA_PLANE_PACKET_IDS[-1] + 1
            if self._last_id not in self._ids_in_use:
                return self._last_id


def as_sent(outgoing: Outgoing, packet_id: int, is_duplicate: bool, now: float) -> Publish:
    """Return the packet; of its time until it expires, what the message has waited is taken off (MQTT-3.3.2-6)."""
    message = outgoing.message
    properties = message.properties
    if outgoing.expires_at is not None:
        properties = replace(properties, message_expiry_interval=math.ceil(outgoing.expires_at - now))
    return Publish(message.topic, message.payload, message.qos, message.retain, is_duplicate, packet_id, properties)


def size_of(message: Publish) -> int:
    """Return how many bytes a message is taken to occupy while it waits."""
    properties = message.properties
    size = _MESSAGE_OVERHEAD + len(message.payload) + len(message.topic)
    if properties is NO_PUBLISH_PROPERTIES:
        return size
    size += sum(len(name) + len(value) + _USER_PROPERTY_OVERHEAD for name, value in properties.user_properties)
    texts = properties.response_topic, properties.content_type, properties.correlation_data
    return size + sum(len(text) for text in texts if text is not None)
