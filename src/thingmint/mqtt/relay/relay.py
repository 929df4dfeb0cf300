"""Owns the data plane on existing brokers: one connection for each device.

A broker has one namespace of topics and client ids, so each account needs a separate broker, virtual host or account of
a broker (`spec`). The broker keeps sessions, retained messages, wills and shared subscriptions. No topic or filter that
starts with ``$`` is passed to the broker, and no message on such a topic is passed from the broker to a device.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from msgspec import Struct, field, structs

from thingmint.core.error_text import in_words
from thingmint.core.identifiers import Scope
from thingmint.core.topics.names import InvalidTopic, check_topic, is_reserved, parse_filter
from thingmint.mqtt.broker.session import will_message
from thingmint.mqtt.codec.packets import Connect, Disconnect, ProtocolVersion, Publish, QoS, Subscription
from thingmint.mqtt.codec.properties import NO_DISCONNECT_PROPERTIES, DisconnectProperties
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.codec.repeated_publish import LARGEST_BYTES
from thingmint.mqtt.counters import Counters, Loss, Traffic
from thingmint.mqtt.data_plane import DeviceConnection, KeptWill, MessageTaker, NotReadable, Offer, Opened, Retained
from thingmint.mqtt.relay import mqtt_3_1_1
from thingmint.mqtt.relay.abilities import BrokerAbilities
from thingmint.mqtt.relay.brokers.account_broker import AccountBroker
from thingmint.mqtt.relay.brokers.broker_nodes import BrokerUnreachable
from thingmint.mqtt.relay.brokers.spec import Brokers
from thingmint.mqtt.relay.connections.input import SharedReading
from thingmint.mqtt.relay.connections.upstream import Upstream
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.service import ServiceLink
from thingmint.mqtt.relay.terms import BrokerTerms, upstream_connect
from thingmint.registration.kernel.turns import Pace

# A cache, because devices publish repeatedly to the same few topics.
_TOPICS: Final = 4096

log = logging.getLogger(__name__)


class _Link(Struct):
    """The relay's state of one device."""

    upstream: Upstream
    broker: AccountBroker
    terms: BrokerTerms
    will: Publish | None
    asked: Connect
    filters: set[str] = field(default_factory=set)

    @property
    def is_3_1_1(self) -> bool:
        """Whether the broker supports only MQTT 3.1.1."""
        return self.terms.abilities.version is ProtocolVersion.MQTT_3_1_1


class RelayDataPlane:
    """A DataPlane that passes messages to the accounts' brokers."""

    def __init__(self, brokers: Brokers, limits: RelayLimits | None = None, counters: Counters | None = None) -> None:
        """Take the brokers of the accounts without connecting."""
        self._brokers = brokers
        self._limits = limits or RelayLimits()
        self._counters = counters or Counters()
        self._links: dict[DeviceConnection, _Link] = {}
        # The rest of those whose due work has begun.
        self._to_advance: Iterator[_Link] | None = None
        self._of_client: dict[tuple[Scope, str], Upstream] = {}
        self._openings = asyncio.Semaphore(self._limits.openings_at_once)
        # Made when there is an event loop.
        self._reading: SharedReading | None = None
        self._services: dict[Scope, tuple[AccountBroker, ServiceLink]] = {}

    def serves(self, scope: Scope) -> bool:
        """Return whether the account has a broker."""
        return self._brokers.of(scope) is not None

    @property
    def brokers(self) -> Sequence[AccountBroker]:
        """The brokers that accounts have used; those that the settings name are among them once this has started."""
        return [broker for broker, _ in self._services.values()]

    async def start(self) -> None:
        """Determine the brokers' abilities; retry later for brokers that do not answer."""
        await asyncio.gather(*(self._broker_of(scope).start() for scope in self._brokers.named))

    async def open(self, connection: DeviceConnection, connect: Connect) -> Opened:
        """Connect to the broker as the device; raise PacketRefused if the broker does not answer or refuses."""
        broker = self._broker_of(connection.scope)
        if connect.will is not None and not _may_be_published(connect.will.topic):
            raise PacketRefused(ReasonCode.TOPIC_NAME_INVALID, "The will's topic is reserved or not valid")
        login = broker.login(str(connection.principal_id), connection.client_id)
        try:
            async with asyncio.timeout(self._limits.open_seconds), self._openings:
                asked = upstream_connect(connection, connect, self._limits.sessions, login)
                return await self._open(broker, connection, asked)
        except (BrokerUnreachable, OSError, TimeoutError) as error:
            log.warning("the broker %s cannot be reached: %s", broker, in_words(error))
            raise PacketRefused(ReasonCode.SERVER_UNAVAILABLE, "The broker is not available") from error

    async def publish(self, connection: DeviceConnection, message: Publish) -> ReasonCode:
        """Pass a message to the broker and return its code; raise PacketRefused if it does not answer."""
        self._counters.passed(Traffic.RECEIVED)
        if not _may_be_published(message.topic):
            return ReasonCode.TOPIC_NAME_INVALID
        link = self._link_of(connection)
        upstream = link.upstream
        if link.is_3_1_1 and mqtt_3_1_1.loses(message):
            self._counters.lost(Loss.PROPERTIES)
        if message.qos:
            # At QoS 0 there is no packet id and no DUP, so the message is passed on unchanged.
            message = structs.replace(message, packet_id=upstream.new_id(), dup=False)
        return await upstream.publish(message)

    def taker_of(self, connection: DeviceConnection) -> MessageTaker | None:
        """Return the broker's connection, if the broker takes packets of the size of such messages."""
        link = self._links.get(connection)
        if link is None or link.terms.abilities.maximum_packet_size < LARGEST_BYTES:
            return None
        return link.upstream

    async def subscribe(
        self, connection: DeviceConnection, subscriptions: Sequence[Subscription]
    ) -> tuple[ReasonCode, ...]:
        """Subscribe at the broker to the filters that it supports, and return all codes."""
        link = self._link_of(connection)
        filters_before = set(link.filters)
        unsaid = mqtt_3_1_1.refusals(subscriptions) if link.is_3_1_1 else {}
        codes = [unsaid.get(each.topic_filter) or self._refusal_of(connection, link, each) for each in subscriptions]
        judged = list(zip(subscriptions, codes, strict=True))
        passed_on = tuple(
            structs.replace(each, qos=min(each.qos, QoS.AT_LEAST_ONCE)) for each, code in judged if code is None
        )
        granted = iter(await link.upstream.subscribe(passed_on) if passed_on else ())
        answer = tuple(next(granted) if code is None else code for code in codes)
        refused = {each.topic_filter for each, code in zip(subscriptions, answer, strict=True) if code.is_failure}
        link.filters -= refused - filters_before
        return answer

    async def unsubscribe(self, connection: DeviceConnection, topic_filters: Sequence[str]) -> tuple[ReasonCode, ...]:
        """End subscriptions at the broker. As at AWS, an unknown subscription is a success."""
        link = self._link_of(connection)
        valid = tuple(each for each in topic_filters if _may_be_subscribed(each))
        ended = iter(await link.upstream.unsubscribe(valid) if valid else ())
        link.filters.difference_update(valid)
        codes = (next(ended) if _may_be_subscribed(each) else ReasonCode.SUCCESS for each in topic_filters)
        return tuple(code if code.is_failure else ReasonCode.SUCCESS for code in codes)

    def acknowledge(self, connection: DeviceConnection, packet_id: int) -> None:
        """Pass a PUBACK to the broker, and deliver the messages that waited for it."""
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
        """Return None, because the broker publishes the will."""
        del connection
        return None

    async def close(
        self, connection: DeviceConnection, *, clean: bool, session_expiry_interval: int | None = None
    ) -> None:
        """End the broker's connection: with DISCONNECT, or without it, so that the broker publishes the will."""
        link = self._links.pop(connection, None)
        if link is not None:
            client = (connection.scope, connection.client_id)
            if self._of_client.get(client) is link.upstream:
                del self._of_client[client]
            # The broker publishes the will by itself, so a will that may not be published must be removed first.
            if not clean and link.will is not None:
                clean = not await connection.will_right.allows(link.will)
            await link.upstream.leave(self._disconnect_of(link, clean, session_expiry_interval))
            if link.is_3_1_1 and (session_expiry_interval == 0 or mqtt_3_1_1.is_resumed_and_ends(link.asked)):
                await self._end_session(connection, link)

    def advance(self) -> None:
        """Do the due work of each connection and each broker."""
        now = asyncio.get_running_loop().time()
        for broker, service in tuple(self._services.values()):
            broker.advance(now)
            service.advance(now)
        if self._to_advance is None:
            self._to_advance = iter(tuple(self._links.values()))
            self._advance_some()

    async def publish_own(self, scope: Scope, message: Publish) -> ReasonCode:
        """Pass a message of the service to the broker and return its code; raise PacketRefused without an answer."""
        service = self._service_of(scope)
        self._counters.passed(Traffic.RECEIVED)
        if not _may_be_published(message.topic):
            return ReasonCode.TOPIC_NAME_INVALID
        return await service.publish(message)

    async def retained(self, scope: Scope, topic: str) -> Retained | None:
        """Return the topic's retained message, without its age, which brokers do not report; raise PacketRefused."""
        service = self._service_of(scope)
        if not _may_be_published(topic):
            return None
        message = await service.retained(topic)
        return None if message is None else Retained(message, None)

    def retained_after(self, scope: Scope, topic: str, count: int) -> Sequence[Retained]:
        """Raise NotReadable: MQTT cannot list retained messages without reading all of them."""
        raise NotReadable

    @property
    def kept_here(self) -> None:
        """Return None: the brokers have the messages."""

    async def stop(self) -> None:
        """End the service's own connections."""
        for broker, service in self._services.values():
            await broker.stop()
            await service.close()

    def _advance_some(self) -> None:
        """Do the due work of connections for one time slice, and the rest in later turns of the event loop."""
        links, self._to_advance = self._to_advance or iter(()), None
        loop, pace = asyncio.get_running_loop(), Pace()
        now = loop.time()
        for link in links:
            link.upstream.advance(now)
            if pace.is_over:
                self._to_advance = links
                loop.call_soon(self._advance_some)
                return

    def _broker_of(self, scope: Scope) -> AccountBroker:
        return self._own_of(scope)[0]

    def _service_of(self, scope: Scope) -> ServiceLink:
        return self._own_of(scope)[1]

    def _own_of(self, scope: Scope) -> tuple[AccountBroker, ServiceLink]:
        found = self._services.get(scope)
        if found is None:
            spec = self._brokers.of(scope)
            if spec is None:
                # Callers check `serves` first. This check prevents that a fault there mixes up accounts.
                raise PacketRefused(ReasonCode.NOT_AUTHORIZED, "The account has no broker")
            self._reading = self._reading or SharedReading(asyncio.get_running_loop())
            broker = AccountBroker(spec, scope, self._limits, self._reading, self._counters)
            found = self._services[scope] = broker, ServiceLink(broker, self._limits)
        return found

    async def _open(self, broker: AccountBroker, connection: DeviceConnection, asked: Connect) -> Opened:
        client = (connection.scope, connection.client_id)
        earlier = self._of_client.get(client)
        try:
            if earlier is not None:
                earlier.has_successor = True
            upstream, terms = await broker.open(connection, asked)
        except BaseException:
            if earlier is not None:
                earlier.has_successor = False
            raise
        # The broker closes the client's earlier connection. A further connection may have been opened meanwhile.
        taken_over = self._of_client.get(client)
        if taken_over is not None:
            taken_over.lose(ReasonCode.SESSION_TAKEN_OVER)
        will = None if asked.will is None else will_message(asked.will)
        # The password is not kept.
        self._links[connection] = _Link(upstream, broker, terms, will, replace(asked, will=None, password=None))
        self._of_client[client] = upstream
        return Opened(terms.session_present, terms.session_expiry_interval, _offer_of(terms.abilities))

    async def _end_session(self, connection: DeviceConnection, link: _Link) -> None:
        login = link.broker.login(str(connection.principal_id), connection.client_id)
        asked = replace(link.asked, password=login.password)
        try:
            async with asyncio.timeout(self._limits.open_seconds):
                if (connection.scope, connection.client_id) not in self._of_client:
                    await link.broker.end_session(connection, asked)
        except (BrokerUnreachable, OSError, TimeoutError, PacketRefused) as error:
            log.warning("a session could not be ended at the broker %s: %s", link.broker, in_words(error))

    def _link_of(self, connection: DeviceConnection) -> _Link:
        link = self._links.get(connection)
        if link is None:
            raise PacketRefused(ReasonCode.SERVER_UNAVAILABLE, "The broker is not available")
        return link

    def _refusal_of(self, connection: DeviceConnection, link: _Link, subscription: Subscription) -> ReasonCode | None:
        if not _may_be_subscribed(subscription.topic_filter):
            return ReasonCode.TOPIC_FILTER_INVALID
        room = self._limits.sessions.subscriptions - connection.own_filters
        if subscription.topic_filter not in link.filters and len(link.filters) >= room:
            self._counters.lost(Loss.SUBSCRIPTION_LIMIT)
            return ReasonCode.QUOTA_EXCEEDED
        refusal = link.terms.abilities.refusal_of_filter(parse_filter(subscription.topic_filter))
        if refusal is None:
            link.filters.add(subscription.topic_filter)
        return refusal

    def _disconnect_of(self, link: _Link, clean: bool, session_expiry_interval: int | None) -> Disconnect | None:
        properties = NO_DISCONNECT_PROPERTIES
        # MQTT 5, 3.14.2.2.2: DISCONNECT cannot extend a session whose expiry interval was 0 in CONNECT.
        if session_expiry_interval is not None and link.terms.session_expiry_interval:
            expiry = min(session_expiry_interval, self._limits.sessions.max_session_expiry)
            properties = DisconnectProperties(session_expiry_interval=expiry)
        if clean:
            return Disconnect(properties=properties)
        if not link.is_3_1_1 and properties is not NO_DISCONNECT_PROPERTIES:
            return Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE, properties)
        return None


@lru_cache(_TOPICS)
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


def _offer_of(abilities: BrokerAbilities) -> Offer:
    return Offer(
        has_retained=abilities.has_retained,
        has_shared_subscriptions=abilities.has_shared_subscriptions,
        has_wildcards=abilities.has_wildcards,
        has_qos_1=abilities.has_qos_1,
        maximum_packet_size=abilities.maximum_packet_size,
    )
