"""Owns the queue of messages to one client: those that wait, that are unacknowledged, and that are sent again.

The order is kept. Messages that are unacknowledged when a connection ends are sent first on the next connection, as
duplicates with their old packet identifiers. Messages of QoS 0 have a separate queue, which exists only during a
connection. Independent of the filters that a message matched.
"""

from collections import deque
from collections.abc import Callable

from msgspec import Struct

from thingmint.mqtt.codec.shared_publish import SharedPublish
from thingmint.mqtt.counters import Counters, Loss, Traffic
from thingmint.mqtt.data_plane import DATA_PLANE_PACKET_IDS, Delivery, DeviceConnection
from thingmint.mqtt.queues.kept_message import ENTRY_BYTES, AccountMemory, KeptMessage
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.queues.outgoing import Outgoing, as_sent
from thingmint.mqtt.queues.size_classes import SizeClasses


class OutboxContext(Struct, frozen=True):
    """The objects that all outboxes of an account share."""

    limits: BrokerLimits
    memory: AccountMemory
    counters: Counters
    by_size: "SizeClasses[Outbox]"
    """The outboxes that are large, by size."""
    large: int
    """From this many bytes on, at least one, a queue is large."""
    became_large: "Callable[[Outbox], None]"
    """Called when a queue becomes large."""


class Outbox:
    """Sends as much as the connection accepts, and keeps the rest within the client's limits."""

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

    def __init__(self, around: OutboxContext) -> None:
        self._around = around
        # Messages of QoS 0 for which the connection had no room, and messages of QoS 1. Most clients never have any,
        # and an empty deque takes most of a kilobyte.
        self._unsent: deque[Outgoing] | None = None
        self._unsent_bytes = 0
        self._waiting: deque[Outgoing] | None = None
        self._in_flight: dict[int, Outgoing] = {}
        # Packet identifiers of messages that wait to be sent again.
        self._duplicate_ids: set[int] | None = None
        self._last_id = 0
        self._replaying = 0
        self._is_placed = False
        self._live_since: float | None = None
        self.size = 0
        """The bytes of all messages that wait or are unacknowledged."""
        self.turn = 0
        """How many stored messages may still be sent in this second."""
        self.progress_at = 0.0
        """When the client last accepted or acknowledged a message."""

    def __len__(self) -> int:
        return len(self._unsent or ()) + len(self._waiting or ()) + len(self._in_flight)

    @property
    def is_replaying(self) -> bool:
        """Whether the first waiting message was stored while the client was not connected."""
        return self._replaying > 0

    @property
    def is_full(self) -> bool:
        """Whether this client's limits are reached."""
        limits = self._around.limits
        return self.size >= limits.queued_bytes or len(self._waiting or ()) >= limits.queued_messages

    @property
    def is_large(self) -> bool:
        """Whether the queue is large, so that it may be the cause of a shortage of memory."""
        return self._is_placed

    @property
    def may_be_sent_at_once(self) -> bool:
        """Whether no message of QoS 0 waits, which would have to be sent first."""
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
        """Send a message of QoS 1 if it need not wait; otherwise change nothing and return False.

        This is by far the most frequent case, so it does as little as possible. The caller has checked that the client
        may receive the message.
        """
        if self._waiting or self._unsent or message.expires_at is not None:
            return False
        around = self._around
        limits, in_flight = around.limits, len(self._in_flight)
        if self.size >= limits.queued_bytes or in_flight >= limits.in_flight or in_flight >= connection.receive_window:
            return False
        packet_id = self._free_id()
        if connection.deliver_shared(shared, packet_id) is not Delivery.WRITTEN:
            return False
        outgoing = self._in_flight[packet_id] = Outgoing(message, shared.qos, shared.retain, packet_id, shared.group)
        self._charge(outgoing, is_reserved=is_reserved)
        self.progress_at = now
        around.counters.passed(Traffic.SENT)
        return True

    def put(self, outgoing: Outgoing, now: float, *, is_reserved: bool = False) -> None:
        """Queue a message of QoS 1 for ``flush``; the caller has checked ``is_full`` and made room for it."""
        if self._replaying and self._live_since is None:
            self._live_since = now
        if not self.size:
            self.progress_at = now
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(outgoing)
        self._charge(outgoing, is_reserved=is_reserved)

    def put_unsent(self, outgoing: Outgoing, now: float) -> bool:
        """Queue a message of QoS 0 for this connection; return False without queueing it if the limit is reached."""
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
        """Send waiting messages until the client accepts no more; drop those that have expired or are no longer
        allowed.

        ``shared`` has the encoded bytes of the newest message.
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

    def acknowledge(self, packet_id: int, now: float) -> bool:
        """Remove the message with the packet identifier, if it is in flight; return whether other messages wait."""
        outgoing = self._in_flight.pop(packet_id, None)
        if outgoing is not None:
            self.progress_at = now
            self._release(outgoing)
        return bool(self._waiting or self._unsent)

    def interrupt(self) -> None:
        """Queue unacknowledged messages again after the end of a connection; drop messages of QoS 0."""
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
        """Begin a new connection; all messages that wait now count as stored."""
        self._replaying, self.turn, self.progress_at = len(self._waiting or ()), 0, now
        self._live_since = None

    def drop_oldest(self) -> bool:
        """Drop the longest waiting message to free memory; return False if no message waits.

        Messages in flight are dropped last, because the client's receive window counts them.
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
        """Whether all messages have been sent to the client."""
        return bool(self._in_flight) and not self._waiting and not self._unsent

    def clear(self) -> int:
        """Drop all messages and return their number."""
        count = len(self)
        self._drop_unsent()
        for outgoing in (*(self._waiting or ()), *self._in_flight.values()):
            self._around.memory.release(outgoing.message)
            self._around.memory.messages -= 1
        self._waiting = self._duplicate_ids = None
        self._in_flight = {}
        self.size = 0
        if self._is_placed:
            self._place()
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
        # New messages wait for the stored ones, so that the order is kept, but only for a limited time.
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
        # Free the memory of an empty queue.
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
        around = self._around
        around.memory.release(outgoing.message)
        around.memory.messages -= 1
        self.size -= outgoing.message.size + ENTRY_BYTES
        if self._is_placed:
            self._place()

    def _charge(self, outgoing: Outgoing, *, is_reserved: bool) -> None:
        around, message = self._around, outgoing.message
        if is_reserved:
            around.memory.hold_reserved(message)
        else:
            around.memory.hold(message)
        around.memory.messages += 1
        self.size += message.size + ENTRY_BYTES
        # Only large queues are ever asked to drop messages, and most queues are never large.
        if self.size >= around.large or self._is_placed:
            self._place()

    def _place(self) -> None:
        """Put the queue among the large ones, or remove it, after its size has changed."""
        was_placed, self._is_placed = self._is_placed, self.size >= self._around.large
        self._around.by_size.place(self, self.size if self._is_placed else 0)
        if self._is_placed and not was_placed:
            self._around.became_large(self)

    def _free_id(self) -> int:
        # The loop ends, because there are far more identifiers than messages in flight.
        while True:
            self._last_id = self._last_id % DATA_PLANE_PACKET_IDS[-1] + 1
            if self._last_id not in self._in_flight and self._last_id not in (self._duplicate_ids or ()):
                return self._last_id

    def _forget_duplicate(self, packet_id: int) -> None:
        if self._duplicate_ids is not None:
            self._duplicate_ids.discard(packet_id)
            self._duplicate_ids = self._duplicate_ids or None
