"""Owns the requests of one connection to the broker, one at a time: their bytes, the wait for the answer, its result.

Because there is one at a time, answers need no table, and the broker's Receive Maximum is always respected.
"""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.packets import (
    ClientPacket,
    Connack,
    ProtocolVersion,
    Puback,
    ServerPacket,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.counters import Counters, Loss
from thingmint.mqtt.relay.connections.deliveries import RelayDeliveries
from thingmint.mqtt.relay.connections.output import RelayOutput

Answer = Connack | Puback | Suback | Unsuback
_Answer = TypeVar("_Answer", Connack, Puback, Suback, Unsuback)

_LARGEST_ID: Final = 0xFFFF


class AnswerNotReadable(PacketRefused):
    """The answer cannot be read, because too many messages before it wait for the device."""

    def __init__(self) -> None:
        super().__init__(ReasonCode.QUOTA_EXCEEDED, "Too many messages wait to be acknowledged")


class BrokerRequests:
    """At most one request at a time. Packets that do not answer it are ignored."""

    __slots__ = (
        "_abort",
        "_answer",
        "_counters",
        "_deliveries",
        "_expected",
        "_last_id",
        "_loop",
        "_lose",
        "_output",
        "lost",
        "version",
    )

    def __init__(
        self,
        output: RelayOutput,
        deliveries: RelayDeliveries,
        counters: Counters,
        abort: Callable[[], None],
        lose: Callable[[ReasonCode], None],
    ) -> None:
        """Take what is called to end the connection.

        ``abort`` is called if the gateway stops while a request waits, because nobody closes the connection then;
        ``lose`` if the broker's answer is wrong.
        """
        self._output = output
        self._deliveries = deliveries
        self._counters = counters
        self._abort = abort
        self._lose = lose
        self._last_id = 0
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[ServerPacket] | None = None
        self._expected: tuple[type[ServerPacket], int] = (Connack, 0)
        self.version = ProtocolVersion.MQTT_5
        self.lost: PacketRefused | None = None
        """Why the connection has ended, with which all further requests are refused; None while it is open."""

    @property
    def waits(self) -> bool:
        """Whether a request was sent and has no answer yet."""
        return self._answer is not None

    async def ask(self, packet: ClientPacket, kind: type[_Answer]) -> _Answer:
        """Send the packet and return its answer; raise PacketRefused if the connection is lost."""
        packet_id = packet.packet_id if isinstance(packet, Subscribe | Unsubscribe) else 0
        return await self._ask(encode(packet, self.version), kind, packet_id)

    def new_id(self) -> int:
        """Return the next packet id; it is free, because at most one is in use."""
        self._last_id = self._last_id % _LARGEST_ID + 1
        return self._last_id

    async def subscribe(self, subscriptions: tuple[Subscription, ...]) -> tuple[ReasonCode, ...]:
        """Subscribe and return the broker's codes; raise PacketRefused likewise."""
        answer = await self.ask(Subscribe(self.new_id(), subscriptions), Suback)
        return self._one_for_each(answer.reason_codes, len(subscriptions))

    async def unsubscribe(self, topic_filters: tuple[str, ...]) -> tuple[ReasonCode, ...]:
        """Unsubscribe and return the broker's codes; raise PacketRefused likewise."""
        answer = await self.ask(Unsubscribe(self.new_id(), topic_filters), Unsuback)
        if self.version is not ProtocolVersion.MQTT_5:
            # UNSUBACK of MQTT 3.1.1 has no codes.
            return (ReasonCode.SUCCESS,) * len(topic_filters)
        return self._one_for_each(answer.reason_codes, len(topic_filters))

    async def publish(self, encoded: bytes, packet_id: int) -> ReasonCode:
        """Send a message, at QoS 1 with its packet id, and return the broker's code; raise PacketRefused likewise."""
        if not packet_id:
            await self._ready()
            self._output.write(encoded)
            return ReasonCode.SUCCESS
        try:
            return (await self._ask(encoded, Puback, packet_id)).reason_code
        except AnswerNotReadable:
            return ReasonCode.QUOTA_EXCEEDED

    def answered(self, packet: Answer) -> bool:
        """Give the packet to the request that waits for it; return whether one did."""
        packet_id = 0 if isinstance(packet, Connack) else packet.packet_id
        if self._answer is None or self._answer.done() or self._expected != (type(packet), packet_id):
            # The answer to an abandoned request.
            return False
        self._answer.set_result(packet)
        return True

    def refuse_unreadable(self) -> None:
        """Refuse the request that waits, because its answer follows messages that wait for the device.

        The acknowledgements of these messages wait for the answer.
        """
        self._fail(AnswerNotReadable())

    def lose(self, reason: PacketRefused) -> None:
        """Refuse the request that waits, and all further ones, because the connection has ended."""
        self.lost = reason
        self._fail(reason)

    async def _ask(self, encoded: bytes, kind: type[_Answer], packet_id: int) -> _Answer:
        await self._ready()
        if self._deliveries.is_crowded:
            self._counters.lost(Loss.UNACKNOWLEDGED)
            raise AnswerNotReadable
        self._expected = (kind, packet_id)
        pending = self._answer = self._loop.create_future()
        self._output.write(encoded)
        try:
            answer = await pending
        except AnswerNotReadable:
            self._counters.lost(Loss.UNACKNOWLEDGED)
            raise
        except asyncio.CancelledError:
            self._abort()
            raise
        finally:
            # A later answer is ignored.
            self._answer = None
        assert isinstance(answer, kind), "what is not expected is no answer"
        return answer

    def _one_for_each(self, codes: tuple[ReasonCode, ...], count: int) -> tuple[ReasonCode, ...]:
        if len(codes) != count:
            self._lose(ReasonCode.SERVER_UNAVAILABLE)
            raise PacketRefused(ReasonCode.SERVER_UNAVAILABLE, "The broker did not answer for each filter")
        return codes

    async def _ready(self) -> None:
        try:
            await self._output.drained()
        except asyncio.CancelledError:
            self._abort()
            raise
        if self.lost is not None:
            raise self.lost

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
