"""Owns the encoding of SUBSCRIBE and UNSUBSCRIBE. Does not validate topic filters."""

from collections.abc import Callable
from typing import Final, TypeVar

from thingmint.core.topics.names import SHARED_PREFIX
from thingmint.mqtt.codec import property_bytes, wire
from thingmint.mqtt.codec.packets import QoS, RetainHandling, Subscribe, Subscription, Unsubscribe
from thingmint.mqtt.codec.wire import Cursor, malformed, violation

_Item = TypeVar("_Item")

_NO_LOCAL_SHIFT, _AS_PUBLISHED_SHIFT, _HANDLING_SHIFT = 2, 3, 4
# MQTT 5, 3.8.3.1. Values with a reserved bit, QoS 3 or retain handling 3 are not in the table.
_OPTIONS_5: Final = {
    qos | no_local << _NO_LOCAL_SHIFT | as_published << _AS_PUBLISHED_SHIFT | handling << _HANDLING_SHIFT: (
        qos,
        bool(no_local),
        bool(as_published),
        handling,
    )
    for qos in QoS
    for no_local in (0, 1)
    for as_published in (0, 1)
    for handling in RetainHandling
}
# MQTT-3.8.3-4: the upper six bits are reserved.
_OPTIONS_3_1_1: Final = {qos.value: (qos, False, False, RetainHandling.ALWAYS) for qos in QoS}


def decode_subscribe_3_1_1(cursor: Cursor) -> Subscribe:
    """Return the packet; raise PacketRefused if it violates the protocol."""
    return Subscribe(cursor.packet_id(), _read_all(cursor, _read_subscription_3_1_1))


def decode_subscribe_5(cursor: Cursor) -> Subscribe:
    """Return the packet; raise PacketRefused if it violates the protocol."""
    packet_id, properties = cursor.packet_id(), property_bytes.SUBSCRIBE.read(cursor)
    return Subscribe(packet_id, _read_all(cursor, _read_subscription_5), properties)


def encode_subscribe(packet: Subscribe, *, is_5: bool) -> bytes:
    """Return the packet's body; raise ValueError if the version of MQTT cannot encode it."""
    properties = property_bytes.SUBSCRIBE.write(packet.properties) if is_5 else b""
    subscriptions = [
        _filter_bytes(subscription.topic_filter) + wire.byte(_options(subscription, is_5=is_5))
        for subscription in packet.subscriptions
    ]
    return _joined(wire.packet_id(packet.packet_id), properties, subscriptions)


def decode_unsubscribe_3_1_1(cursor: Cursor) -> Unsubscribe:
    """Return the packet; raise PacketRefused if it violates the protocol."""
    return Unsubscribe(cursor.packet_id(), _read_all(cursor, _read_filter))


def decode_unsubscribe_5(cursor: Cursor) -> Unsubscribe:
    """Return the packet; raise PacketRefused if it violates the protocol."""
    packet_id, properties = cursor.packet_id(), property_bytes.UNSUBSCRIBE.read(cursor)
    return Unsubscribe(packet_id, _read_all(cursor, _read_filter), properties)


def encode_unsubscribe(packet: Unsubscribe, *, is_5: bool) -> bytes:
    """Return the packet's body; raise ValueError if a value cannot be encoded."""
    properties = property_bytes.UNSUBSCRIBE.write(packet.properties) if is_5 else b""
    filters = [_filter_bytes(topic_filter) for topic_filter in packet.topic_filters]
    return _joined(wire.packet_id(packet.packet_id), properties, filters)


def _read_all(cursor: Cursor, read: Callable[[Cursor], _Item]) -> tuple[_Item, ...]:
    if cursor.at_end():
        raise violation("There is no topic filter")
    items = []
    while not cursor.at_end():
        items.append(read(cursor))
    return tuple(items)


def _read_filter(cursor: Cursor) -> str:
    topic_filter = cursor.text()
    if not topic_filter:
        raise malformed("A topic filter is empty")
    return topic_filter


def _read_subscription_3_1_1(cursor: Cursor) -> Subscription:
    topic_filter, options = _read_filter(cursor), _OPTIONS_3_1_1.get(cursor.byte())
    if options is None:
        raise malformed("The options of a subscription are not valid")
    return Subscription(topic_filter, *options)


def _read_subscription_5(cursor: Cursor) -> Subscription:
    topic_filter, options = _read_filter(cursor), _OPTIONS_5.get(cursor.byte())
    if options is None:
        raise malformed("The options of a subscription are not valid")
    subscription = Subscription(topic_filter, *options)
    if subscription.no_local and topic_filter.startswith(SHARED_PREFIX):
        raise violation("A shared subscription has the option No Local")
    return subscription


def _options(subscription: Subscription, *, is_5: bool) -> int:
    if not is_5:
        return subscription.qos
    if subscription.no_local and subscription.topic_filter.startswith(SHARED_PREFIX):
        raise ValueError("a shared subscription cannot have the option No Local")
    return (
        subscription.qos
        | subscription.no_local << _NO_LOCAL_SHIFT
        | subscription.retain_as_published << _AS_PUBLISHED_SHIFT
        | subscription.retain_handling << _HANDLING_SHIFT
    )


def _filter_bytes(topic_filter: str) -> bytes:
    if not topic_filter:
        raise ValueError("a topic filter is not empty")
    return wire.text(topic_filter)


def _joined(packet_id: bytes, properties: bytes, items: list[bytes]) -> bytes:
    if not items:
        raise ValueError("there is no topic filter")
    return b"".join((packet_id, properties, *items))
