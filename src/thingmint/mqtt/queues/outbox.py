"""Owns the messages on their way to one client: what waits, what is unacknowledged, and what is sent again.

Order is kept: what a client has not acknowledged when its connection ends comes first on the next one, as a duplicate
under its old packet identifier. Messages of QoS 0 have a queue of their own, and only for as long as the connection
lasts. Nothing here knows which filter a message matched.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from thingmint.mqtt.codec.shared_publish import SharedPublish
from thingmint.mqtt.counters import Counters, Loss, Traffic
from thingmint.mqtt.data_plane import DATA_PLANE_PACKET_IDS, Delivery, DeviceConnection
from thingmint.mqtt.queues.kept_message import AccountMemory, KeptMessage
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.queues.outgoing import Outgoing, as_sent
from thingmint.mqtt.queues.size_classes import SizeClasses


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all outboxes of an account work with."""

    limits: BrokerLimits
    memory: AccountMemory
    counters: Counters
    by_size: "SizeClasses[Outbox]"
    """The large ones."""
    large: int
    """So many bytes make a queue a large one; at least one."""
    became_large: "Callable[[Outbox], None]"
    """Told when a queue becomes a large one."""


class Outbox:
    """Sends as much as the connection takes, and keeps the rest within the client's own bounds."""

    __slots__ = (
        "_around",
        "_duplicate_ids",
        "_in_flight",
        "_is_placed",
        "_last_id",
        "_live_since",
        "_replaying",
        "_unsent",
        "_unsent_bytes",
        "_waiting",
        "progress_at",
        "size",
        "turn",
    )

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        # QoS 0 that the connection had no room for, and QoS 1. Most clients never have any, and a deque without
        # anything in it takes most of a kilobyte.
        self._unsent: deque[Outgoing] | None = None
        self._unsent_bytes = 0
        self._waiting: deque[Outgoing] | None = None
        self._in_flight: dict[int, Outgoing] = {}
        # Identifiers of messages that wait to be sent again.
        self._duplicate_ids: set[int] | None = None
        self._last_id = 0
        self._replaying = 0
        self._is_placed = False
        self._live_since: float | None = None
        self.size = 0
        """How many bytes all that waits or is unacknowledged counts for."""
        self.turn = 0
        """How many of the stored messages may still be sent in this second."""
        self.progress_at = 0.0
        """When the client last took or acknowledged a message."""

    def __len__(self) -> int:
        return len(self._unsent or ()) + len(self._waiting or ()) + len(self._in_flight)

    @property
    def is_replaying(self) -> bool:
        """Whether the first of what waits was stored while the client was away."""
        return self._replaying > 0

    @property
    def is_full(self) -> bool:
        """Whether this client's own bounds are reached."""
        limits = self._around.limits
        return self.size >= limits.queued_bytes or len(self._waiting or ()) >= limits.queued_messages

    @property
    def is_large(self) -> bool:
        """Whether it is one of the queues that may be the reason why room is short."""
        return self._is_placed

    @property
    def may_be_sent_at_once(self) -> bool:
        """Whether no message of QoS 0 waits, which would have to come first."""
        return not self._unsent

    def send_at_once(
        self,
        message: KeptMessage,
        shared: SharedPublish,
        connection: DeviceConnection,
        now: float,
        *,
        is_reserved: bool,
    ) -> bool:
        """Send a message of QoS 1 that need not wait for anything; return False, having done nothing, otherwise.

        By far the most frequent way of a message, with the least that can be done for it. The caller has asked whether
        the client may receive it.
        """
        if self._waiting or self._unsent or message.expires_at is not None:
            return False
        around = self._around
        in_flight = len(self._in_flight)
        if in_flight >= around.limits.in_flight or in_flight >= connection.receive_window:
            return False
        packet_id = self._free_id()
        if connection.deliver_shared(shared, packet_id) is not Delivery.WRITTEN:
            return False
        outgoing = Outgoing(message, shared.qos, shared.retain, packet_id, shared.group)
        self._charge(outgoing, is_reserved=is_reserved)
        self._in_flight[packet_id] = outgoing
        self.progress_at = now
        around.counters.passed(Traffic.SENT)
        return True

    def put(self, outgoing: Outgoing, now: float, *, is_reserved: bool = False) -> None:
        """Let a message of QoS 1 wait for ``flush``; the caller has asked ``is_full`` and made room for it."""
        if self._replaying and self._live_since is None:
            self._live_since = now
        if not self.size:
            self.progress_at = now
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(outgoing)
        self._charge(outgoing, is_reserved=is_reserved)

    def put_unsent(self, outgoing: Outgoing, now: float) -> bool:
        """Let a message of QoS 0 wait while the connection lasts; return False, keeping nothing, if it is too much."""
        around = self._around
        fits = self._unsent_bytes + outgoing.size <= around.limits.unsent_qos_0_bytes and not self.is_full
        if not fits or around.memory.queued.left < outgoing.size:
            return False
        if not self.size:
            self.progress_at = now
        if self._unsent is None:
            self._unsent = deque()
        self._unsent.append(outgoing)
        self._unsent_bytes += outgoing.size
        self._charge(outgoing, is_reserved=False)
        return True

    def flush(self, connection: DeviceConnection, now: float, shared: SharedPublish | None = None) -> None:
        """Send what waits until the client takes no more; what has expired or is not allowed any more is dropped.

        ``shared`` has the bytes of the message that was put last.
        """
        while self._unsent:
            if not self._send_unsent(self._unsent[0], connection, now):
                return
        while self._waiting:
            outgoing = self._waiting[0]
            void = self._why_void(outgoing, connection, now)
            if void is not None:
                self._around.counters.lost(void)
                self._release(self._leave_first())
            elif not self._may_send(outgoing, connection, now) or not self._send(outgoing, connection, now, shared):
                return

    def acknowledge(self, packet_id: int, now: float) -> None:
        """Forget the message with the packet identifier, if it is under way."""
        outgoing = self._in_flight.pop(packet_id, None)
        if outgoing is not None:
            self.progress_at = now
            self._release(outgoing)

    def interrupt(self) -> None:
        """Take back what was not acknowledged: the connection has ended. Of QoS 0, nothing is kept for the next."""
        if self._unsent:
            self._around.counters.lost(Loss.SESSION_ENDED, len(self._unsent))
            self._drop_unsent()
        if self._in_flight:
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.extendleft(reversed(self._in_flight.values()))
            self._duplicate_ids = {*(self._duplicate_ids or ()), *self._in_flight}
            self._in_flight = {}
        self._replaying = 0
        self._live_since = None

    def begin(self, now: float) -> None:
        """Count what waits as stored: there is a new connection."""
        self._replaying, self.turn, self.progress_at = len(self._waiting or ()), 0, now
        self._live_since = None

    def drop_oldest(self) -> bool:
        """Drop the message that has waited longest, for others to have room; return False if nothing waits.

        What was sent and is not acknowledged comes last: the client's window counts it.
        """
        if self._waiting:
            self._release(self._leave_first())
        elif self._unsent:
            self._leave_unsent()
        elif self._in_flight:
            self._release(self._in_flight.pop(next(iter(self._in_flight))))
        else:
            return False
        return True

    @property
    def has_unacknowledged_only(self) -> bool:
        """Whether all there is has been sent to the client."""
        return bool(self._in_flight) and not self._waiting and not self._unsent

    def clear(self) -> int:
        """Drop everything and return how many messages that was."""
        count = len(self)
        self._drop_unsent()
        for outgoing in (*(self._waiting or ()), *self._in_flight.values()):
            self._around.memory.release(outgoing.message)
            self._around.memory.messages -= 1
        self._waiting = self._duplicate_ids = None
        self._in_flight = {}
        self._grow(-self.size)
        self._replaying = 0
        return count

    def _why_void(self, outgoing: Outgoing, connection: DeviceConnection, now: float) -> Loss | None:
        message = outgoing.message
        if message.expires_at is not None and message.expires_at <= now:
            return Loss.EXPIRED
        return None if connection.may_receive(outgoing.received_as) else Loss.NOT_ALLOWED

    def _may_send(self, outgoing: Outgoing, connection: DeviceConnection, now: float) -> bool:
        if self._replaying and not self.turn and not self._must_catch_up(now):
            return False
        return len(self._in_flight) < min(connection.receive_window, self._around.limits.in_flight)

    def _must_catch_up(self, now: float) -> bool:
        # New messages wait behind the stored ones, so that the order is kept, but not for ever.
        return self._live_since is not None and now - self._live_since >= self._around.limits.live_wait_seconds

    def _send(self, outgoing: Outgoing, connection: DeviceConnection, now: float, shared: SharedPublish | None) -> bool:
        is_duplicate = outgoing.packet_id > 0
        packet_id = outgoing.packet_id or self._free_id()
        if (
            shared is not None
            and not is_duplicate
            and shared.is_of(outgoing.message.publish, outgoing.qos, outgoing.retain)
        ):
            outcome = connection.deliver_shared(shared, packet_id)
        else:
            outcome = connection.deliver(as_sent(outgoing, packet_id, is_duplicate, now))
        if outcome is Delivery.FULL:
            return False
        self.progress_at = now
        self.turn -= self._replaying > 0 and self.turn > 0
        self._leave_first()
        if outcome is Delivery.TOO_LARGE:
            self._around.counters.lost(Loss.TOO_LARGE_FOR_CLIENT)
            self._release(outgoing)
            return True
        self._around.counters.passed(Traffic.SENT)
        outgoing.packet_id = packet_id
        if is_duplicate:
            self._forget_duplicate(packet_id)
        self._in_flight[packet_id] = outgoing
        return True

    def _send_unsent(self, outgoing: Outgoing, connection: DeviceConnection, now: float) -> bool:
        void = self._why_void(outgoing, connection, now)
        if void is None:
            outcome = connection.deliver(as_sent(outgoing, 0, False, now))
            if outcome is Delivery.FULL:
                return False
            self.progress_at = now
            void = Loss.TOO_LARGE_FOR_CLIENT if outcome is Delivery.TOO_LARGE else None
        if void is None:
            self._around.counters.passed(Traffic.SENT)
        else:
            self._around.counters.lost(void)
        self._leave_unsent()
        return True

    def _leave_unsent(self) -> None:
        assert self._unsent, "called where there is one"
        outgoing = self._unsent.popleft()
        # Most of an empty queue is memory.
        self._unsent = self._unsent or None
        self._unsent_bytes -= outgoing.size
        self._release(outgoing)

    def _drop_unsent(self) -> None:
        while self._unsent:
            self._leave_unsent()

    def _leave_first(self) -> Outgoing:
        assert self._waiting, "called where there is one"
        self._replaying -= self._replaying > 0
        outgoing = self._waiting.popleft()
        self._waiting = self._waiting or None
        return outgoing

    def _release(self, outgoing: Outgoing) -> None:
        if self._duplicate_ids is not None:
            self._forget_duplicate(outgoing.packet_id)
        self._around.memory.release(outgoing.message)
        self._around.memory.messages -= 1
        self._grow(-outgoing.size)

    def _charge(self, outgoing: Outgoing, *, is_reserved: bool) -> None:
        memory = self._around.memory
        if is_reserved:
            memory.hold_reserved(outgoing.message)
        else:
            memory.hold(outgoing.message)
        memory.messages += 1
        self._grow(outgoing.size)

    def _grow(self, size: int) -> None:
        self.size += size
        # Only a large queue is ever asked to give something up, and most never are.
        if self.size >= self._around.large or self._is_placed:
            was_placed, self._is_placed = self._is_placed, self.size >= self._around.large
            self._around.by_size.place(self, self.size if self._is_placed else 0)
            if self._is_placed and not was_placed:
                self._around.became_large(self)

    def _free_id(self) -> int:
        # There are far more identifiers than messages in flight.
        while True:
            self._last_id = self._last_id % DATA_PLANE_PACKET_IDS[-1] + 1
            if self._last_id not in self._in_flight and self._last_id not in (self._duplicate_ids or ()):
                return self._last_id

    def _forget_duplicate(self, packet_id: int) -> None:
        if self._duplicate_ids is not None:
            self._duplicate_ids.discard(packet_id)
            self._duplicate_ids = self._duplicate_ids or None
