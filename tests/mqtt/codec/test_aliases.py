"""A topic alias stands for the topic with which it was last sent, on its own connection."""

import pytest

from thingmint.mqtt.codec.aliases import TopicAliases
from thingmint.mqtt.codec.packets import Publish
from thingmint.mqtt.codec.properties import PublishProperties
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode


def message(topic: str, alias: int | None) -> Publish:
    return Publish(topic, b"payload", properties=PublishProperties(topic_alias=alias, content_type="text"))


def test_an_alias_stands_for_its_topic() -> None:
    aliases = TopicAliases(8)
    assert aliases.resolve(message("a", 8)) == message("a", None)
    assert aliases.resolve(message("", 8)) == message("a", None)
    assert aliases.resolve(message("b", 8)) == message("b", None)
    assert aliases.resolve(message("", 8)) == message("b", None)


def test_a_message_without_an_alias_is_left_as_it_is() -> None:
    untouched = message("a", None)
    assert TopicAliases(0).resolve(untouched) is untouched


def test_an_alias_above_the_maximum_is_refused() -> None:
    with pytest.raises(PacketRefused) as refused:
        TopicAliases(8).resolve(message("a", 9))
    assert refused.value.reason_code is ReasonCode.TOPIC_ALIAS_INVALID


def test_an_alias_that_stands_for_nothing_is_refused() -> None:
    with pytest.raises(PacketRefused) as refused:
        TopicAliases(8).resolve(message("", 1))
    assert refused.value.reason_code is ReasonCode.PROTOCOL_ERROR
