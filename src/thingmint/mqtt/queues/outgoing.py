"""Owns one message on its way to one client: what the client gets of it, and the packet that is sent."""

import math
from dataclasses import dataclass, replace

from thingmint.core.topics.names import received_as
from thingmint.mqtt.codec.packets import Publish, QoS
from thingmint.mqtt.queues.kept_message import ENTRY_BYTES, KeptMessage


@dataclass(slots=True)
class Outgoing:
    """A message for one client, with its QoS and RETAIN as this client gets them; ``packet_id`` once it was sent.

    ``group`` is that of the shared subscription by which the message comes.
    """

    message: KeptMessage
    qos: QoS
    retain: bool
    packet_id: int = 0
    group: str | None = None

    @property
    def received_as(self) -> str:
        """What iot:Receive is asked about."""
        return received_as(self.message.publish.topic, self.group)

    @property
    def size(self) -> int:
        """How many bytes it counts for in the client's own bounds."""
        return self.message.size + ENTRY_BYTES


def as_sent(outgoing: Outgoing, packet_id: int, is_duplicate: bool, now: float) -> Publish:
    """Return the packet; of its time until it expires, what the message has waited is taken off (MQTT-3.3.2-6)."""
    publish, expires_at = outgoing.message.publish, outgoing.message.expires_at
    properties = publish.properties
    if expires_at is not None:
        properties = replace(properties, message_expiry_interval=math.ceil(expires_at - now))
    return Publish(publish.topic, publish.payload, outgoing.qos, outgoing.retain, is_duplicate, packet_id, properties)
