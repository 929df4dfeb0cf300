"""Owns the request whose answer a connection to the broker waits for: which packet answers it, and its result."""

import asyncio

from thingmint.mqtt.codec.packets import Connack, Puback, ServerPacket, Suback, Unsuback
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode

Answer = Connack | Puback | Suback | Unsuback


class AnswerNotReadable(PacketRefused):
    """The answer cannot be read, because too many messages before it wait for the device."""

    def __init__(self) -> None:
        super().__init__(ReasonCode.QUOTA_EXCEEDED, "Too many messages wait to be acknowledged")


class PendingRequest:
    """At most one request at a time. Packets that do not answer it are ignored."""

    __slots__ = ("_answer", "_expected", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answer: asyncio.Future[ServerPacket] | None = None
        self._expected: tuple[type[ServerPacket], int] = (Connack, 0)

    @property
    def is_begun(self) -> bool:
        """Whether a request was sent and not ended."""
        return self._answer is not None

    def begin(self, kind: type[Answer], packet_id: int) -> asyncio.Future[ServerPacket]:
        """Return the future of the answer, a packet of the kind with the packet id (0 for CONNACK)."""
        self._expected = (kind, packet_id)
        self._answer = self._loop.create_future()
        return self._answer

    def end(self) -> None:
        """Forget the request; a later answer to it is ignored."""
        self._answer = None

    def answered(self, packet: Answer) -> bool:
        """Give the packet to the request that waits for it; return whether one did."""
        packet_id = 0 if isinstance(packet, Connack) else packet.packet_id
        if self._answer is None or self._answer.done() or self._expected != (type(packet), packet_id):
            # The answer to an abandoned request.
            return False
        self._answer.set_result(packet)
        return True

    def fail(self, error: Exception) -> None:
        """End the wait for the answer with the error, if there is one."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
