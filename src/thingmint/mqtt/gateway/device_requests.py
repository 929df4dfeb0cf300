"""Owns the handling of PUBLISH, SUBSCRIBE and UNSUBSCRIBE: refuse, handle here, or pass to the data plane.

MQTT 3.1.1 cannot refuse a message or give a reason, so AWS IoT ends the connection. MQTT 5 can, except for messages of
QoS 0.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final, Protocol

from thingmint.api.devices.device_api import DEVICE_OPERATIONS
from thingmint.api.wire.device_operation import DeviceRequest, Hearer
from thingmint.core.topics.names import InvalidTopic, is_reserved, parse_filter
from thingmint.mqtt.codec.packets import (
    Puback,
    Publish,
    QoS,
    ServerPacket,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.counters import Loss
from thingmint.mqtt.data_plane import DeviceConnection
from thingmint.mqtt.events import ClientSubscribed, ClientUnsubscribed, Link, MessageNotServed, Refused
from thingmint.mqtt.gateway.event_listeners import EventListener
from thingmint.mqtt.gateway.link.device_protocol import DeviceProtocol
from thingmint.mqtt.gateway.provisioning_queue import RequestingConnection
from thingmint.mqtt.gateway.services import Services
from thingmint.mqtt.queues.limits import MAX_SUBSCRIPTIONS
from thingmint.mqtt.rights.permissions import to_publish, to_subscribe
from thingmint.mqtt.rights.ports import DeviceAuthorizer, Requester

_NOT_AUTHORIZED: Final = "Not authorized"
_NOT_SERVED: Final = "The reserved topic is not served"
_GRANTED: Final = {
    QoS.AT_MOST_ONCE: ReasonCode.GRANTED_QOS_0,
    QoS.AT_LEAST_ONCE: ReasonCode.GRANTED_QOS_1,
}


class RequestSource(DeviceConnection, RequestingConnection, EventListener, Protocol):
    """The connection that a request came from."""

    @property
    def protocol(self) -> DeviceProtocol:
        """The protocol's state of the connection."""
        ...

    @property
    def authorizer(self) -> DeviceAuthorizer:
        """The device's compiled policies."""
        ...

    @property
    def requester(self) -> Requester:
        """The device as the caller of operations."""
        ...

    @property
    def link(self) -> Link:
        """The connection's identification in events."""
        ...

    def send(self, packet: ServerPacket) -> None:
        """Write an answer."""
        ...

    def refuse(self, refused: Refused) -> None:
        """Report to operators that a request was refused."""
        ...


async def publish(source: RequestSource, services: Services, message: Publish) -> bool:
    """Handle a message; return whether the data plane has accepted it.

    Raises PacketRefused if it can be refused only by ending the connection.
    """
    request = DEVICE_OPERATIONS.find(message.topic)
    refusal = _refusal(source, message, request)
    if refusal is not None:
        _refuse(source, message, refusal)
        return False
    if request is not None and request.operation.hears is Hearer.NOBODY:
        _drop(source, services, message)
        return False
    if request is not None:
        # The acknowledgement says that the request has arrived, and comes before its answer.
        _acknowledge(source, message, ReasonCode.SUCCESS)
        services.provisioning.request(source, source.requester, request, message.payload)
        return False
    code = await services.data_plane.publish(source, message)
    if code.is_failure:
        source.refuse(to_publish(message)[0].refused_for(code.name))
        _refuse(source, message, PacketRefused(code, "The message was not taken"))
        return False
    _acknowledge(source, message, ReasonCode.SUCCESS)
    return True


async def subscribe(source: RequestSource, services: Services, packet: Subscribe) -> None:
    """Answer each filter with a code; raise PacketRefused if MQTT 3.1.1 has no code for the refusal."""
    codes = [_judge(source, services, each) for each in packet.subscriptions]
    if ReasonCode.NOT_AUTHORIZED in codes and not source.protocol.is_5:
        raise PacketRefused(ReasonCode.NOT_AUTHORIZED, _NOT_AUTHORIZED)
    services.listeners.update(source)
    judged = list(zip(packet.subscriptions, codes, strict=True))
    foreign = [each for each, code in judged if code is None]
    granted = iter(await services.data_plane.subscribe(source, foreign) if foreign else ())
    answer = tuple(next(granted) if code is None else code for code in codes)
    for each, code in zip(packet.subscriptions, answer, strict=True):
        if code.is_failure and code is not ReasonCode.NOT_AUTHORIZED:
            source.refuse(to_subscribe(each.topic_filter).refused_for(code.name))
    source.send(Suback(packet.packet_id, answer))
    if foreign:
        services.data_plane.resume(source)
    subscribed = tuple(
        each.topic_filter for each, code in zip(packet.subscriptions, answer, strict=True) if not code.is_failure
    )
    if subscribed:
        services.events.receive(ClientSubscribed(source.link, services.clock.now(), subscribed))


async def unsubscribe(source: RequestSource, services: Services, packet: Unsubscribe) -> None:
    """End subscriptions; in MQTT 5 each filter is answered with a code."""
    own = [topic_filter in source.filters for topic_filter in packet.topic_filters]
    foreign = [each for each, is_own in zip(packet.topic_filters, own, strict=True) if not is_own]
    ended = iter(await services.data_plane.unsubscribe(source, foreign) if foreign else ())
    codes = tuple(
        _forget(source, each) if is_own else next(ended) for each, is_own in zip(packet.topic_filters, own, strict=True)
    )
    services.listeners.update(source)
    source.send(Unsuback(packet.packet_id, codes))
    ended_filters = (each for each, code in zip(packet.topic_filters, codes, strict=True) if code is ReasonCode.SUCCESS)
    unsubscribed = _for_event(ended_filters)
    if unsubscribed:
        services.events.receive(ClientUnsubscribed(source.link, services.clock.now(), unsubscribed))


def _for_event(topic_filters: Iterable[str]) -> tuple[str, ...]:
    """Return the filters that an event names: valid ones, each once, and not more than a client can have.

    The end of a subscription that does not exist is a success, too, so a client can send any number of any texts.
    """
    return tuple(each for each in islice(dict.fromkeys(topic_filters), MAX_SUBSCRIPTIONS) if _is_filter(each))


def _is_filter(text: str) -> bool:
    try:
        parse_filter(text)
    except InvalidTopic:
        return False
    return True


def _refusal(source: RequestSource, message: Publish, request: DeviceRequest | None) -> PacketRefused | None:
    authorizer = source.authorizer
    for needed in to_publish(message):
        if not needed.is_given_by(authorizer):
            source.refuse(needed.refused_by(authorizer))
            return PacketRefused(ReasonCode.NOT_AUTHORIZED, _NOT_AUTHORIZED)
    if not is_reserved(message.topic):
        return None
    # A message on …/accepted would be a forged answer; one that is retained would be an answer for ever.
    if request is None or (message.retain and request.operation.handler is not None):
        source.refuse(to_publish(message)[0].refused_for("TOPIC_NOT_SERVED"))
        return PacketRefused(ReasonCode.TOPIC_NAME_INVALID, _NOT_SERVED)
    return None


def _refuse(source: RequestSource, message: Publish, refusal: PacketRefused) -> None:
    if not source.protocol.is_5 or message.qos is QoS.AT_MOST_ONCE:
        raise refusal
    _acknowledge(source, message, refusal.reason_code)


def _drop(source: RequestSource, services: Services, message: Publish) -> None:
    """Acknowledge and drop a message; if the connection were ended instead, the client would send it again."""
    services.events.receive(MessageNotServed(source.link, services.clock.now(), message.topic))
    _acknowledge(source, message, ReasonCode.TOPIC_NAME_INVALID if source.protocol.is_5 else ReasonCode.SUCCESS)


def _acknowledge(source: RequestSource, message: Publish, code: ReasonCode) -> None:
    if message.qos is QoS.AT_LEAST_ONCE:
        source.send(Puback(message.packet_id, code))


def _judge(source: RequestSource, services: Services, subscription: Subscription) -> ReasonCode | None:
    """Return the code of a filter that is refused or handled here; None if the data plane handles it."""
    try:
        parsed = parse_filter(subscription.topic_filter)
    except InvalidTopic:
        return ReasonCode.TOPIC_FILTER_INVALID
    needed = to_subscribe(parsed.text)
    if not needed.is_given_by(source.authorizer):
        source.refuse(needed.refused_by(source.authorizer))
        return ReasonCode.NOT_AUTHORIZED
    if not is_reserved(parsed.pattern):
        return None
    # A shared subscription would hand one connection's answers to another.
    if parsed.group is not None or not DEVICE_OPERATIONS.are_heard_with(parsed.pattern):
        return ReasonCode.TOPIC_FILTER_INVALID
    if parsed.pattern not in source.filters and len(source.filters) >= MAX_SUBSCRIPTIONS:
        services.counters.lost(Loss.SUBSCRIPTION_LIMIT)
        return ReasonCode.QUOTA_EXCEEDED
    return _GRANTED[source.filters.add(parsed.pattern, subscription.qos)]


def _forget(source: RequestSource, topic_filter: str) -> ReasonCode:
    # The same filter may stand twice in one packet.
    return ReasonCode.SUCCESS if source.filters.remove(topic_filter) else ReasonCode.NO_SUBSCRIPTION_EXISTED
