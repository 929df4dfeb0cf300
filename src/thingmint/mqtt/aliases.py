"""Owns the topic aliases that one MQTT 5 client has set on one connection; refuses to know what topics mean."""

from thingmint.mqtt.packets import Publish


class TopicAliases:
    """Kept by the connection: a message has its whole topic before anybody asks a policy about it."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._topics: dict[int, str] = {}

    def resolve(self, message: Publish) -> Publish:
        """Return the message with its whole topic and without an alias.

        Raises PacketRefused if the alias is above the maximum (TOPIC_ALIAS_INVALID) or stands for nothing
        (PROTOCOL_ERROR).
        """
        raise NotImplementedError
