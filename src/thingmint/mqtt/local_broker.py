"""Owns the built-in broker of one account: sessions, routing, retained messages and wills, in memory, without I/O.

Time comes in as seconds of any clock that does not go back. What starts with ``$`` it refuses, so that no answer of the
service can be found through it; a message is QoS 0 or 1. A restart forgets everything. Of other accounts it knows
only how much room they take.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from thingmint.mqtt.data_plane import DeviceConnection, Opened, Retained, WillRight
from thingmint.mqtt.limits import BrokerLimits
from thingmint.mqtt.outbox import Outbox, Outgoing, size_of
from thingmint.mqtt.packets import Connect, ProtocolVersion, Publish, QoS, RetainHandling, Subscription
from thingmint.mqtt.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.retained import RetainedMessages
from thingmint.mqtt.rooms import Part, Rooms, rooms_of
from thingmint.mqtt.router import Readiness, Router
from thingmint.mqtt.session import Session, will_message
from thingmint.mqtt.topics import InvalidTopic, TopicFilter, check_topic, parse_filter

_SWEEP_SECONDS = 60.0
_GRANTED = {QoS.AT_MOST_ONCE: ReasonCode.GRANTED_QOS_0, QoS.AT_LEAST_ONCE: ReasonCode.GRANTED_QOS_1}

WillsDue: TypeAlias = Callable[[str, Publish, WillRight], None]
"""Takes a will that is due: the client's id, the message, and what decides whether it may be published."""


class LocalBroker:
    """Carries messages between the connections that one account has to one process."""

    def __init__(self, limits: BrokerLimits, rooms: Rooms | None = None, wills: WillsDue | None = None) -> None:
        """Take part in rooms that other accounts have part in, too, if there are any; give ``wills`` what is due."""
        self._wills = wills
        rooms = rooms or rooms_of(limits)
        self._limits = limits
        self._queued = Part(rooms.queued_bytes, self._empty_largest_outbox)
        self._offline = Part(rooms.offline_sessions, self._end_longest_away)
        self._retained_bytes = Part(rooms.retained_bytes)
        self._router = Router()
        self._retained = RetainedMessages(limits, self._retained_bytes)
        self._sweep_at = 0.0
        self._sessions: dict[str, Session] = {}
        # In the order in which their clients left.
        self._away: dict[str, Session] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nobody would miss the broker: no session, nothing retained."""
        return not self._sessions and self._retained.is_empty

    def leave_rooms(self) -> None:
        """Have no part any more in what accounts share; the broker must be empty."""
        for part in (self._queued, self._offline, self._retained_bytes):
            part.leave()

    def open(self, connection: DeviceConnection, connect: Connect, now: float) -> Opened:
        """Begin or resume a session; raise PacketRefused if the will is for a topic that nobody may publish to."""
        if connect.will is not None and not _may_be_published(connect.will.topic):
            raise PacketRefused(ReasonCode.TOPIC_NAME_INVALID, "The will's topic is reserved or not valid")
        client_id = connection.client_id
        known = self._sessions.get(client_id)
        if known is not None and known.connection is not None:
            known.end_connection(ReasonCode.SESSION_TAKEN_OVER)
            self._leave(known, now, clean=False)
            known = self._sessions.get(client_id)
        if known is not None and (connect.clean_start or known.version is not connect.version):
            self._end(known, now)
            known = None
        session = known or self._new_session(client_id, connect.version)
        self._is_back(session)
        session.begin(connection, connect.will, self._limits.session_expiry(connect))
        return Opened(known is not None, session.expiry)

    def resume(self, connection: DeviceConnection, now: float) -> None:
        """Send what waits for the client."""
        session = self._session_of(connection)
        if session is None or session.is_ending:
            return
        if not session.is_receiving:
            session.is_receiving, session.outbox.turn = True, self._limits.replayed_per_second
        session.flush(now)

    def publish(self, connection: DeviceConnection | None, message: Publish, now: float) -> ReasonCode:
        """Pass a message on, the service's own if no connection sent it, and return PUBACK's code."""
        return self._publish(None if connection is None else connection.client_id, message, now)

    def publish_will(self, client_id: str, message: Publish, now: float) -> None:
        """Pass on a will that was due and may be published."""
        self._publish(client_id, message, now)

    def retained(self, topic: str, now: float) -> Retained | None:
        """Return the topic's retained message."""
        return self._retained.read(topic, now)

    def retained_after(self, topic: str, count: int, now: float) -> Sequence[Retained]:
        """Return so many retained messages whose topics come after this one."""
        return self._retained.read_after(topic, count, now)

    def subscribe(
        self, connection: DeviceConnection, subscriptions: Sequence[Subscription], now: float
    ) -> tuple[ReasonCode, ...]:
        """Add or replace subscriptions and return SUBACK's codes."""
        session = self._session_of(connection)
        if session is None:
            return (ReasonCode.UNSPECIFIED_ERROR,) * len(subscriptions)
        room = self._limits.subscriptions - connection.own_filters
        return tuple(self._subscribe(session, subscription, room, now) for subscription in subscriptions)

    def unsubscribe(self, connection: DeviceConnection, topic_filters: Sequence[str]) -> tuple[ReasonCode, ...]:
        """End subscriptions and return UNSUBACK's codes. As at AWS, ending what never was is a success."""
        session = self._session_of(connection)
        if session is not None:
            for text in topic_filters:
                topic_filter = session.subscriptions.pop(text, None)
                if topic_filter is not None:
                    self._router.discard(session.client_id, topic_filter)
        return (ReasonCode.SUCCESS,) * len(topic_filters)

    def acknowledge(self, connection: DeviceConnection, packet_id: int, now: float) -> None:
        """Forget a message that has arrived, and send the next."""
        session = self._session_of(connection)
        if session is not None:
            session.outbox.acknowledge(packet_id)
            session.flush(now)

    def close(
        self, connection: DeviceConnection, now: float, *, clean: bool, session_expiry_interval: int | None = None
    ) -> None:
        """Note that the connection has ended; a connection whose session was taken over leaves nothing behind."""
        session = self._session_of(connection)
        if session is None:
            return
        # MQTT 5, 3.14.2.2.2: what was to end with its connection cannot be made to last.
        if session_expiry_interval is not None and session.expiry:
            session.expiry = min(session_expiry_interval, self._limits.max_session_expiry)
        self._leave(session, now, clean=clean)

    def advance(self, now: float) -> None:
        """Publish the wills that are due, end what has expired, replay the next stored messages."""
        for session in list(self._away.values()):
            if session.expires_at <= now:
                self._end(session, now)
            elif session.will is not None and session.will_at <= now:
                self._publish_will(session, now)
        for session in self._sessions.values():
            if session.outbox.is_replaying:
                session.outbox.turn = self._limits.replayed_per_second
                session.flush(now)
        if now >= self._sweep_at:
            # What has expired is not sent: it only takes room, that of other accounts as well.
            self._retained.discard_expired(now)
            self._sweep_at = now + _SWEEP_SECONDS

    def _session_of(self, connection: DeviceConnection) -> Session | None:
        session = self._sessions.get(connection.client_id)
        return session if session is not None and session.connection is connection else None

    def _new_session(self, client_id: str, version: ProtocolVersion) -> Session:
        session = Session(client_id, version, Outbox(self._limits, self._queued))
        self._sessions[client_id] = session
        return session

    def _leave(self, session: Session, now: float, *, clean: bool) -> None:
        session.leave(now, clean=clean)
        if not session.expiry:
            self._end(session, now)
            return
        self._away[session.client_id] = session
        self._offline.take(1)
        if session.will is not None and session.will_at <= now:
            self._publish_will(session, now)
        if self._offline.left < 0:
            self._offline.largest().give_up(now)

    def _is_back(self, session: Session) -> None:
        if self._away.pop(session.client_id, None) is not None:
            self._offline.take(-1)

    def _end_longest_away(self, now: float) -> None:
        self._end(next(iter(self._away.values())), now)

    def _end(self, session: Session, now: float) -> None:
        del self._sessions[session.client_id]
        self._is_back(session)
        for topic_filter in session.subscriptions.values():
            self._router.discard(session.client_id, topic_filter)
        session.outbox.clear()
        self._publish_will(session, now)

    def _publish_will(self, session: Session, now: float) -> None:
        will, session.will = session.will, None
        right, session.will_right = session.will_right, None
        if will is None:
            return
        if self._wills is None or right is None:
            self._publish(session.client_id, will_message(will), now)
        else:
            self._wills(session.client_id, will_message(will), right)

    def _subscribe(self, session: Session, subscription: Subscription, room: int, now: float) -> ReasonCode:
        try:
            topic_filter = parse_filter(subscription.topic_filter)
        except InvalidTopic:
            return ReasonCode.TOPIC_FILTER_INVALID
        if topic_filter.pattern.startswith("$"):
            return ReasonCode.TOPIC_FILTER_INVALID
        is_new = topic_filter.text not in session.subscriptions
        if is_new and len(session.subscriptions) >= room:
            return ReasonCode.QUOTA_EXCEEDED
        granted = replace(subscription, qos=min(subscription.qos, QoS.AT_LEAST_ONCE))
        session.subscriptions[topic_filter.text] = topic_filter
        self._router.add(session.client_id, topic_filter, granted)
        if granted.retain_handling is RetainHandling.ALWAYS or (
            granted.retain_handling is RetainHandling.ONLY_IF_NEW and is_new
        ):
            self._put_retained(session, topic_filter, granted.qos, now)
        return _GRANTED[granted.qos]

    def _put_retained(self, session: Session, topic_filter: TopicFilter, qos: QoS, now: float) -> None:
        # A pattern with wildcards is no topic, so that it finds nothing: as at AWS. Nor does a shared subscription.
        retained = self._retained.get(topic_filter.pattern, now) if topic_filter.group is None else None
        if retained is not None:
            message = replace(retained.message, qos=min(retained.message.qos, qos))
            session.outbox.put(Outgoing(message, retained.expires_at, retained.size))

    def _publish(self, publisher: str | None, message: Publish, now: float) -> ReasonCode:
        if not _may_be_published(message.topic):
            return ReasonCode.TOPIC_NAME_INVALID
        expiry = message.properties.message_expiry_interval
        expires_at, size = None if expiry is None else now + expiry, size_of(message)
        message = replace(message, packet_id=0, dup=False)
        if message.retain and not message.payload:
            self._retained.discard(message.topic)
        elif message.retain and not self._retained.put(Outgoing(message, expires_at, size), now):
            return ReasonCode.QUOTA_EXCEEDED

        def readiness(client_id: str) -> Readiness:
            return self._sessions[client_id].readiness(message.topic)

        # One copy for all who get the message in the same way.
        copies: dict[tuple[QoS, bool], Publish] = {}
        for receiver in self._router.receivers(message.topic, publisher, readiness):
            way = min(message.qos, receiver.qos), message.retain and receiver.retain_as_published
            if way not in copies:
                copies[way] = replace(message, qos=way[0], retain=way[1])
            self._give(self._sessions[receiver.client_id], Outgoing(copies[way], expires_at, size), now)
        return ReasonCode.SUCCESS

    def _give(self, session: Session, outgoing: Outgoing, now: float) -> None:
        if not outgoing.message.qos:
            connection = session.connection if session.is_receiving else None
            if connection is not None and connection.may_receive(outgoing.message.topic):
                connection.deliver(outgoing.message)
        elif self._put(session, outgoing, now):
            session.flush(now)
        elif not session.outbox.is_replaying:
            # A slow reader loses its connection rather than a message without a word.
            session.end_connection(ReasonCode.QUOTA_EXCEEDED)

    def _put(self, session: Session, outgoing: Outgoing, now: float) -> bool:
        while not session.outbox.put(outgoing):
            if session.outbox.is_full:
                return False
            # All outboxes together are too large: of the account that has most in them, the largest is emptied.
            largest = self._queued.largest()
            if largest is self._queued and self._largest_outbox().outbox.size <= session.outbox.size:
                return False
            largest.give_up(now)
        return True

    def _largest_outbox(self) -> Session:
        return max(self._sessions.values(), key=lambda session: session.outbox.size)

    def _empty_largest_outbox(self, now: float) -> None:
        del now
        session = self._largest_outbox()
        session.outbox.clear()
        session.end_connection(ReasonCode.QUOTA_EXCEEDED)


def _may_be_published(topic: str) -> bool:
    try:
        check_topic(topic)
    except InvalidTopic:
        return False
    return not topic.startswith("$")
