"""Owns the probe of a broker's features: the service tries each of them with its own connections.

It leaves no data: sessions are clean, and the retained message is removed. Topics are below ``thingmint/probe/``. If
the broker's access rules do not permit a step of the probe, the feature is unknown, and counts as available.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from msgspec import structs
from msgspec.structs import replace

from thingmint.mqtt.codec.packets import ProtocolVersion, Publish, QoS, Subscription
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.gateway.link.device_protocol import MAX_PACKET_BYTES
from thingmint.mqtt.relay.abilities import BrokerAbilities
from thingmint.mqtt.relay.connections.upstream import Upstream
from thingmint.mqtt.relay.own_client import OwnClient

TOPICS: Final = "thingmint/probe"
# MQTT 5 brokers report their limit. Others are tested for AWS IoT's largest payload.
_LARGE: Final = 128 * 1024
_SMALLER: Final = 64 * 1024
_SMALL: Final = 8 * 1024

_ATTEMPTS: Final = 3

Session = Callable[[], AbstractAsyncContextManager[tuple[OwnClient, Upstream]]]


async def probed(session: Session, granted: BrokerAbilities, seconds: float) -> BrokerAbilities:
    """Return which of the granted abilities a broker really has; ``session`` opens a connection for each attempt.

    Raises PacketRefused or OSError if no connection can be opened.
    """
    is_3_1_1 = granted.version is ProtocolVersion.MQTT_3_1_1
    base = f"{TOPICS}/{uuid.uuid4()}"
    has_retained, has_shared, takes_any, size = await asyncio.gather(
        _has_retained(session, f"{base}/retained", seconds) if granted.has_retained else _no(),
        _tried(session, lambda client, upstream: _is_shared(client, upstream, f"{base}/shared", seconds))
        if granted.has_shared_subscriptions
        else _no(),
        _tried(session, lambda client, upstream: _is_kept(client, upstream, f"{base}/full.stop and space", seconds)),
        _packet_size(session, f"{base}/large", granted.maximum_packet_size if not is_3_1_1 else None),
    )
    return structs.replace(
        granted,
        has_retained=has_retained,
        has_shared_subscriptions=has_shared,
        takes_any_topic=takes_any,
        maximum_packet_size=size,
    )


async def _no() -> bool:
    return False


async def _tried(session: Session, attempt: Callable[[OwnClient, Upstream], Awaitable[bool]]) -> bool:
    """Return the result of an attempt; False if the broker ends the connection because of it."""
    async with session() as (client, upstream):
        try:
            return await attempt(client, upstream)
        except PacketRefused:
            return False


async def _has_retained(session: Session, topic: str, seconds: float) -> bool:
    async def found(client: OwnClient, upstream: Upstream) -> bool:
        # Other nodes of a cluster may get the message only after the acknowledgement.
        for _ in range(_ATTEMPTS):
            (code,) = await upstream.subscribe((Subscription(topic, QoS.AT_LEAST_ONCE),))
            if code is ReasonCode.NOT_AUTHORIZED:
                return True
            upstream.resume()
            message = await client.next_message(seconds)
            if message is not None and message.retain:
                return True
        return False

    if not await _takes(session, Publish(topic, b"retained", retain=True)):
        return False
    try:
        return await _tried(session, found)
    finally:
        await _takes(session, Publish(topic, b"", retain=True))


async def _is_shared(client: OwnClient, upstream: Upstream, topic: str, seconds: float) -> bool:
    # Brokers without shared subscriptions may treat the filter as an ordinary one, which no message matches.
    (code,) = await upstream.subscribe((Subscription(f"$share/probe/{topic}", QoS.AT_LEAST_ONCE),))
    if code.is_failure:
        return code is ReasonCode.NOT_AUTHORIZED
    upstream.resume()
    if not await _is_taken(upstream, Publish(topic, b"shared")):
        return True
    return await client.next_message(seconds) is not None


async def _is_kept(client: OwnClient, upstream: Upstream, topic: str, seconds: float) -> bool:
    # RabbitMQ converts full stops to slashes, so that clients with access to another topic would get the message.
    (code,) = await upstream.subscribe((Subscription(topic, QoS.AT_LEAST_ONCE),))
    if code.is_failure:
        return code is ReasonCode.NOT_AUTHORIZED
    upstream.resume()
    if not await _is_taken(upstream, Publish(topic, b"topic")):
        return False
    message = await client.next_message(seconds)
    return message is not None and message.topic == topic


async def _packet_size(session: Session, topic: str, granted: int | None) -> int:
    if granted is not None:
        return granted
    if await _takes(session, Publish(topic, bytes(_LARGE))):
        return MAX_PACKET_BYTES
    return _SMALLER if await _takes(session, Publish(topic, bytes(_SMALLER))) else _SMALL


async def _takes(session: Session, message: Publish) -> bool:
    async def attempt(client: OwnClient, upstream: Upstream) -> bool:
        del client
        return await _is_taken(upstream, message)

    return await _tried(session, attempt)


async def _is_taken(upstream: Upstream, message: Publish) -> bool:
    """Return whether the broker accepts the message, or refuses it only because the service lacks the permission."""
    code = await upstream.publish(replace(message, qos=QoS.AT_LEAST_ONCE, packet_id=upstream.new_id()))
    return code is ReasonCode.NOT_AUTHORIZED or not code.is_failure
