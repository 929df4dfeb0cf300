"""Owns the built-in broker of one account: sessions, subscriptions and wills, in memory. Does no I/O.

- Times are seconds of any clock that does not go backwards.
- Topics and filters that start with ``$`` are refused, so that no client can find an answer of the service.
- Messages have QoS 0 or 1.
- All state is lost at a restart.
- Of other accounts it uses only the amount of memory that they take.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from thingmint.mqtt.broker.fan_out import FanOut
from thingmint.mqtt.broker.message_flow import MessageFlow, may_be_published
from thingmint.mqtt.broker.replays import Replays
from thingmint.mqtt.broker.session import Session, will_message
from thingmint.mqtt.broker.stuck import StuckClients
from thingmint.mqtt.broker.subscribing import Subscribing
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Publish, Subscription, Will
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.counters import Counters, Gauge, Loss, Traffic
from thingmint.mqtt.data_plane import DeviceConnection, KeptWill, Opened, Retained, WillRight
from thingmint.mqtt.pacing.due_times import DueTimes
from thingmint.mqtt.queues.budgets import AccountBudget, MemoryBudgets, budgets_of
from thingmint.mqtt.queues.kept_message import ENTRY_BYTES, KeptMessage, kept
from thingmint.mqtt.queues.limits import BrokerLimits

_SWEEP_SECONDS: Final = 60.0
# How many due times may be outdated before they are removed.
_OUTDATED: Final = 1000

WillsDue: TypeAlias = Callable[[str, KeptMessage, WillRight], None]
"""Receives a will that is due: the client id, the message, and the object that decides whether it may be published."""


class LocalBroker:
    """Carries messages between the connections of one account to one process."""

    def __init__(
        self,
        limits: BrokerLimits,
        budgets: MemoryBudgets | None = None,
        counters: Counters | None = None,
        spread: Callable[[FanOut, float], object] = lambda fan_out, now: fan_out.run(now),
        wills: WillsDue | None = None,
    ) -> None:
        """Use memory budgets that all accounts share; ``spread`` delivers messages that have no publisher.

        ``wills`` receives wills that are due and calls `will_decided`; without it, every will is published.
        """
        self._wills = wills
        self._undecided = 0
        budgets = budgets or budgets_of(limits)
        self._limits = limits
        self._counters = counters or Counters()
        self._spread = spread
        self._sessions: dict[str, Session] = {}
        # Sessions without a connection, in the order in which their clients left.
        self._away: OrderedDict[str, Session] = OrderedDict()
        self._due: DueTimes[Session] = DueTimes()
        self._replays = Replays(limits.replayed_per_second)
        self._offline = AccountBudget(budgets.offline_sessions, self._end_longest_away)
        self._stuck = StuckClients(limits.stuck_seconds, self._counters, self._end_connection)
        self._flow = MessageFlow(limits, budgets, self._sessions, self._counters, self._end_connection, self._stuck)
        self._subscribing = Subscribing(self._flow, self._counters)
        self._sweep_at = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether the broker has no sessions, no retained messages and no messages in flight, and can be removed."""
        is_idle = not self._flow.running and not self._undecided
        return not self._sessions and self._flow.retained.is_empty and is_idle

    def leave_budgets(self) -> None:
        """Leave the shared memory budgets; the broker must be empty."""
        for part in (self._flow.memory.queued, self._flow.memory.retained, self._offline):
            part.leave()

    def measured(self) -> Counter[Gauge]:
        """Return the broker's gauges."""
        memory, retained = self._flow.memory, self._flow.retained
        return Counter(
            {
                Gauge.QUEUED_MESSAGES: memory.messages,
                Gauge.QUEUED_BYTES: memory.queued.taken,
                Gauge.RETAINED_MESSAGES: len(retained),
                Gauge.RETAINED_BYTES: memory.retained.taken,
                Gauge.SESSIONS_CONNECTED: len(self._sessions) - len(self._away),
                Gauge.SESSIONS_AWAY: len(self._away),
                Gauge.SUBSCRIPTIONS: self._subscribing.count,
                Gauge.ACCOUNTS: 1,
            }
        )

    # Sessions

    def open(self, connection: DeviceConnection, connect: Connect, now: float) -> Opened:
        """Begin or resume a session; raise PacketRefused if its will has an invalid topic, or does not fit."""
        will = self._kept_will(connect.will, now)
        client_id = connection.client_id
        known = self._sessions.get(client_id)
        if known is not None and known.connection is not None:
            self._end_connection(known, ReasonCode.SESSION_TAKEN_OVER)
            self._leave(known, now, clean=False)
            known = self._sessions.get(client_id)
        if known is not None and (connect.clean_start or known.version is not connect.version):
            self._end(known, now)
            known = None
        session = known or self._new_session(client_id, connect.version)
        self._is_back(session)
        # A delayed will is not published if the client has reconnected (MQTT-3.1.3-9).
        self._drop_will(session)
        session.begin(connection, self._limits.session_expiry(connect), now)
        if session.outbox.is_large:
            self._stuck.watch(session)
        if will is not None and connect.will is not None:
            session.will, session.will_delay = will, connect.will.properties.will_delay_interval or 0
            session.will_right = connection.will_right
        return Opened(known is not None, session.expiry)

    def will_of(self, connection: DeviceConnection) -> KeptWill | None:
        """Return the will of a connection; its delay is at most the session's expiry."""
        session = self._session_of(connection)
        if session is None or session.will is None:
            return None
        return KeptWill(session.will.publish, min(session.will_delay, session.expiry))

    def resume(self, connection: DeviceConnection, now: float) -> None:
        """Send the messages that wait for the client."""
        session = self._session_of(connection)
        if session is None or session.is_ending:
            return
        if not session.is_receiving:
            session.is_receiving = True
            self._flow.router.set_present(session.client_id, session.shared_filters, is_present=True)
            self._replays.begin(session)
        session.flush(now)

    def acknowledge(self, connection: DeviceConnection, packet_id: int, now: float) -> None:
        """Remove an acknowledged message, and send the next one."""
        session = self._session_of(connection)
        if session is not None and session.outbox.acknowledge(packet_id, now):
            session.flush(now)

    def close(
        self, connection: DeviceConnection, now: float, *, clean: bool, session_expiry_interval: int | None = None
    ) -> None:
        """Process the end of a connection; if its session was taken over, there is nothing to do."""
        session = self._session_of(connection)
        if session is None:
            return
        # MQTT 5, 3.14.2.2.2: DISCONNECT cannot extend a session whose expiry interval was 0 in CONNECT.
        if session_expiry_interval is not None and session.expiry:
            session.expiry = min(session_expiry_interval, self._limits.max_session_expiry)
        self._leave(session, now, clean=clean)

    def advance(self, now: float, is_over: Callable[[], bool] = lambda: False) -> bool:
        """Publish due wills, end expired sessions, replay the next stored messages, disconnect stuck clients.

        Returns whether all is done: the work stops when ``is_over`` returns True, and continues at the next call.
        """
        while (due := self._due.next_due(now)) is not None:
            self._has_come(*due, now)
            if is_over():
                return False
        if not self._replays.advance(now, is_over):
            return False
        if not self._stuck.advance(now, is_over):
            return False
        if now >= self._sweep_at:
            # Expired messages are not sent, and only take memory, also from other accounts.
            self._flow.retained.discard_expired(now)
            self._sweep_at = now + _SWEEP_SECONDS
        return True

    def forget(self, now: float, is_over: Callable[[], bool] = lambda: False) -> bool:
        """Remove retained messages, wills, and sessions; those of connected clients end with their connections.

        Returns whether all is done: the work stops when ``is_over`` returns True, and continues at the next call.
        """
        while self._away:
            session = next(iter(self._away.values()))
            self._drop_will(session)
            self._end(session, now)
            if is_over():
                return False
        for session in self._sessions.values():
            self._drop_will(session)
            session.expiry = 0
        return self._flow.retained.discard_some(is_over)

    # Messages

    def begin(self, connection: DeviceConnection | None, message: Publish, now: float) -> FanOut:
        """Accept or refuse a message, the service's own if there is no connection; the caller runs the fan-out."""
        self._counters.passed(Traffic.RECEIVED)
        if connection is None:
            return self._flow.begin(kept(message, now), None, None, now)
        return self._flow.begin(kept(message, now), connection.client_id, connection.version, now)

    def publish(self, connection: DeviceConnection | None, message: Publish, now: float) -> ReasonCode:
        """Deliver a message to all receivers without pausing, and return the code of its PUBACK."""
        fan_out = self.begin(connection, message, now)
        fan_out.run(now)
        return fan_out.code

    def will_decided(self, client_id: str, will: KeptMessage, now: float, *, is_allowed: bool) -> None:
        """Publish a will that was due, or drop it if its device may no longer publish it."""
        self._undecided -= 1
        if is_allowed:
            self._pass_on_will(client_id, will, now)
        else:
            self._flow.memory.release(will)

    def retained(self, topic: str, now: float) -> Retained | None:
        """Return the topic's retained message."""
        return self._flow.retained.read(topic, now)

    def retained_after(self, topic: str, count: int, now: float) -> Sequence[Retained]:
        """Return up to ``count`` retained messages whose topics sort after ``topic``."""
        return self._flow.retained.read_after(topic, count, now)

    # Subscriptions

    def subscribe(
        self, connection: DeviceConnection, subscriptions: Sequence[Subscription], now: float
    ) -> tuple[ReasonCode, ...]:
        """Add or replace subscriptions and return SUBACK's codes."""
        session = self._session_of(connection)
        if session is None:
            return (ReasonCode.UNSPECIFIED_ERROR,) * len(subscriptions)
        room = self._limits.subscriptions - connection.own_filters
        return tuple(self._subscribing.subscribe(session, each, room, now) for each in subscriptions)

    def unsubscribe(self, connection: DeviceConnection, topic_filters: Sequence[str]) -> tuple[ReasonCode, ...]:
        """End subscriptions and return UNSUBACK's codes. As at AWS, an unknown subscription is a success."""
        session = self._session_of(connection)
        if session is not None:
            self._subscribing.unsubscribe(session, topic_filters)
        return (ReasonCode.SUCCESS,) * len(topic_filters)

    # The life of a session

    def _session_of(self, connection: DeviceConnection) -> Session | None:
        session = self._sessions.get(connection.client_id)
        return session if session is not None and session.connection is connection else None

    def _new_session(self, client_id: str, version: ProtocolVersion) -> Session:
        session = self._sessions[client_id] = Session(client_id, version, self._flow.new_outbox())
        self._flow.own(session)
        return session

    def _end_connection(self, session: Session, reason_code: ReasonCode) -> None:
        if session.end_connection(reason_code):
            self._flow.router.set_present(session.client_id, session.shared_filters, is_present=False)

    def _leave(self, session: Session, now: float, *, clean: bool) -> None:
        if clean:
            self._drop_will(session)
        session.leave(now)
        self._replays.end(session)
        self._stuck.forget(session)
        if not session.expiry:
            self._end(session, now)
            return
        self._flow.router.set_present(session.client_id, session.shared_filters, is_present=False)
        self._away[session.client_id] = session
        self._offline.take(1)
        if session.will is not None and session.will_at <= now:
            self._publish_will(session, now)
        self._await(session)
        if self._offline.left < 0:
            self._offline.largest().give_up(now)

    def _await(self, session: Session) -> None:
        if len(self._due) > 2 * len(self._away) + _OUTDATED:
            self._due.replace((each.due_at, each) for each in self._away.values() if each is not session)
        session.due_at = session.expires_at if session.will is None else session.will_at
        self._due.add(session.due_at, session)

    def _has_come(self, at: float, session: Session, now: float) -> None:
        if self._away.get(session.client_id) is not session or session.due_at != at:
            # The client has reconnected meanwhile.
            return
        if session.expires_at <= now:
            self._end(session, now)
            return
        self._publish_will(session, now)
        self._await(session)

    def _is_back(self, session: Session) -> None:
        if self._away.pop(session.client_id, None) is not None:
            self._offline.take(-1)

    def _end_longest_away(self, now: float) -> bool:
        if not self._away:
            return False
        self._counters.lost(Loss.SESSION_MADE_ROOM)
        self._end(next(iter(self._away.values())), now)
        return True

    def _end(self, session: Session, now: float) -> None:
        del self._sessions[session.client_id]
        self._is_back(session)
        self._subscribing.end_all(session)
        self._flow.drop_waiting(session)
        self._publish_will(session, now)

    # Wills

    def _kept_will(self, will: Will | None, now: float) -> KeptMessage | None:
        if will is None:
            return None
        if not may_be_published(will.topic):
            raise PacketRefused(ReasonCode.TOPIC_NAME_INVALID, "The will's topic is reserved or not valid")
        message = kept(will_message(will), now)
        message.expires_at = None
        if not self._flow.make_room(ENTRY_BYTES + message.size, ENTRY_BYTES + message.size, now):
            self._counters.lost(Loss.WILL_REFUSED)
            raise PacketRefused(ReasonCode.QUOTA_EXCEEDED, "There is no room for the will")
        self._flow.memory.hold(message)
        return message

    def _drop_will(self, session: Session) -> None:
        will, session.will = session.will, None
        if will is not None:
            self._flow.memory.release(will)

    def _publish_will(self, session: Session, now: float) -> None:
        will, session.will = session.will, None
        if will is None:
            return
        if self._wills is None or session.will_right is None:
            self._pass_on_will(session.client_id, will, now)
        else:
            self._undecided += 1
            self._wills(session.client_id, will, session.will_right)

    def _pass_on_will(self, client_id: str, will: KeptMessage, now: float) -> None:
        self._flow.memory.release(will)
        expiry = will.publish.properties.message_expiry_interval
        will.expires_at = None if expiry is None else now + expiry
        lost = Loss.WILL_WITHOUT_ROOM
        fan_out = self._flow.begin(will, client_id, ProtocolVersion.MQTT_3_1_1, now, also_lost=lost)
        self._spread(fan_out, now)
