"""Owns the data plane of an existing broker: one connection to it for each device; refuses what is reserved.

The broker has one space of topics and client ids, so it serves one account: that of the service.
Sessions, retained messages, wills and shared subscriptions are the broker's. Nothing that starts with ``$`` reaches it,
for any device, and nothing that it sends of such topics reaches a device.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from thingmint.core.identifiers import Scope
from thingmint.core.topics.names import InvalidTopic, check_topic, is_reserved, parse_filter
from thingmint.host.words import in_words
from thingmint.mqtt.broker.session import will_message
from thingmint.mqtt.codec.packets import Connect, Disconnect, Publish, QoS, Subscription
from thingmint.mqtt.codec.properties import NO_DISCONNECT_PROPERTIES, DisconnectProperties
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.counters import Counters
from thingmint.mqtt.data_plane import DeviceConnection, KeptWill, NotReadable, Opened, Retained
from thingmint.mqtt.relay.address import BrokerAddress, parse_broker_address
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.service import ServiceLink
from thingmint.mqtt.relay.terms import upstream_connect
from thingmint.mqtt.relay.upstream import Upstream, new_read_buffer

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Link:
    """What the relay has of one device."""

    upstream: Upstream
    session_expiry: int
    will: Publish | None
    filters: set[str] = field(default_factory=set)


class RelayDataPlane:
    """A DataPlane that passes on to a broker, whose address is such as ``unix:/run/mosquitto.sock``."""

    def __init__(
        self, address: str, scope: Scope, limits: RelayLimits | None = None, counters: Counters | None = None
    ) -> None:
        """Serve the account's devices; connect to nobody yet. Raises InvalidBrokerAddress."""
        self._address: BrokerAddress = parse_broker_address(address)
        self._scope = scope
        self._limits = limits or RelayLimits()
        self._counters = counters or Counters()
        self._links: dict[DeviceConnection, _Link] = {}
        self._of_client: dict[str, Upstream] = {}
        self._openings = asyncio.Semaphore(self._limits.openings_at_once)
        self._read_buffer = new_read_buffer()
        self._service = ServiceLink(self._address, scope, self._limits, self._read_buffer)

    def serves(self, scope: Scope) -> bool:
        """Return whether it is the account that the broker is for."""
        return scope == self._scope

    async def open(self, connection: DeviceConnection, connect: Connect) -> Opened:
        """Connect to the broker as the device; raise PacketRefused if it does not answer or refuses."""
        self._check_served(connection.scope)
        if connect.will is not None and not _may_be_published(connect.will.topic):
            raise PacketRefused(ReasonCode.TOPIC_NAME_INVALID, "The will's topic is reserved or not valid")
        try:
            async with asyncio.timeout(self._limits.open_seconds), self._openings:
                return await self._open(connection, upstream_connect(connection, connect, self._limits.sessions))
        except (OSError, TimeoutError) as error:
            log.warning("the broker at %s cannot be reached: %s", self._address, in_words(error))
            raise PacketRefused(ReasonCode.SERVER_UNAVAILABLE, "The broker is not available") from error

    async def publish(self, connection: DeviceConnection, message: Publish) -> ReasonCode:
        """Pass a message on and return the broker's code; raise PacketRefused if it does not answer."""
        if not _may_be_published(message.topic):
            return ReasonCode.TOPIC_NAME_INVALID
        upstream = self._upstream_of(connection)
        packet_id = upstream.new_id() if message.qos else 0
        return await upstream.publish(replace(message, packet_id=packet_id, dup=False))

    async def subscribe(
        self, connection: DeviceConnection, subscriptions: Sequence[Subscription]
    ) -> tuple[ReasonCode, ...]:
        """Ask the broker for what it may be asked for, and return the codes."""
        link = self._link_of(connection)
        filters_before = set(link.filters)
        codes = [self._refusal_of(connection, link, each) for each in subscriptions]
        judged = list(zip(subscriptions, codes, strict=True))
        passed_on = tuple(replace(each, qos=min(each.qos, QoS.AT_LEAST_ONCE)) for each, code in judged if code is None)
        granted = iter(await link.upstream.subscribe(passed_on) if passed_on else ())
        answer = tuple(next(granted) if code is None else code for code in codes)
        refused = {each.topic_filter for each, code in zip(subscriptions, answer, strict=True) if code.is_failure}
        link.filters -= refused - filters_before
        return answer

    async def unsubscribe(self, connection: DeviceConnection, topic_filters: Sequence[str]) -> tuple[ReasonCode, ...]:
        """Ask the broker to end subscriptions. As at AWS, ending what never was is a success."""
        link = self._link_of(connection)
        valid = tuple(each for each in topic_filters if _may_be_subscribed(each))
        ended = iter(await link.upstream.unsubscribe(valid) if valid else ())
        link.filters.difference_update(valid)
        codes = (next(ended) if _may_be_subscribed(each) else ReasonCode.SUCCESS for each in topic_filters)
        return tuple(code if code.is_failure else ReasonCode.SUCCESS for code in codes)

    def acknowledge(self, connection: DeviceConnection, packet_id: int) -> None:
        """Pass a PUBACK on, and deliver what has waited for it."""
        link = self._links.get(connection)
        if link is not None:
            link.upstream.acknowledge(packet_id)
            link.upstream.resume()

    def resume(self, connection: DeviceConnection) -> None:
        """Deliver what waits."""
        link = self._links.get(connection)
        if link is not None:
            link.upstream.resume()

    def will_of(self, connection: DeviceConnection) -> KeptWill | None:
        """Return None: the broker publishes the will."""
        del connection
        return None

    async def close(
        self, connection: DeviceConnection, *, clean: bool, session_expiry_interval: int | None = None
    ) -> None:
        """Leave the broker: with a DISCONNECT, or as a device that was lost, so that its will is published."""
        link = self._links.pop(connection, None)
        if link is not None:
            if self._of_client.get(connection.client_id) is link.upstream:
                del self._of_client[connection.client_id]
            # The broker publishes the will by itself: what it may not publish must be taken back first.
            if not clean and link.will is not None:
                clean = not await connection.will_right.allows(link.will)
            await link.upstream.leave(self._farewell(link, clean, session_expiry_interval))

    def advance(self) -> None:
        """Do what is due on each connection."""
        now = asyncio.get_running_loop().time()
        self._service.advance(now)
        for link in tuple(self._links.values()):
            link.upstream.advance(now)

    async def publish_own(self, scope: Scope, message: Publish) -> ReasonCode:
        """Pass a message of the service on and return the broker's code; raise PacketRefused if it does not answer."""
        self._check_served(scope)
        if not _may_be_published(message.topic):
            return ReasonCode.TOPIC_NAME_INVALID
        return await self._service.publish(message)

    def retained(self, scope: Scope, topic: str) -> Retained | None:
        """Refuse: MQTT has no way to read what is retained without subscribing, nor to list it."""
        raise NotReadable

    def retained_after(self, scope: Scope, topic: str, count: int) -> Sequence[Retained]:
        """Refuse likewise."""
        raise NotReadable

    async def stop(self) -> None:
        """End the service's own connection."""
        await self._service.close()

    def _check_served(self, scope: Scope) -> None:
        # The callers have asked `serves` before. This check keeps a mistake there from mixing up accounts.
        if not self.serves(scope):
            raise PacketRefused(ReasonCode.NOT_AUTHORIZED, "The broker is for another account")

    async def _open(self, connection: DeviceConnection, connect: Connect) -> Opened:
        earlier = self._of_client.get(connection.client_id)
        upstream = await self._address.connect(
            lambda: Upstream(connection, self._limits, self._read_buffer, self._counters)
        )
        try:
            if earlier is not None:
                earlier.has_successor = True
            terms = await upstream.open(connect)
        except BaseException:
            if earlier is not None:
                earlier.has_successor = False
            upstream.abort()
            raise
        # The broker has closed the earlier connection, or will at once; another may have come up meanwhile.
        taken_over = self._of_client.get(connection.client_id)
        if taken_over is not None:
            taken_over.lose(ReasonCode.SESSION_TAKEN_OVER)
        will = None if connect.will is None else will_message(connect.will)
        self._links[connection] = _Link(upstream, terms.session_expiry_interval, will)
        self._of_client[connection.client_id] = upstream
        return Opened(terms.session_present, terms.session_expiry_interval)

    def _link_of(self, connection: DeviceConnection) -> _Link:
        link = self._links.get(connection)
        if link is None:
            raise PacketRefused(ReasonCode.SERVER_UNAVAILABLE, "The broker is not available")
        return link

    def _upstream_of(self, connection: DeviceConnection) -> Upstream:
        return self._link_of(connection).upstream

    def _refusal_of(self, connection: DeviceConnection, link: _Link, subscription: Subscription) -> ReasonCode | None:
        if not _may_be_subscribed(subscription.topic_filter):
            return ReasonCode.TOPIC_FILTER_INVALID
        room = self._limits.sessions.subscriptions - connection.own_filters
        if subscription.topic_filter not in link.filters and len(link.filters) >= room:
            return ReasonCode.QUOTA_EXCEEDED
        refusal = link.upstream.refusal_of_filter(parse_filter(subscription.topic_filter))
        if refusal is None:
            link.filters.add(subscription.topic_filter)
        return refusal

    def _farewell(self, link: _Link, clean: bool, session_expiry_interval: int | None) -> Disconnect | None:
        properties = NO_DISCONNECT_PROPERTIES
        # MQTT 5, 3.14.2.2.2: what was to end with its connection cannot be made to last.
        if session_expiry_interval is not None and link.session_expiry:
            expiry = min(session_expiry_interval, self._limits.sessions.max_session_expiry)
            properties = DisconnectProperties(session_expiry_interval=expiry)
        if clean:
            return Disconnect(properties=properties)
        if properties is not NO_DISCONNECT_PROPERTIES:
            return Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE, properties)
        return None


def _may_be_published(topic: str) -> bool:
    try:
        check_topic(topic)
    except InvalidTopic:
        return False
    return not is_reserved(topic)


def _may_be_subscribed(text: str) -> bool:
    try:
        topic_filter = parse_filter(text)
    except InvalidTopic:
        return False
    return not is_reserved(topic_filter.pattern)
