"""Owns operators' watches of topics: each is a subscription with a limited queue, which drops messages when it is full.

For the data plane a watch is another connection of the account, which receives at QoS 0 and sends nothing.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from thingmint.api.devices.live_devices import WatchedMessage
from thingmint.core.error_text import in_words
from thingmint.core.errors import InvalidRequest, ServiceUnavailable, Throttled
from thingmint.core.identifiers import CertificateId, Scope
from thingmint.core.topics.names import InvalidTopic, is_reserved, parse_filter
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Publish, QoS, Subscription
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.codec.shared_publish import SharedPublish
from thingmint.mqtt.data_plane import DataPlane, Delivery, NoWill, WillRight

MOST_WATCHES: Final = 32
MOST_QUEUED: Final = 200
_NO_CERTIFICATE: Final = CertificateId("0" * 64)


class TopicWatch:
    """Implements `api.devices.live_devices.Watch`, and `mqtt.data_plane.DeviceConnection` without a device."""

    version = ProtocolVersion.MQTT_5
    principal_id = _NO_CERTIFICATE
    receive_window = MOST_QUEUED
    own_filters = 0

    def __init__(self, scope: Scope, client_id: str, may_see: Callable[[str], bool]) -> None:
        self.scope = scope
        self.client_id = client_id
        self.is_over = False
        self.dropped = 0
        self._may_see = may_see
        self._queue: asyncio.Queue[WatchedMessage] = asyncio.Queue(MOST_QUEUED)

    async def next(self) -> WatchedMessage:
        """Return the next message."""
        return await self._queue.get()

    @property
    def will_right(self) -> WillRight:
        """The decision for a connection without a will."""
        return NoWill()

    def may_receive(self, topic: str) -> bool:
        """Return whether the operator may see messages on the topic."""
        return self._may_see(topic)

    def deliver(self, message: Publish) -> Delivery:
        """Queue a message until it is read; drop it if there is no room."""
        try:
            self._queue.put_nowait(
                WatchedMessage(message.topic, message.payload, int(message.qos), retain=message.retain)
            )
        except asyncio.QueueFull:
            self.dropped += 1
        # An operator who reads slowly must not delay other receivers.
        return Delivery.WRITTEN

    def deliver_shared(self, message: SharedPublish, packet_id: int) -> Delivery:
        """Queue a message that other clients get, too."""
        return self.deliver(message.message(packet_id))

    def disconnect(self, reason_code: ReasonCode) -> None:
        """Stop receiving."""
        del reason_code
        self.is_over = True


class TopicWatches:
    """Opens watches on a data plane, up to a maximum number at a time."""

    def __init__(self, data_plane: DataPlane, new_id: Callable[[], str]) -> None:
        self._data_plane = data_plane
        self._new_id = new_id
        self._room = MOST_WATCHES

    @contextlib.asynccontextmanager
    async def open(self, scope: Scope, topic_filter: str, may_see: Callable[[str], bool]) -> AsyncIterator[TopicWatch]:
        """Watch until the context ends; raise InvalidRequest, Throttled or ServiceUnavailable."""
        _require_filter(topic_filter)
        if self._room <= 0:
            raise Throttled("Too many operators watch topics of this node")
        self._room -= 1
        watch = TopicWatch(scope, f"thingmint-watch-{self._new_id()}", may_see)
        try:
            await self._subscribe(watch, topic_filter)
            yield watch
        finally:
            self._room += 1
            watch.is_over = True
            await self._data_plane.close(watch, clean=True, session_expiry_interval=0)

    async def _subscribe(self, watch: TopicWatch, topic_filter: str) -> None:
        connect = Connect(watch.version, watch.client_id)
        try:
            await self._data_plane.open(watch, connect)
            codes = await self._data_plane.subscribe(watch, [Subscription(topic_filter, QoS.AT_MOST_ONCE)])
        except PacketRefused as error:
            raise ServiceUnavailable("The broker does not take the subscription now") from error
        if codes[0].is_failure:
            raise InvalidRequest("The broker refuses the topic filter")
        self._data_plane.resume(watch)


def _require_filter(topic_filter: str) -> None:
    try:
        parse_filter(topic_filter)
    except InvalidTopic as error:
        raise InvalidRequest(f"The topic filter is not valid: {in_words(error)}") from error
    if is_reserved(topic_filter):
        raise InvalidRequest("Topics that start with $ cannot be watched")
