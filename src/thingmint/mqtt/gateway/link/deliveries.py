"""Owns the packets and messages to one client, the messages in flight, and the packet ids of the gateway's answers.

An answer to a provisioning request is sent at most once, and only its packet id is kept, here. Therefore another
connection of the same client cannot get it.
"""

import asyncio
import logging

from msgspec.structs import replace

from thingmint.mqtt.codec.packets import Publish, QoS, ServerPacket
from thingmint.mqtt.codec.shared_publish import SharedPublish
from thingmint.mqtt.counters import Counters, Loss
from thingmint.mqtt.data_plane import GATEWAY_PACKET_IDS, Delivery
from thingmint.mqtt.gateway.link.device_protocol import DeviceProtocol
from thingmint.mqtt.rights.own_filters import OwnFilters
from thingmint.mqtt.rights.ports import DeviceAnswer
from thingmint.mqtt.transport.writer import Writer

log = logging.getLogger(__name__)


class Deliveries:
    """Sends to the client, after the handshake."""

    __slots__ = ("_answers", "_confirmed", "_counters", "_in_flight", "_last_answer", "_protocol", "_writer", "filters")

    def __init__(self, protocol: DeviceProtocol, writer: Writer, counters: Counters) -> None:
        self._counters = counters
        self._protocol = protocol
        self._writer = writer
        self.filters = OwnFilters()
        # Packet identifiers of the data plane's messages and of the gateway's own; most connections have none.
        self._in_flight: set[int] | None = None
        self._answers: set[int] | None = None
        # What waits for an acknowledgement, by packet id; hardly any connection has any.
        self._confirmed: dict[int, asyncio.Future[None]] | None = None
        self._last_answer = GATEWAY_PACKET_IDS.start

    @property
    def receive_window(self) -> int:
        """How many unacknowledged messages of the data plane the client takes."""
        answers = self._answers
        return self._protocol.receive_maximum - (len(answers) if answers else 0)

    def send(self, packet: ServerPacket) -> None:
        """Write an answer, unless it exceeds the client's maximum packet size."""
        encoded = self._protocol.bytes_of(packet)
        if encoded is None:
            self._counters.lost(Loss.ANSWER_TOO_LARGE)
            return
        self._writer.write(encoded)

    def lost(self, loss: Loss) -> None:
        """Count a message that is not sent."""
        self._counters.lost(loss)

    def deliver(self, message: Publish) -> Delivery:
        """Write the complete message of the data plane, or nothing."""
        if self._writer.is_congested:
            return Delivery.FULL
        return self._deliver(self._protocol.bytes_of(message), message.packet_id)

    def deliver_shared(self, message: SharedPublish, packet_id: int) -> Delivery:
        """Write the complete message of the data plane, whose bytes are shared with other clients, or nothing."""
        writer, protocol = self._writer, self._protocol
        if writer.is_congested:
            return Delivery.FULL
        encoded = message.bytes_for(packet_id, is_5=protocol.is_5)
        if protocol.maximum_packet_size is not None and len(encoded) > protocol.maximum_packet_size:
            return Delivery.TOO_LARGE
        if packet_id:
            if self._in_flight is None:
                self._in_flight = set()
            self._in_flight.add(packet_id)
        writer.write(encoded)
        return Delivery.WRITTEN

    def _deliver(self, encoded: bytes | None, packet_id: int) -> Delivery:
        if encoded is None:
            return Delivery.TOO_LARGE
        if packet_id:
            if self._in_flight is None:
                self._in_flight = set()
            self._in_flight.add(packet_id)
        self._writer.write(encoded)
        return Delivery.WRITTEN

    def answer(self, answer: DeviceAnswer) -> None:
        """Write the answer to a provisioning request, at QoS 1 if the client has subscribed with it and has room."""
        qos, packet_id = QoS.AT_MOST_ONCE, 0
        has_room = self._unacknowledged < self._protocol.receive_maximum
        if answer.most_qos and self.filters.qos_for(answer.topic) is QoS.AT_LEAST_ONCE and has_room:
            qos, packet_id = QoS.AT_LEAST_ONCE, self._free_id()
        encoded = self._protocol.bytes_of(Publish(answer.topic, answer.payload, qos, packet_id=packet_id))
        if encoded is None:
            self._counters.lost(Loss.ANSWER_TOO_LARGE)
            log.warning("an answer is larger than its client takes, and is dropped")
            return
        if packet_id:
            self._await_acknowledgement(packet_id)
        self._writer.write(encoded)

    def send_event(self, topic: str, payload: bytes) -> None:
        """Write an event of the service at QoS 0 if the client has subscribed to it and reads; drop it otherwise."""
        if self.filters.qos_for(topic) is None:
            return
        if self._writer.is_congested:
            self._counters.lost(Loss.EVENT_UNSENT)
            return
        encoded = self._protocol.bytes_of(Publish(topic, payload, QoS.AT_MOST_ONCE))
        if encoded is None:
            self._counters.lost(Loss.TOO_LARGE_FOR_CLIENT)
            return
        self._writer.write(encoded)

    def send_once(self, message: Publish) -> Delivery:
        """Write a complete message of the service at QoS 0, or nothing."""
        return self.deliver(replace(message, qos=QoS.AT_MOST_ONCE, packet_id=0))

    def send_confirmed(self, message: Publish, confirmed: "asyncio.Future[None]") -> Delivery:
        """Write a complete message of the service at QoS 1, or nothing; set the future when the client acknowledges it.

        Also returns FULL if the client accepts no more unacknowledged messages.
        """
        if self._unacknowledged >= self._protocol.receive_maximum:
            return Delivery.FULL
        packet_id = self._free_id()
        outcome = self.deliver(replace(message, qos=QoS.AT_LEAST_ONCE, packet_id=packet_id))
        if outcome is Delivery.WRITTEN:
            self._arrived(packet_id)
            self._await_acknowledgement(packet_id)
            self._confirmed = {**(self._confirmed or {}), packet_id: confirmed}
        return outcome

    def was_own(self, packet_id: int) -> bool:
        """Process the client's acknowledgement of a message; return whether it was one of the gateway's own."""
        self._arrived(packet_id)
        if packet_id < GATEWAY_PACKET_IDS.start:
            return False
        if self._answers is not None:
            self._answers.discard(packet_id)
            self._answers = self._answers or None
        confirmed = None if self._confirmed is None else self._confirmed.pop(packet_id, None)
        if confirmed is not None and not confirmed.done():
            confirmed.set_result(None)
        return True

    @property
    def _unacknowledged(self) -> int:
        return len(self._in_flight or ()) + len(self._answers or ())

    def _arrived(self, packet_id: int) -> None:
        if self._in_flight is not None:
            self._in_flight.discard(packet_id)
            # An idle connection should not keep a set.
            self._in_flight = self._in_flight or None

    def _await_acknowledgement(self, packet_id: int) -> None:
        if self._answers is None:
            self._answers = set()
        self._answers.add(packet_id)

    def _free_id(self) -> int:
        # Receive Maximum keeps most of them free.
        while self._last_answer in (self._answers or ()) or self._last_answer not in GATEWAY_PACKET_IDS:
            following = self._last_answer + 1
            self._last_answer = following if following in GATEWAY_PACKET_IDS else GATEWAY_PACKET_IDS.start
        return self._last_answer
