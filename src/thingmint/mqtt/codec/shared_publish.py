"""Owns the encoded bytes of one message for many clients, encoded once for each version of MQTT."""

from typing import Final

from msgspec.structs import replace

from thingmint.mqtt.codec.packets import Publish, QoS
from thingmint.mqtt.codec.publish_bytes import encode_publish

_TYPE_BYTES: Final = 1
_LENGTH_BYTES: Final = 2
_CONTINUES: Final = 0x80


class SharedPublish:
    """A message at one QoS and RETAIN; only the packet identifier differs between clients.

    ``group`` is the group of the shared subscription, if the message is for one client through it.
    """

    __slots__ = ("_parts", "_publish", "group", "qos", "retain")

    def __init__(self, publish: Publish, qos: QoS, retain: bool, group: str | None = None) -> None:
        self.group = group
        self.qos = qos
        self.retain = retain
        if not qos and not publish.qos and publish.retain is retain:
            # It is sent as it came.
            self._publish = publish
        else:
            # Any identifier, because it is cut out again.
            self._publish = Publish(
                publish.topic, publish.payload, qos, retain, packet_id=int(qos > 0), properties=publish.properties
            )
        # The bytes before and after the packet identifier, by whether the version is MQTT 5.
        self._parts: dict[bool, tuple[bytes, bytes]] = {}

    def is_of(self, publish: Publish, qos: QoS, retain: bool) -> bool:
        """Return whether these bytes encode the message at this QoS and RETAIN.

        Always False for a message that expires, because its remaining time is part of its bytes.
        """
        own = self._publish
        return (
            publish.payload is own.payload
            and publish.topic is own.topic
            and publish.properties is own.properties
            and qos is self.qos
            and retain is self.retain
            and own.properties.message_expiry_interval is None
        )

    def message(self, packet_id: int) -> Publish:
        """Return the packet with this identifier, which is 0 at QoS 0."""
        return replace(self._publish, packet_id=packet_id)

    def bytes_for(self, packet_id: int, *, is_5: bool) -> bytes:
        """Return the packet's bytes with this identifier, which is 0 at QoS 0."""
        parts = self._parts.get(is_5)
        if parts is None:
            parts = self._parts[is_5] = self._split(is_5)
        if not self._publish.qos:
            return parts[0]
        return b"%b%b%b" % (parts[0], packet_id.to_bytes(2, "big"), parts[1])

    def _split(self, is_5: bool) -> tuple[bytes, bytes]:
        encoded = encode_publish(self._publish, is_5=is_5)
        if not self._publish.qos:
            return encoded, b""
        at = _TYPE_BYTES
        while encoded[at] & _CONTINUES:
            at += 1
        at += 1 + _LENGTH_BYTES + len(self._publish.topic.encode())
        return encoded[:at], encoded[at + 2 :]
