"""Owns the service's own connection to the broker, by which operators' messages go; it subscribes to nothing.

It is opened by the first message, and again by the next one after it was lost. One message is under way at a time.
"""

import asyncio
import logging
import uuid
from dataclasses import replace

from thingmint.core.identifiers import CertificateId, Scope
from thingmint.host.words import in_words
from thingmint.mqtt.codec.packets import Connect, Disconnect, ProtocolVersion, Publish
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.codec.shared_publish import SharedPublish
from thingmint.mqtt.data_plane import Delivery, NoWill
from thingmint.mqtt.relay.address import BrokerAddress
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.terms import KEEP_ALIVE_SECONDS
from thingmint.mqtt.relay.upstream import Upstream

# What the broker's own rules know the service by. No device has such a name: theirs are digests.
USER_NAME = "thingmint"

log = logging.getLogger(__name__)


class _Service:
    """What an upstream wants to know of a device, said of the service: nothing is delivered to it."""

    version = ProtocolVersion.MQTT_5
    is_over = False
    will_right = NoWill()
    receive_window = 1
    own_filters = 0
    certificate_id = CertificateId("")

    def __init__(self, client_id: str, scope: Scope) -> None:
        self.client_id = client_id
        self.scope = scope
        self.is_lost = False

    def may_receive(self, topic: str) -> bool:
        """Say that it may not."""
        del topic
        return False

    def deliver(self, message: Publish) -> Delivery:
        """Take what the broker was not asked for, and forget it."""
        del message
        return Delivery.WRITTEN

    def deliver_shared(self, message: SharedPublish, packet_id: int) -> Delivery:
        """Take what the broker was not asked for, and forget it."""
        del message, packet_id
        return Delivery.WRITTEN

    def disconnect(self, reason_code: ReasonCode) -> None:
        """Note that the broker is lost."""
        log.warning("the broker has ended the service's own connection: %s", reason_code.name)
        self.is_lost = True


class ServiceLink:
    """Publishes what comes from no device."""

    def __init__(self, address: BrokerAddress, scope: Scope, limits: RelayLimits, read_buffer: memoryview) -> None:
        self._address = address
        self._scope = scope
        self._limits = limits
        self._read_buffer = read_buffer
        # No device can have it: their ids do not start with $, but for those that the gateway assigns.
        self._client_id = f"$thingmint-{uuid.uuid4()}"
        self._open: tuple[_Service, Upstream] | None = None
        self._turn = asyncio.Lock()
        self._messages = 0

    async def publish(self, message: Publish) -> ReasonCode:
        """Pass a message on and return the broker's code, QUOTA_EXCEEDED if too many others wait.

        Raises PacketRefused if the broker does not answer, this message or for a while those before it.
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

    def advance(self, now: float) -> None:
        """Show the broker that the service is there."""
        if self._open is not None:
            self._open[1].advance(now)

    async def close(self) -> None:
        """Leave the broker; a message that is under way is given up."""
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
            # Whether the broker has it is not known: what comes next begins on a connection of its own.
            self._drop()
            raise

    async def _upstream(self) -> Upstream:
        if self._open is not None and not self._open[0].is_lost:
            return self._open[1]
        self._drop()
        try:
            async with asyncio.timeout(self._limits.open_seconds):
                self._open = await self._connect()
        except (OSError, TimeoutError) as error:
            log.warning("the broker at %s cannot be reached: %s", self._address, in_words(error))
            raise PacketRefused(ReasonCode.SERVER_UNAVAILABLE, "The broker is not available") from error
        return self._open[1]

    async def _connect(self) -> tuple[_Service, Upstream]:
        service = _Service(self._client_id, self._scope)
        upstream = await self._address.connect(lambda: Upstream(service, self._limits, self._read_buffer))
        connect = Connect(ProtocolVersion.MQTT_5, self._client_id, keep_alive=KEEP_ALIVE_SECONDS, username=USER_NAME)
        try:
            await upstream.open(connect)
        except BaseException:
            upstream.abort()
            raise
        return service, upstream

    def _drop(self) -> None:
        if self._open is not None:
            self._open[1].abort()
            self._open = None
