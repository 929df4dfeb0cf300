"""Owns one connection to the broker, for one device: its requests, its messages, its time limits and its end.

Bytes are divided and joined in `input` and `output`; `requests` sends requests and waits for their answers.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final, cast

from thingmint.mqtt.codec.codec import decode_server_packet, encode
from thingmint.mqtt.codec.packets import (
    ClientPacket,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    ProtocolVersion,
    Puback,
    Publish,
    ServerPacket,
    Suback,
    Subscription,
    Unsuback,
)
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.counters import Counters, Loss, Traffic
from thingmint.mqtt.data_plane import DeviceConnection
from thingmint.mqtt.relay.abilities import BrokerAbilities
from thingmint.mqtt.relay.connections.deliveries import RelayDeliveries
from thingmint.mqtt.relay.connections.input import RelayInput, SharedReading
from thingmint.mqtt.relay.connections.output import RelayOutput
from thingmint.mqtt.relay.connections.requests import BrokerRequests
from thingmint.mqtt.relay.connections.time_limits import BrokerTimeLimits
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.terms import BrokerTerms, ending_of, terms_of

_PACKETS_BETWEEN_LOOKS: Final = 8
_BROKEN: Final = "the broker broke the protocol: %s"
_UNAVAILABLE: Final = "The broker is not available"

log = logging.getLogger(__name__)


class Upstream(asyncio.BufferedProtocol):
    """A device's connection to the broker. If it is lost, the pending request is refused with PacketRefused."""

    _terms: BrokerTerms
    _transport: asyncio.Transport
    _input: RelayInput
    _output: RelayOutput
    _requests: BrokerRequests

    def __init__(
        self,
        connection: DeviceConnection,
        limits: RelayLimits,
        reading: SharedReading,
        counters: Counters | None = None,
        on_silence: Callable[[], object] = lambda: None,
    ) -> None:
        """Take the device's connection; ``on_silence`` is called if the broker does not answer in time."""
        self._on_silence = on_silence
        self._counters = counters or Counters()
        self._connection = connection
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._reading = reading
        self._deliveries = RelayDeliveries(connection, self._acknowledge, self._counters)
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._is_open = self._is_leaving = self._ends_after_packets = False
        # Set while the gateway must send CONNACK or SUBACK first.
        self._is_held = False
        self.has_successor = False
        """Whether another connection of the client is taking over the session."""
        self._time_limits = BrokerTimeLimits(limits.answer_seconds, self._loop.time())

    # For the relay

    async def open(self, connect: Connect, abilities: BrokerAbilities) -> BrokerTerms:
        """Connect and return the broker's terms; raise PacketRefused if the broker does not accept the device."""
        self._requests.version = connect.version
        self._deliveries.is_5 = self.is_5
        self._terms = terms_of(await self._requests.ask(connect, Connack), connect, abilities)
        self._is_open = True
        return self._terms

    async def publish(self, message: Publish) -> ReasonCode:
        """Send a message, at QoS 1 with a new packet id, and return the broker's code."""
        encoded = self._encoded(message)
        refusal = self._terms.abilities.refusal(message, len(encoded))
        if refusal is not None:
            return refusal
        if message.packet_id:
            self._release()
        return await self._requests.publish(encoded, message.packet_id)

    # Messages of devices that need no decision: see `data_plane.MessageTaker`.

    @property
    def is_5(self) -> bool:
        """Whether the broker speaks MQTT 5."""
        return self._requests.version is ProtocolVersion.MQTT_5

    @property
    def takes_now(self) -> bool:
        """Whether the broker is connected and reads."""
        return not self._is_over and not self._output.is_congested

    def take(self, encoded: bytes) -> None:
        """Send a message."""
        self._counters.passed(Traffic.RECEIVED)
        self._output.write(encoded)

    async def subscribe(self, subscriptions: tuple[Subscription, ...]) -> tuple[ReasonCode, ...]:
        """Subscribe and return the broker's codes. Messages that arrive afterwards wait for ``resume``."""
        self._release()
        return await self._requests.subscribe(subscriptions)

    async def unsubscribe(self, topic_filters: tuple[str, ...]) -> tuple[ReasonCode, ...]:
        """Unsubscribe and return the broker's codes."""
        self._release()
        return await self._requests.unsubscribe(topic_filters)

    def new_id(self) -> int:
        """Return the next packet id for the broker."""
        return self._requests.new_id()

    def acknowledge(self, packet_id: int) -> None:
        """Pass the device's acknowledgement to the broker."""
        self._deliveries.acknowledged(packet_id)

    def resume(self) -> None:
        """Deliver what waits."""
        self._is_held = False
        self._go_on()

    async def leave(self, disconnect: Disconnect | None) -> None:
        """End the connection, without a DISCONNECT like a lost device, and wait until the broker has closed it."""
        self._is_leaving = True
        try:
            self._send_disconnect(disconnect)
            # The device's last packets may still wait until the broker reads them.
            async with asyncio.timeout(self._limits.answer_seconds):
                await self._output.emptied()
            async with asyncio.timeout(self._limits.leave_seconds):
                # The broker closes first. If this side closed with unread bytes, a reset could discard its last
                # packets.
                await asyncio.shield(self._ended)
        except (TimeoutError, PacketRefused):
            log.warning("the broker does not notice that a device has left")
        finally:
            self._transport.abort()

    def abort(self) -> None:
        """End the connection at once."""
        self._is_leaving = True
        self._transport.abort()

    def lose(self, reason: ReasonCode, loss: Loss = Loss.BROKER_CLOSED) -> None:
        """End the broker's connection and disconnect the device with the reason, unless one of them has already ended.

        If another connection of the client has taken over, this is not counted as a loss.
        """
        if self._is_over:
            return
        lost = PacketRefused(reason, _UNAVAILABLE)
        self._requests.lose(lost)
        self._transport.abort()
        self._output.fail(lost)
        if self._is_open and not self._connection.is_over:
            if reason is not ReasonCode.SESSION_TAKEN_OVER:
                self._counters.lost(loss)
            self._connection.disconnect(reason)

    def advance(self, now: float) -> None:
        """Send a PINGREQ if one is due, and end the connection if the broker does not answer."""
        if self._is_over:
            return
        if self._deliveries.is_full or self._deliveries.is_crowded:
            # The device's connection may have ended. Then its messages are dropped, because an answer may follow them.
            self._go_on()
        waits = self._requests.waits or self._output.is_congested
        if self._time_limits.is_over(now, waits=waits, is_full=self._deliveries.is_full):
            log.warning("the broker does not answer")
            self._on_silence()
            self.lose(ReasonCode.SERVER_BUSY, Loss.BROKER_SILENT)
            return
        has_written, self._output.has_written = self._output.has_written, False
        if self._time_limits.must_ping(now, self._terms.keep_alive, has_written=has_written):
            self._output.write(self._encoded(Pingreq()))

    # For asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the relay sends the first request."""
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        high, turns = self._limits.write_high_bytes, self._reading.turns
        self._input = RelayInput(self._transport, high, turns, self._connection.scope, self._go_on)
        self._output = RelayOutput(self._transport, high)
        self._requests = BrokerRequests(self._output, self._deliveries, self._counters, self.abort, self.lose)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared buffer for one read."""
        return self._reading.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Process bytes from the broker."""
        if self._is_over:
            return
        self._input.feed(bytes(self._reading.buffer[:nbytes]))
        self._pump()
        if self._must_wait:
            self._input.pause_if_full()

    def pause_writing(self) -> None:
        """Accept nothing more from the device until the broker has read."""
        self._output.pause()

    def resume_writing(self) -> None:
        """Go on."""
        self._time_limits.answered()
        self._output.resume()

    def eof_received(self) -> bool:
        """Close the connection: without further answers it is of no use."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Disconnect the device, unless it has already left.

        A broker's node that dies ends many connections in one turn of the event loop, so their devices are
        disconnected in time slices.
        """
        self._ended.set_result(None)
        # Nothing more can be sent, so end all waits for the output.
        self._output.resume()
        if self._input.waits:
            self._ends_after_packets = True
        else:
            self._reading.endings.add(self._lose_at_end)

    def _lose_at_end(self) -> None:
        # Not all brokers report a takeover: Mosquitto 2.0 only closes, and MQTT 3.1.1 has no reason code for it.
        if self.has_successor:
            self.lose(ReasonCode.SESSION_TAKEN_OVER)
        elif self._is_open and self._limits.explain_seconds:
            # If the client has connected to another node, that node reports it, and the device gets this reason.
            lose = partial(self.lose, ReasonCode.SERVER_UNAVAILABLE)
            self._loop.call_later(self._limits.explain_seconds, self._reading.endings.add, lose)
        else:
            self.lose(ReasonCode.SERVER_UNAVAILABLE)

    # From the broker

    @property
    def _is_over(self) -> bool:
        return self._requests.lost is not None or self._is_leaving

    @property
    def _must_wait(self) -> bool:
        return self._input.waits or self._is_blocked

    @property
    def _is_blocked(self) -> bool:
        return self._is_held or self._deliveries.is_full or self._deliveries.is_crowded

    def _go_on(self) -> None:
        if self._is_leaving:
            return
        self._deliveries.resume()
        self._pump()
        if not self._must_wait:
            self._input.resume()

    def _pump(self) -> None:
        if self._input.waits:
            return
        taken = 0
        try:
            while not self._is_blocked and self._requests.lost is None:
                if not taken % _PACKETS_BETWEEN_LOOKS and not self._input.has_time():
                    break
                taken += 1
                if self._deliveries.take_repeated(self._input.reader):
                    continue
                frame = self._input.next_frame()
                if frame is None:
                    break
                self._heard(decode_server_packet(frame, self._requests.version))
        except PacketRefused as refusal:
            # Before CONNACK, the cause may be only another version of MQTT.
            log.log(logging.WARNING if self._is_open else logging.DEBUG, _BROKEN, refusal.message)
            self.lose(ReasonCode.SERVER_UNAVAILABLE)
        if self._deliveries.is_crowded:
            self._requests.refuse_unreadable()
        if self._ends_after_packets and not self._input.waits:
            # What has arrived before the end is not lost, and may name the reason of the end.
            self._ends_after_packets = False
            self._reading.endings.add(self._lose_at_end)

    def _heard(self, packet: ServerPacket) -> None:
        match packet:
            case Publish() if self._is_open and packet.topic and packet.properties.topic_alias is None:
                self._deliveries.take(packet)
            case Connack() | Puback() | Suback() | Unsuback():
                if self._requests.answered(packet):
                    self._is_held = isinstance(packet, Connack | Suback)
                    self._time_limits.answered()
            case Pingresp():
                self._time_limits.ping_answered()
            case Disconnect():
                self.lose(ending_of(packet.reason_code))
            case _:
                raise PacketRefused(ReasonCode.PROTOCOL_ERROR, f"{type(packet).__name__.upper()} is not expected")

    # To the broker

    def _encoded(self, packet: ClientPacket) -> bytes:
        return encode(packet, self._requests.version)

    def _release(self) -> None:
        """Continue with deliveries: the device's next request follows after the answer to the last one was written."""
        if self._is_held:
            self.resume()

    def _acknowledge(self, packet_id: int) -> None:
        self._output.write(self._encoded(Puback(packet_id)))

    # The end

    def _send_disconnect(self, disconnect: Disconnect | None) -> None:
        if self._transport.is_closing():
            return
        self._input.resume()
        if disconnect is None:
            self._output.finish()
        else:
            self._output.write(self._encoded(disconnect))
            self._output.flush()
