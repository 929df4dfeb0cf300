"""Owns one MQTT 5 connection of a simulated device: sends packets, and awaits answers. Independent of its use."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final, TypeVar

from thingmint.cli.simulation.target import Target
from thingmint.mqtt.codec.codec import decode_server_packet, encode
from thingmint.mqtt.codec.framing import FrameReader
from thingmint.mqtt.codec.packets import (
    ClientPacket,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    ProtocolVersion,
    Puback,
    Publish,
    QoS,
    ServerPacket,
    Suback,
    Subscribe,
    Subscription,
    Will,
)
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.gateway.link.device_protocol import MAX_PACKET_BYTES

ANSWER_SECONDS: Final = 30.0
"""How long a device waits for any answer."""

_VERSION: Final = ProtocolVersion.MQTT_5
_KEEP_ALIVE: Final = 300
_PING_SECONDS: Final = 120.0
_LEAVE_SECONDS: Final = 2.0
_LARGEST_ID: Final = 0xFFFF
_Answer = TypeVar("_Answer", Connack, Puback, Suback)


class BrokerRefused(Exception):
    """The service has refused a packet; the message is the name of the reason code."""


class ConnectionLost(Exception):
    """The connection has ended; the message says why."""


class Client(asyncio.Protocol):
    """A connected device. When the connection ends, every wait for an answer raises ConnectionLost."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._reader = FrameReader(MAX_PACKET_BYTES)
        self._waiting: dict[tuple[type[ServerPacket], int], asyncio.Future[ServerPacket]] = {}
        self._expected: list[tuple[Callable[[Publish], bool], asyncio.Future[Publish]]] = []
        self._ping: asyncio.TimerHandle | None = None
        self._last_id = 0
        self._farewell: str | None = None
        self._lost: str | None = None
        self.arrived: Callable[[Publish], None] | None = None
        """Receives every message, if it is set."""
        self.ended: asyncio.Future[None] = loop.create_future()
        """Done when the connection has ended, for any reason."""

    @classmethod
    async def connect(
        cls, target: Target, context: ssl.SSLContext, client_id: str, will: Will | None = None
    ) -> "Client":
        """Return a connected client; raise BrokerRefused, ConnectionLost, TimeoutError, OSError."""
        client = cls()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await client._loop.create_connection(
                    lambda: client,
                    target.address,
                    target.port,
                    ssl=context,
                    server_hostname=target.server_name,
                    ssl_handshake_timeout=ANSWER_SECONDS,
                    ssl_shutdown_timeout=_LEAVE_SECONDS,
                )
                await client._open(client_id, will)
        except BaseException:
            await client.abort()
            raise
        return client

    async def subscribe(self, *topic_filters: str) -> None:
        """Subscribe at QoS 1; raise BrokerRefused if any filter is not granted."""
        packet_id = self._new_id()
        subscriptions = tuple(Subscription(each, QoS.AT_LEAST_ONCE) for each in topic_filters)
        answer = await self._ask(Subscribe(packet_id, subscriptions), Suback, packet_id)
        for code in answer.reason_codes:
            _require(code)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1 and wait for the acknowledgement; raise BrokerRefused if it has an error code."""
        packet_id = self._new_id()
        message = Publish(topic, payload, QoS.AT_LEAST_ONCE, packet_id=packet_id)
        _require((await self._ask(message, Puback, packet_id)).reason_code)

    def expect(self, is_it: Callable[[Publish], bool]) -> "asyncio.Future[Publish]":
        """Return a future of the next message that satisfies the condition; the caller awaits it or cancels it."""
        future: asyncio.Future[Publish] = self._loop.create_future()
        if self._lost is not None:
            future.set_exception(ConnectionLost(self._lost))
        else:
            self._expected.append((is_it, future))
        return future

    async def disconnect(self) -> None:
        """Disconnect normally, so that the will is not published."""
        if self._lost is None:
            self._farewell = "this device has left"
            self._send(Disconnect())
            self._transport.close()
            await asyncio.wait([self.ended], timeout=_LEAVE_SECONDS)
        await self.abort()

    async def abort(self) -> None:
        """End the connection at once, without waiting for anything."""
        if hasattr(self, "_transport"):
            self._transport.abort()
            await asyncio.wait([self.ended])

    @property
    def why_lost(self) -> str:
        """The reason for which the connection has ended."""
        return self._lost or "it has not ended"

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport, whose TLS handshake is done."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Handle bytes from the service; end the connection on a protocol error."""
        self._reader.feed(data)
        try:
            while (frame := self._reader.next_frame()) is not None:
                self._take(decode_server_packet(frame, _VERSION))
        except PacketRefused as error:
            self._farewell = error.reason_code.name
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Raise ConnectionLost in every waiting caller."""
        self._lost = self._farewell or (type(error).__name__ if error else "closed by the service")
        if self._ping is not None:
            self._ping.cancel()
        waiting: list[asyncio.Future[Any]] = [*self._waiting.values(), *(future for _, future in self._expected)]
        for future in waiting:
            if not future.done():
                future.set_exception(ConnectionLost(self._lost))
                # A caller that has stopped waiting does not retrieve the exception.
                future.exception()
        self._expected.clear()
        self.ended.set_result(None)

    # Inside

    async def _open(self, client_id: str, will: Will | None) -> None:
        answer = await self._ask(Connect(_VERSION, client_id, keep_alive=_KEEP_ALIVE, will=will), Connack, 0)
        _require(answer.reason_code)
        self._ping = self._loop.call_later(_PING_SECONDS, self._stay_alive)

    async def _ask(self, packet: ClientPacket, answer: type[_Answer], packet_id: int) -> _Answer:
        if self._lost is not None:
            raise ConnectionLost(self._lost)
        future: asyncio.Future[ServerPacket] = self._loop.create_future()
        self._waiting[answer, packet_id] = future
        try:
            self._send(packet)
            async with asyncio.timeout(ANSWER_SECONDS):
                answered = await future
        finally:
            self._waiting.pop((answer, packet_id), None)
        assert isinstance(answered, answer)
        return answered

    def _take(self, packet: ServerPacket) -> None:
        match packet:
            case Publish():
                self._hear(packet)
            case Disconnect():
                self._farewell = packet.reason_code.name
            case Connack():
                self._answer(packet, 0)
            case Puback() | Suback():
                self._answer(packet, packet.packet_id)

    def _answer(self, packet: ServerPacket, packet_id: int) -> None:
        future = self._waiting.get((type(packet), packet_id))
        if future is not None and not future.done():
            future.set_result(packet)

    def _hear(self, message: Publish) -> None:
        if message.qos is QoS.AT_LEAST_ONCE:
            self._send(Puback(message.packet_id))
        if self.arrived is not None:
            self.arrived(message)
        self._expected = [entry for entry in self._expected if not entry[1].done()]
        for at, (is_it, future) in enumerate(self._expected):
            if is_it(message):
                del self._expected[at]
                future.set_result(message)
                return

    def _send(self, packet: ClientPacket) -> None:
        self._transport.write(encode(packet, _VERSION))

    def _new_id(self) -> int:
        self._last_id = self._last_id % _LARGEST_ID + 1
        return self._last_id

    def _stay_alive(self) -> None:
        self._send(Pingreq())
        self._ping = self._loop.call_later(_PING_SECONDS, self._stay_alive)


def _require(code: ReasonCode) -> None:
    if code.is_failure:
        raise BrokerRefused(code.name)
