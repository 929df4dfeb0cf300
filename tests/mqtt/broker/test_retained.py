"""Retained messages as they are read without a subscription: by topic, with their age, and in pages."""

import pytest
from msgspec.structs import replace

from thingmint.mqtt.broker.retained import RetainedMessages
from thingmint.mqtt.codec.packets import Publish, QoS
from thingmint.mqtt.codec.properties import PublishProperties
from thingmint.mqtt.queues.budgets import AccountBudget, budgets_of
from thingmint.mqtt.queues.kept_message import AccountMemory, kept
from thingmint.mqtt.queues.limits import BrokerLimits

LIMITS = BrokerLimits(retained_messages=4)


def put(messages: RetainedMessages, topic: str, now: float, payload: bytes = b"x", lifetime: int | None = None) -> bool:
    properties = PublishProperties(message_expiry_interval=lifetime)
    message = Publish(topic, payload, QoS.AT_LEAST_ONCE, retain=True, properties=properties)
    return messages.put(kept(message, now), now)


@pytest.fixture
def messages() -> RetainedMessages:
    budgets = budgets_of(LIMITS)
    return RetainedMessages(
        LIMITS, AccountMemory(AccountBudget(budgets.queued_bytes), AccountBudget(budgets.retained_bytes))
    )


def topics_after(messages: RetainedMessages, topic: str, count: int, now: float = 0) -> list[str]:
    return [each.message.topic for each in messages.read_after(topic, count, now)]


def test_a_message_is_read_as_it_was_published_with_its_age(messages: RetainedMessages) -> None:
    put(messages, "a", 10.0, b"payload")

    read = messages.read("a", 12.5)

    assert read is not None
    assert (read.age, read.message.payload, read.message.qos, read.message.retain) == (2.5, b"payload", 1, True)
    assert messages.read("b", 12.5) is None


def test_a_message_that_is_replaced_is_young_again_and_listed_once(messages: RetainedMessages) -> None:
    put(messages, "a", 0)
    put(messages, "a", 5, b"new")

    (read,) = messages.read_after("", 9, 6)

    assert (read.age, read.message.payload) == (1, b"new")


def test_pages_are_by_topic_and_begin_after_one_that_need_not_exist(messages: RetainedMessages) -> None:
    for topic in ("b", "a/b", "c", "a"):
        put(messages, topic, 0)

    assert topics_after(messages, "", 2) == ["a", "a/b"]
    assert topics_after(messages, "a/b", 2) == ["b", "c"]
    assert topics_after(messages, "a/a", 1) == ["a/b"]
    assert topics_after(messages, "c", 2) == []


def test_what_is_discarded_is_listed_no_longer(messages: RetainedMessages) -> None:
    for topic in ("a", "b"):
        put(messages, topic, 0)
    messages.discard("a")
    messages.discard("a")

    assert topics_after(messages, "", 9) == ["b"]


def test_what_has_expired_takes_no_place_on_a_page(messages: RetainedMessages) -> None:
    put(messages, "a", 0, lifetime=5)
    put(messages, "b", 0)
    put(messages, "c", 0, lifetime=50)

    (first, second) = messages.read_after("", 2, 10)

    assert (first.message.topic, second.message.topic) == ("b", "c")
    assert second.message.properties == replace(second.message.properties, message_expiry_interval=40)
    assert messages.read("a", 10) is None


def test_what_has_expired_makes_room(messages: RetainedMessages) -> None:
    for topic in ("a", "b", "c", "d"):
        put(messages, topic, 0, lifetime=5)

    assert not put(messages, "e", 4)
    assert put(messages, "e", 5)
    assert topics_after(messages, "", 9, 5) == ["e"]
