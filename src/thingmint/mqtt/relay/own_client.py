"""Owns the service as a client of a broker: implements for the service what an upstream expects of a device."""

import asyncio
import logging

from thingmint.core.identifiers import CertificateId, Scope
from thingmint.mqtt.codec.packets import ProtocolVersion, Publish
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.codec.shared_publish import SharedPublish
from thingmint.mqtt.data_plane import Delivery, NoWill
from thingmint.mqtt.relay.credentials import SERVICE

log = logging.getLogger(__name__)


class OwnClient:
    """Implements `DeviceConnection` for a connection of the service itself."""

    version = ProtocolVersion.MQTT_5
    is_over = False
    will_right = NoWill()
    receive_window = 1
    own_filters = 0
    principal_id = CertificateId(SERVICE)

    def __init__(self, client_id: str, scope: Scope, *, is_watched: bool = True) -> None:
        """Take the client id; with ``is_watched``, the end of the connection is logged."""
        self.client_id = client_id
        self.scope = scope
        self.is_lost = False
        self._is_watched = is_watched
        self._heard: asyncio.Queue[Publish] = asyncio.Queue(8)

    def may_receive(self, topic: str) -> bool:
        """Return True: only messages arrive to which the service has subscribed."""
        del topic
        return True

    def deliver(self, message: Publish) -> Delivery:
        """Queue the message until it is taken; drop it if the short queue is full. No message is acknowledged twice."""
        if not self._heard.full():
            self._heard.put_nowait(message)
        # Treated like a message that is too large for the client, so that it is acknowledged at once.
        return Delivery.TOO_LARGE

    def deliver_shared(self, message: SharedPublish, packet_id: int) -> Delivery:
        """Drop the message: only the built-in broker shares bytes."""
        del message, packet_id
        return Delivery.TOO_LARGE

    def disconnect(self, reason_code: ReasonCode) -> None:
        """Record that the broker is lost."""
        if self._is_watched:
            log.warning("the broker has ended the service's own connection: %s", reason_code.name)
        self.is_lost = True

    async def next_message(self, within: float) -> Publish | None:
        """Return the next message, or None after ``within`` seconds."""
        try:
            async with asyncio.timeout(within):
                return await self._heard.get()
        except TimeoutError:
            return None
