"""Owns one message to one client: its QoS and RETAIN for this client, and the packet that is sent."""

import math

from msgspec import Struct
from msgspec.structs import replace

from thingmint.core.topics.names import received_as
from thingmint.mqtt.codec.packets import Publish, QoS
from thingmint.mqtt.queues.kept_message import ENTRY_BYTES, KeptMessage


class Outgoing(Struct):
    """A message with its QoS and RETAIN for one client; ``packet_id`` is set when it has been sent.

    ``group`` is the group of the shared subscription that matched, if one did.
    """

    message: KeptMessage
    qos: QoS
    retain: bool
    packet_id: int = 0
    group: str | None = None

    @property
    def received_as(self) -> str:
        """The resource of iot:Receive."""
        return received_as(self.message.publish.topic, self.group)

    @property
    def size(self) -> int:
        """The bytes that count towards the client's limits."""
        return self.message.size + ENTRY_BYTES


def as_sent(outgoing: Outgoing, packet_id: int, is_duplicate: bool, now: float) -> Publish:
    """Return the packet; its message expiry interval is reduced by the time that it has waited (MQTT-3.3.2-6)."""
    publish, expires_at = outgoing.message.publish, outgoing.message.expires_at
    properties = publish.properties
    if expires_at is not None:
        properties = replace(properties, message_expiry_interval=math.ceil(expires_at - now))
    return Publish(publish.topic, publish.payload, outgoing.qos, outgoing.retain, is_duplicate, packet_id, properties)
