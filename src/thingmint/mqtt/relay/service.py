"""Owns the service's own connections to an account's broker, for operators' messages and for retained messages.

The first message opens the connection for messages, and after a loss the next message opens it again. One message is
sent at a time. A retained message is read by a subscription on a separate connection.
"""

import asyncio
import logging

from msgspec.structs import replace

from thingmint.core.error_text import in_words
from thingmint.mqtt.codec.packets import Disconnect, Publish, QoS, Subscription
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.relay.brokers.account_broker import AccountBroker
from thingmint.mqtt.relay.brokers.broker_nodes import BrokerUnreachable, new_own_id
from thingmint.mqtt.relay.connections.upstream import Upstream
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.own_client import OwnClient

log = logging.getLogger(__name__)


class ServiceLink:
    """Publishes messages that are not from devices, and reads retained messages."""

    def __init__(self, broker: AccountBroker, limits: RelayLimits) -> None:
        self._broker = broker
        self._limits = limits
        self._client_id = new_own_id()
        self._open: tuple[OwnClient, Upstream] | None = None
        self._turn = asyncio.Lock()
        self._messages = 0
        self._readers = 0

    async def publish(self, message: Publish) -> ReasonCode:
        """Pass a message to the broker and return its code; return QUOTA_EXCEEDED if too many messages wait.

        Raises PacketRefused if the broker does not answer, or has recently not answered an earlier message.
        """
        if self._messages >= self._limits.own_messages:
            return ReasonCode.QUOTA_EXCEEDED
        self._messages += 1
        try:
            await self._take_turn()
            try:
                return await self._publish(message)
            finally:
                self._turn.release()
        finally:
            self._messages -= 1

    async def retained(self, topic: str) -> Publish | None:
        """Return the topic's retained message, or None if the broker sends none within some time after its SUBACK.

        Raises PacketRefused if the broker does not answer, or does not let the service subscribe.
        """
        if self._readers >= self._limits.own_messages:
            raise PacketRefused(ReasonCode.QUOTA_EXCEEDED, "Too many retained messages are being read")
        self._readers += 1
        try:
            return await self._read(topic)
        finally:
            self._readers -= 1

    async def _read(self, topic: str) -> Publish | None:
        client = OwnClient(new_own_id(), self._broker.scope, is_watched=False)
        upstream = await self._connected(client)
        try:
            async with asyncio.timeout(self._limits.open_seconds):
                (code,) = await upstream.subscribe((Subscription(topic, QoS.AT_LEAST_ONCE),))
                if code.is_failure:
                    raise PacketRefused(ReasonCode.NOT_AUTHORIZED, "The broker does not let the service read the topic")
                upstream.resume()
                while (message := await client.next_message(self._limits.retained_seconds)) is not None:
                    if message.retain:
                        return message
                return None
        except TimeoutError as error:
            raise PacketRefused(ReasonCode.SERVER_UNAVAILABLE, "The broker does not answer") from error
        finally:
            await upstream.leave(Disconnect())

    def advance(self, now: float) -> None:
        """Send a PINGREQ if one is due, and check the time limits."""
        if self._open is not None:
            self._open[1].advance(now)

    async def close(self) -> None:
        """Close the connection; a message that is being sent is abandoned."""
        if self._open is None:
            return
        (_, upstream), self._open = self._open, None
        if self._turn.locked():
            upstream.lose(ReasonCode.SERVER_UNAVAILABLE)
        else:
            await upstream.leave(Disconnect())

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(self._limits.open_seconds):
                await self._turn.acquire()
        except TimeoutError as error:
            raise PacketRefused(ReasonCode.SERVER_UNAVAILABLE, "The broker does not answer") from error

    async def _publish(self, message: Publish) -> ReasonCode:
        upstream = await self._upstream()
        packet_id = upstream.new_id() if message.qos else 0
        try:
            return await upstream.publish(replace(message, packet_id=packet_id, dup=False))
        except BaseException:
            # It is not known whether the broker has the message. The next message uses a new connection.
            self._drop()
            raise

    async def _upstream(self) -> Upstream:
        if self._open is not None and not self._open[0].is_lost:
            return self._open[1]
        self._drop()
        client = OwnClient(self._client_id, self._broker.scope)
        upstream = await self._connected(client)
        self._open = client, upstream
        return upstream

    async def _connected(self, client: OwnClient) -> Upstream:
        try:
            async with asyncio.timeout(self._limits.open_seconds):
                return await self._broker.open_own(client)
        except (BrokerUnreachable, TimeoutError) as error:
            log.warning("the broker %s cannot be reached: %s", self._broker, in_words(error))
            raise PacketRefused(ReasonCode.SERVER_UNAVAILABLE, "The broker is not available") from error

    def _drop(self) -> None:
        if self._open is not None:
            self._open[1].abort()
            self._open = None
