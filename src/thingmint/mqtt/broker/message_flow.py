"""Owns the flow of a message in one account: which sessions get it, whether it fits, and which messages are dropped.

- A message of QoS 1 is either accepted for all receivers or refused before any of them gets it: memory is reserved
  first. Afterwards a receiver loses it only because of its own limits.
- If memory is short, the account that uses most drops the oldest messages of one of its largest queues.
- For a message in the same account this is done only if that queue is larger than the average queue of the message's
  receivers, so that queues of equal size do not evict each other's messages.
"""

from collections.abc import Callable, Generator, Mapping, MutableMapping
from typing import Final

from thingmint.core.topics.names import InvalidTopic, check_topic, is_reserved, received_as
from thingmint.mqtt.broker.fan_out import DeliveryResult, FanOut
from thingmint.mqtt.broker.retained import RetainedMessages
from thingmint.mqtt.broker.router import MemberReadiness, Receivers, TopicRouter
from thingmint.mqtt.broker.session import Session
from thingmint.mqtt.broker.stuck import StuckClients
from thingmint.mqtt.codec.packets import ProtocolVersion, QoS
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.codec.shared_publish import SharedPublish
from thingmint.mqtt.counters import Counters, Loss, Traffic
from thingmint.mqtt.data_plane import Delivery
from thingmint.mqtt.queues.budgets import AccountBudget, MemoryBudgets
from thingmint.mqtt.queues.kept_message import ENTRY_BYTES, AccountMemory, KeptMessage
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.queues.outbox import Outbox, OutboxContext
from thingmint.mqtt.queues.outgoing import Outgoing, as_sent
from thingmint.mqtt.queues.size_classes import SizeClasses

# This many queues that are not large do not fill the budget.
_SMALL_QUEUES: Final = 65_536
# How many steps of the search for a message's receivers are taken at once. Mostly it has none.
_STEPS_AT_ONCE: Final = 16


class MessageFlow:
    """The messages of one account's broker, between its sessions."""

    def __init__(
        self,
        limits: BrokerLimits,
        budgets: MemoryBudgets,
        sessions: Mapping[str, Session],
        counters: Counters,
        end_connection: Callable[[Session, ReasonCode], None],
        stuck: StuckClients,
    ) -> None:
        self._sessions = sessions
        self._counters = counters
        self._end_connection = end_connection
        self._stuck = stuck
        self.memory = AccountMemory(
            AccountBudget(budgets.queued_bytes, self._give_up), AccountBudget(budgets.retained_bytes)
        )
        self.router = TopicRouter()
        self.retained = RetainedMessages(limits, self.memory)
        self._by_size: SizeClasses[Outbox] = SizeClasses()
        large = max(1, budgets.queued_bytes.total // _SMALL_QUEUES)
        self._around = OutboxContext(limits, self.memory, counters, self._by_size, large, self._became_large)
        self._owner_of: MutableMapping[Outbox, Session] = {}
        self.running = 0
        """How many messages are being delivered."""

    def new_outbox(self) -> Outbox:
        """Return a queue for a new session; call ``own`` afterwards to register the session."""
        return Outbox(self._around)

    def own(self, session: Session) -> None:
        """Register the session of a queue."""
        self._owner_of[session.outbox] = session

    def drop_waiting(self, session: Session) -> None:
        """Drop the messages that wait in a session that has ended."""
        count = session.outbox.clear()
        if count:
            self._counters.lost(Loss.SESSION_ENDED, count)
        del self._owner_of[session.outbox]
        self._stuck.forget(session)

    def begin(
        self,
        message: KeptMessage,
        publisher: str | None,
        version: ProtocolVersion | None,
        now: float,
        *,
        also_lost: Loss | None = None,
    ) -> FanOut:
        """Begin to deliver a message; the caller must run the returned fan-out unless it is done.

        ``version`` is that of the publisher's connection; None means the service itself. A refused message is also
        counted as ``also_lost``.
        """
        publish = message.publish
        has_topic = may_be_published(publish.topic)

        def accept(fan_out: FanOut, receivers: Receivers, now: float) -> ReasonCode:
            code = self._accept(fan_out, receivers, now) if has_topic else ReasonCode.TOPIC_NAME_INVALID
            if code.is_failure and also_lost is not None:
                self._counters.lost(also_lost)
            return code

        def finish(fan_out: FanOut) -> None:
            self._finish(fan_out, version)

        self.running += 1
        finding = self._receivers(publish.topic, publisher)
        fan_out = FanOut(message, finding, accept, self._give, finish)
        fan_out.find(now, _STEPS_AT_ONCE)
        return fan_out

    def put_retained(self, session: Session, topic: str, qos: QoS, now: float) -> None:
        """Queue the topic's retained message for a client that has just subscribed."""
        message = self.retained.get(topic, now)
        if message is None:
            return
        outgoing = Outgoing(message, min(message.publish.qos, qos), True)
        if not outgoing.qos:
            if not session.outbox.put_unsent(outgoing, now):
                self._counters.lost(Loss.UNSENT_QOS_0)
        elif session.outbox.is_full:
            self._counters.lost(Loss.QUEUE_FULL)
        elif not self.make_room(ENTRY_BYTES, session.outbox.size + outgoing.size, now):
            self._counters.lost(Loss.NO_ROOM_FOR_RETAINED_COPY)
        else:
            session.outbox.put(outgoing, now)

    def make_room(self, needed: int, at_least: int, now: float) -> bool:
        """Return whether ``needed`` bytes are free, after larger accounts and queues have dropped messages.

        Queues of this account with at most ``at_least`` bytes drop nothing.
        """
        queued = self.memory.queued
        # Each step frees at least one entry, so that the number of steps is small.
        while queued.left < needed:
            largest = queued.largest()
            if largest is not queued and largest.taken > queued.taken + needed and largest.give_up(now):
                continue
            outbox = self._by_size.largest()
            if outbox is None or outbox.size <= at_least:
                return False
            self._drop_oldest(outbox)
        return True

    def _accept(self, fan_out: FanOut, receivers: Receivers, now: float) -> ReasonCode:
        message, publish = fan_out.message, fan_out.message.publish
        stored = _stored(receivers) if publish.qos else 0
        is_kept = publish.retain and bool(publish.payload)
        if stored and not self._make_room_for(message, receivers, stored, now, is_kept=is_kept):
            self._counters.lost(Loss.PUBLISH_WITHOUT_ROOM)
            self._stuck.memory_is_short()
            return ReasonCode.QUOTA_EXCEEDED
        if publish.retain and not self._retain(message, now):
            self._counters.lost(Loss.RETAINED_WITHOUT_ROOM)
            return ReasonCode.QUOTA_EXCEEDED
        if stored:
            self.memory.hold(message)
            self.memory.reserve(stored)
            fan_out.is_held, fan_out.reserved = True, stored
        if self.memory.queued.left < 0:
            # A message that is no longer retained and still waits is charged to waiting messages, which may exceed the
            # budget.
            self.make_room(0, 0, now)
        return ReasonCode.SUCCESS

    def _receivers(self, topic: str, publisher: str | None) -> Generator[None, None, Receivers]:
        sessions = self._sessions

        def readiness(client_id: str, group: str) -> MemberReadiness:
            return _readiness(sessions[client_id], received_as(topic, group))

        return self.router.find_receivers(topic, publisher, readiness)

    def _make_room_for(
        self, message: KeptMessage, receivers: Receivers, stored: int, now: float, *, is_kept: bool
    ) -> bool:
        needed = ENTRY_BYTES * (stored + 1) + (0 if is_kept else message.size)
        if self.memory.queued.left >= needed:
            return True
        # The member of a group is not chosen yet. The one whose turn it is stands for it.
        names = (*receivers.names, *(group.first for group in receivers.shared if not group.is_empty))
        # Sessions may have ended since they were found.
        sizes = [session.outbox.size for name in names if (session := self._sessions.get(name)) is not None]
        average = sum(sizes) // max(1, len(sizes))
        return self.make_room(needed, average + message.size + ENTRY_BYTES, now)

    def _retain(self, message: KeptMessage, now: float) -> bool:
        if message.publish.payload:
            return self.retained.put(message, now)
        self.retained.discard(message.publish.topic)
        return True

    def _give(self, fan_out: FanOut, client_id: str, shared: SharedPublish, now: float) -> DeliveryResult:
        session = self._sessions.get(client_id)
        if session is None:
            return DeliveryResult.NOT_WANTED
        if not shared.qos:
            return self._give_at_most_once(fan_out.message, session, shared, now)
        connection = session.connection if session.is_receiving else None
        outbox, message = session.outbox, fan_out.message
        is_reserved = fan_out.reserved > 0
        if connection is not None:
            topic, group = message.publish.topic, shared.group
            if not connection.may_receive(topic if group is None else received_as(topic, group)):
                # Checked first, so that a refusal is reported once.
                self._counters.lost(Loss.NOT_ALLOWED)
                return DeliveryResult.NOT_WANTED
            if outbox.send_at_once(message, shared, connection, now, is_reserved=is_reserved):
                fan_out.reserved -= is_reserved
                return DeliveryResult.TAKEN
        if outbox.is_full:
            self._counters.lost(Loss.QUEUE_FULL)
            self._stuck.watch(session)
            return DeliveryResult.NO_ROOM
        fan_out.reserved -= is_reserved
        outgoing = Outgoing(message, shared.qos, shared.retain, group=shared.group)
        outbox.put(outgoing, now, is_reserved=is_reserved)
        session.flush(now, shared)
        return DeliveryResult.TAKEN

    def _give_at_most_once(
        self, message: KeptMessage, session: Session, shared: SharedPublish, now: float
    ) -> DeliveryResult:
        connection = session.connection if session.is_receiving else None
        if connection is None:
            return DeliveryResult.NOT_WANTED
        topic, group = message.publish.topic, shared.group
        if not connection.may_receive(topic if group is None else received_as(topic, group)):
            self._counters.lost(Loss.NOT_ALLOWED)
            return DeliveryResult.NOT_WANTED
        if message.has_expired(now):
            # The message expired while it waited for its turn.
            self._counters.lost(Loss.EXPIRED)
            return DeliveryResult.NOT_WANTED
        outcome = Delivery.FULL
        if session.outbox.may_be_sent_at_once:
            if message.expires_at is None:
                outcome = connection.deliver_shared(shared, 0)
            else:
                outcome = connection.deliver(as_sent(Outgoing(message, shared.qos, shared.retain), 0, False, now))
        if outcome is Delivery.WRITTEN:
            self._counters.passed(Traffic.SENT)
            return DeliveryResult.TAKEN
        if outcome is Delivery.TOO_LARGE:
            self._counters.lost(Loss.TOO_LARGE_FOR_CLIENT)
            return DeliveryResult.NOT_WANTED
        if session.outbox.put_unsent(Outgoing(message, shared.qos, shared.retain, group=shared.group), now):
            return DeliveryResult.TAKEN
        self._counters.lost(Loss.UNSENT_QOS_0)
        return DeliveryResult.NO_ROOM

    def _finish(self, fan_out: FanOut, version: ProtocolVersion | None) -> None:
        self.running -= 1
        if not fan_out.is_held:
            return
        # Some clients may have gone, or may have reached their own limits.
        self.memory.reserve(-fan_out.reserved)
        self.memory.release(fan_out.message)
        if fan_out.nobody_had_room and version is not ProtocolVersion.MQTT_3_1_1:
            # MQTT 5 can report this to the publisher. With 3.1.1 only ending the connection could, although the
            # publisher has made no mistake.
            self._counters.lost(Loss.PUBLISH_QUEUES_FULL)
            fan_out.code = ReasonCode.QUOTA_EXCEEDED

    def _became_large(self, outbox: Outbox) -> None:
        self._stuck.watch(self._owner_of[outbox])

    def _give_up(self, now: float) -> bool:
        del now
        outbox = self._by_size.largest()
        if outbox is None:
            return False
        self._drop_oldest(outbox)
        return True

    def _drop_oldest(self, outbox: Outbox) -> None:
        session = self._owner_of[outbox]
        if session.connection is not None and not session.is_ending and outbox.has_unacknowledged_only:
            # The client counts sent messages towards its receive window, so nothing more may be sent on this
            # connection.
            self._counters.lost(Loss.SUBSCRIBER_LARGEST)
            self._end_connection(session, ReasonCode.QUOTA_EXCEEDED)
        if outbox.drop_oldest():
            self._counters.lost(Loss.MADE_ROOM)


def _stored(receivers: Receivers) -> int:
    """Return the most receivers for which a message of QoS 1 must be stored."""
    own = receivers.own
    return sum(own[name].qos > 0 for name in receivers.names) + sum(group.may_store for group in receivers.shared)


def _readiness(session: Session, topic: str) -> MemberReadiness:
    connection = session.connection
    if connection is None or not connection.may_receive(topic):
        return MemberReadiness.NOT_ALLOWED
    return MemberReadiness.BUSY if session.outbox.is_full else MemberReadiness.READY


def may_be_published(topic: str) -> bool:
    """Return whether the topic is valid for messages and not reserved."""
    try:
        check_topic(topic)
    except InvalidTopic:
        return False
    return not is_reserved(topic)
