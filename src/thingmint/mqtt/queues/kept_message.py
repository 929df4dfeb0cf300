"""Owns how much memory messages take: a message is kept and charged once, however many clients it waits for.

A message is charged to the account's part of the room for retained messages while it is retained, and otherwise to its
part of the room for what waits, as long as a queue, a will or a fan-out holds it. Each holder is charged for its entry.
"""

from dataclasses import replace
from typing import Final

from thingmint.mqtt.codec.packets import Publish
from thingmint.mqtt.codec.properties import NO_PUBLISH_PROPERTIES
from thingmint.mqtt.queues.rooms import Part

# What Python's objects take besides the bytes in them, roughly: for a message, for a user property, for a holder.
_MESSAGE_OVERHEAD: Final = 500
_USER_PROPERTY_OVERHEAD: Final = 200
ENTRY_BYTES: Final = 200


class KeptMessage:
    """A message as it was published. ``size`` is the number of bytes that it is taken to occupy."""

    __slots__ = ("expires_at", "holders", "is_retained", "publish", "size")

    def __init__(self, publish: Publish, expires_at: float | None, size: int) -> None:
        self.publish = publish
        self.expires_at = expires_at
        self.size = size
        self.holders = 0
        self.is_retained = False

    def has_expired(self, now: float) -> bool:
        """Return whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now


def kept(message: Publish, now: float) -> KeptMessage:
    """Return a published message to be kept, without what belongs to its publisher's connection only."""
    if message.packet_id or message.dup:
        message = replace(message, packet_id=0, dup=False)
    expiry = message.properties.message_expiry_interval
    return KeptMessage(message, None if expiry is None else now + expiry, size_of(message))


def size_of(message: Publish) -> int:
    """Return how many bytes a message is taken to occupy."""
    properties = message.properties
    size = _MESSAGE_OVERHEAD + len(message.payload) + len(message.topic)
    if properties is NO_PUBLISH_PROPERTIES:
        return size
    size += sum(len(name) + len(value) + _USER_PROPERTY_OVERHEAD for name, value in properties.user_properties)
    texts = properties.response_topic, properties.content_type, properties.correlation_data
    return size + sum(len(text) for text in texts if text is not None)


class AccountMemory:
    """What the messages of one account take of the rooms that all accounts share."""

    __slots__ = ("messages", "queued", "retained")

    def __init__(self, queued: Part, retained: Part) -> None:
        self.queued = queued
        self.retained = retained
        self.messages = 0
        """How many messages wait for clients, each counted for each of its clients; kept by their queues."""

    def hold(self, message: KeptMessage) -> None:
        """Charge another holder of the message, and the message itself for its first holder."""
        first = not message.holders and not message.is_retained
        message.holders += 1
        self.queued.take(ENTRY_BYTES + message.size if first else ENTRY_BYTES)

    def release(self, message: KeptMessage) -> None:
        """Take back what was charged for a holder, and the message itself with its last holder."""
        message.holders -= 1
        last = not message.holders and not message.is_retained
        self.queued.take(-(ENTRY_BYTES + message.size) if last else -ENTRY_BYTES)

    def reserve(self, entries: int) -> None:
        """Charge entries that are about to be made of a message which is held; a negative number gives them back."""
        self.queued.take(entries * ENTRY_BYTES)

    def hold_reserved(self, message: KeptMessage) -> None:
        """Count another holder of the message in place of an entry that was reserved."""
        message.holders += 1

    def retain(self, message: KeptMessage) -> None:
        """Charge the message to the retained ones from now on."""
        message.is_retained = True
        self.retained.take(message.size)
        if message.holders:
            self.queued.take(-message.size)

    def unretain(self, message: KeptMessage) -> None:
        """Charge the message to what waits from now on, if somebody still holds it."""
        message.is_retained = False
        self.retained.take(-message.size)
        if message.holders:
            self.queued.take(message.size)
