"""Owns the check of the texts that a client's message carries beside its topic. Independent of its other parts."""

from itertools import chain

from thingmint.core.topics.texts import has_unsafe_character
from thingmint.mqtt.codec.properties import NO_PUBLISH_PROPERTIES, PublishProperties, UserProperties, WillProperties
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode


def check_texts(properties: PublishProperties | WillProperties) -> None:
    """Raise PacketRefused if a receiver of the message could end its connection because of a text in it."""
    if properties is NO_PUBLISH_PROPERTIES:
        return
    response_topic = properties.response_topic
    if response_topic is not None and not response_topic:
        # It is the name of a topic (MQTT-4.7.3-1).
        raise PacketRefused(ReasonCode.PROTOCOL_ERROR, "A response topic is empty")
    check_user_properties((*properties.user_properties, (response_topic or "", properties.content_type or "")))


def check_user_properties(properties: UserProperties) -> None:
    """Raise PacketRefused if one of them has a control character or a noncharacter."""
    if has_unsafe_character("".join(chain.from_iterable(properties))):
        raise PacketRefused(ReasonCode.MALFORMED_PACKET, "A text holds a control character or a noncharacter")
