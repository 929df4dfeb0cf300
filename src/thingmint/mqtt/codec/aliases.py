"""Owns the topic aliases that an MQTT 5 client has set on a connection. Independent of the topics' meaning."""

from msgspec.structs import replace

from thingmint.mqtt.codec.packets import Publish
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode


class TopicAliases:
    """The aliases of one connection; they are resolved before policies are evaluated for a message."""

    __slots__ = ("_maximum", "_topics")

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._topics: dict[int, str] = {}

    def resolve(self, message: Publish) -> Publish:
        """Return the message with its topic and without an alias.

        Raises PacketRefused if the alias is above the maximum (TOPIC_ALIAS_INVALID) or was not set (PROTOCOL_ERROR).
        """
        alias = message.properties.topic_alias
        if alias is None:
            return message
        if alias > self._maximum:
            raise PacketRefused(ReasonCode.TOPIC_ALIAS_INVALID, f"Topic aliases go up to {self._maximum}")
        if message.topic:
            self._topics[alias] = message.topic
        elif alias not in self._topics:
            raise PacketRefused(ReasonCode.PROTOCOL_ERROR, "The topic alias stands for no topic yet")
        return replace(message, topic=self._topics[alias], properties=replace(message.properties, topic_alias=None))
