"""Owns the features of a broker that devices can use; the probe determines them, and a CONNACK may reduce them."""

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from thingmint.core.topics.names import TopicFilter, has_wildcard
from thingmint.mqtt.codec.packets import ProtocolVersion, Publish, QoS
from thingmint.mqtt.codec.properties import ConnackProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.gateway.link.device_protocol import MAX_PACKET_BYTES

# NATS before 2.10 ends connections because of topics with one of these; RabbitMQ converts full stops to slashes.
UNUSUAL_IN_TOPICS = (".", " ")


class BrokerAbilities(Struct, frozen=True):
    """The features that the relay can use with a broker. Sizes are in bytes."""

    version: ProtocolVersion
    has_retained: bool = True
    has_shared_subscriptions: bool = True
    has_wildcards: bool = True
    has_qos_1: bool = True
    takes_any_topic: bool = True
    """Whether topics may contain full stops and spaces, and are delivered unchanged."""
    maximum_packet_size: int = MAX_PACKET_BYTES
    """At most AWS IoT's limit."""

    def within(self, properties: ConnackProperties) -> "BrokerAbilities":
        """Return these abilities reduced to what an MQTT 5 broker grants in CONNACK."""
        return replace(
            self,
            has_retained=self.has_retained and properties.retain_available is not False,
            has_shared_subscriptions=self.has_shared_subscriptions
            and properties.shared_subscription_available is not False,
            has_wildcards=self.has_wildcards and properties.wildcard_subscription_available is not False,
            has_qos_1=self.has_qos_1 and properties.maximum_qos != QoS.AT_MOST_ONCE,
            maximum_packet_size=min(self.maximum_packet_size, properties.maximum_packet_size or MAX_PACKET_BYTES),
        )

    def refusal(self, message: Publish, size: int) -> ReasonCode | None:
        """Return the code if the broker would end the connection because of the message; None if it accepts it."""
        if message.qos and not self.has_qos_1:
            return ReasonCode.QOS_NOT_SUPPORTED
        if message.retain and not self.has_retained:
            return ReasonCode.RETAIN_NOT_SUPPORTED
        if size > self.maximum_packet_size:
            return ReasonCode.PACKET_TOO_LARGE
        if not (self.takes_any_topic or _is_usual(message.topic)):
            return ReasonCode.TOPIC_NAME_INVALID
        return None

    def refusal_of_filter(self, topic_filter: TopicFilter) -> ReasonCode | None:
        """Return the code if the broker would end the connection because of the filter; None if it accepts it."""
        if topic_filter.group is not None and not self.has_shared_subscriptions:
            return ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
        if has_wildcard(topic_filter.pattern) and not self.has_wildcards:
            return ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED
        if not (self.takes_any_topic or _is_usual(topic_filter.pattern)):
            return ReasonCode.TOPIC_FILTER_INVALID
        return None

    @property
    def version_in_words(self) -> str:
        """The version of MQTT on connections to the broker."""
        return "MQTT 5" if self.version is ProtocolVersion.MQTT_5 else "MQTT 3.1.1"

    def __str__(self) -> str:
        version = self.version_in_words
        return f"{version}; it is without {', '.join(self.missing)}" if self.missing else version

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the features that AWS IoT has and the broker does not."""
        return tuple(self._missing())

    def _missing(self) -> Iterator[str]:
        if self.version is ProtocolVersion.MQTT_3_1_1:
            yield "properties of messages and other features of MQTT 5"
        if not self.has_retained:
            yield "retained messages"
        if not self.has_shared_subscriptions:
            yield "shared subscriptions"
        if not self.has_wildcards:
            yield "wildcards in subscriptions"
        if not self.has_qos_1:
            yield "QoS 1"
        if not self.takes_any_topic:
            yield "topics with full stops or spaces"
        if self.maximum_packet_size < MAX_PACKET_BYTES:
            yield f"packets of more than {self.maximum_packet_size} bytes"


def _is_usual(topic: str) -> bool:
    return not any(each in topic for each in UNUSUAL_IN_TOPICS)
