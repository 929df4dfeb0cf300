"""Owns the memory accounting of messages: a message is kept and charged once, for any number of waiting clients.

While a message is retained, it is charged to the account's part of the memory for retained messages. Otherwise it is
charged to its part of the memory for waiting messages, as long as a queue, a will or a fan-out holds it. Each holder is
also charged for its entry.
"""

from typing import Final

from thingmint.mqtt.codec.packets import Publish
from thingmint.mqtt.codec.properties import NO_PUBLISH_PROPERTIES
from thingmint.mqtt.queues.budgets import AccountBudget

# The approximate overhead of Python's objects in bytes: for a message, for a user property, for a holder.
_MESSAGE_OVERHEAD: Final = 500
_USER_PROPERTY_OVERHEAD: Final = 200
ENTRY_BYTES: Final = 200


class KeptMessage:
    """A message as it was published. ``size`` is the number of bytes that are charged for it."""

    __slots__ = ("expires_at", "holders", "is_retained", "publish", "size")

    def __init__(self, publish: Publish, expires_at: float | None, size: int) -> None:
        self.publish = publish
        self.expires_at = expires_at
        self.size = size
        self.holders = 0
        self.is_retained = False

    def has_expired(self, now: float) -> bool:
        """Return whether the message has expired."""
        return self.expires_at is not None and self.expires_at <= now


def kept(message: Publish, now: float) -> KeptMessage:
    """Return a published message to be kept, without the parts that concern only the publisher's connection."""
    if message.packet_id or message.dup:
        message = Publish(message.topic, message.payload, message.qos, message.retain, properties=message.properties)
    expiry = message.properties.message_expiry_interval
    return KeptMessage(message, None if expiry is None else now + expiry, size_of(message))


def size_of(message: Publish) -> int:
    """Return how many bytes are charged for a message."""
    properties = message.properties
    size = _MESSAGE_OVERHEAD + len(message.payload) + len(message.topic)
    if properties is NO_PUBLISH_PROPERTIES:
        return size
    size += sum(len(name) + len(value) + _USER_PROPERTY_OVERHEAD for name, value in properties.user_properties)
    texts = properties.response_topic, properties.content_type, properties.correlation_data
    return size + sum(len(text) for text in texts if text is not None)


class AccountMemory:
    """The memory that one account's messages take of the memory budgets that all accounts share."""

    __slots__ = ("messages", "queued", "retained")

    def __init__(self, queued: AccountBudget, retained: AccountBudget) -> None:
        self.queued = queued
        self.retained = retained
        self.messages = 0
        """How many messages wait, counted once for each client; the queues update it."""

    def hold(self, message: KeptMessage) -> None:
        """Charge another holder of the message, and with the first holder the message itself."""
        first = not message.holders and not message.is_retained
        message.holders += 1
        self.queued.take(ENTRY_BYTES + message.size if first else ENTRY_BYTES)

    def release(self, message: KeptMessage) -> None:
        """Release the charge for a holder, and with the last holder the charge for the message itself."""
        message.holders -= 1
        last = not message.holders and not message.is_retained
        self.queued.take(-(ENTRY_BYTES + message.size) if last else -ENTRY_BYTES)

    def reserve(self, entries: int) -> None:
        """Charge entries that will be made for a held message; a negative number releases them."""
        self.queued.take(entries * ENTRY_BYTES)

    def hold_reserved(self, message: KeptMessage) -> None:
        """Count another holder of the message, for which an entry was reserved."""
        message.holders += 1

    def retain(self, message: KeptMessage) -> None:
        """Charge the message to the memory for retained messages from now on."""
        message.is_retained = True
        self.retained.take(message.size)
        if message.holders:
            self.queued.take(-message.size)

    def unretain(self, message: KeptMessage) -> None:
        """Charge the message to the memory for waiting messages from now on, if it still has a holder."""
        message.is_retained = False
        self.retained.take(-message.size)
        if message.holders:
            self.queued.take(message.size)
