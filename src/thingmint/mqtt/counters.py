"""Owns the names of the gateway's counters, and the log lines about dropped and refused messages. Keeps no totals.

All code that drops a message, refuses a request or ends a connection because of a limit counts it here.
"""

import logging
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Protocol

_SAY_EVERY_SECONDS: Final = 10.0

log = logging.getLogger(__name__)


class Loss(StrEnum):
    """What was dropped, refused or ended, and why: the counter's family, and the value of its label ``reason``."""

    QUEUE_FULL = "dropped:queue_full"
    UNSENT_QOS_0 = "dropped:unsent_qos_0"
    MADE_ROOM = "dropped:made_room"
    NO_ROOM_FOR_RETAINED_COPY = "dropped:no_room_for_retained_copy"
    WILL_WITHOUT_ROOM = "dropped:will_without_room"
    WILL_NOT_ALLOWED = "dropped:will_not_allowed"
    WILL_UNDECIDED = "dropped:will_undecided"
    TOO_LARGE_FOR_CLIENT = "dropped:too_large_for_client"
    NOT_ALLOWED = "dropped:not_allowed"
    EXPIRED = "dropped:expired"
    SESSION_ENDED = "dropped:session_ended"
    EVENT_UNSENT = "dropped:event_unsent"
    PROPERTIES = "dropped:properties"
    ANSWER_TOO_LARGE = "dropped:answer_too_large"
    PUBLISH_WITHOUT_ROOM = "refused:publish_without_room"
    PUBLISH_QUEUES_FULL = "refused:publish_queues_full"
    RETAINED_WITHOUT_ROOM = "refused:retained_without_room"
    SUBSCRIPTION_LIMIT = "refused:subscription_limit"
    WILL_REFUSED = "refused:will_without_room"
    CERTIFICATE_CONNECTIONS = "refused:certificate_connections"
    UNACKNOWLEDGED = "refused:unacknowledged"
    PROVISIONING_THROTTLED = "refused:provisioning_throttled"
    SUBSCRIBER_STUCK = "cut:subscriber_stuck"
    SUBSCRIBER_LARGEST = "cut:subscriber_largest"
    BROKER_CLOSED = "cut:broker_closed"
    BROKER_SILENT = "cut:broker_silent"
    SESSION_MADE_ROOM = "sessions_ended:made_room"

    @property
    def family(self) -> str:
        """The family of the counter."""
        return self.value.partition(":")[0]

    @property
    def reason(self) -> str:
        """The value of the counter's label."""
        return self.value.partition(":")[2]


# These are counted and not logged here, because they are normal, or because other code logs them.
_SILENT: Final = frozenset(
    {Loss.NOT_ALLOWED, Loss.WILL_NOT_ALLOWED, Loss.WILL_UNDECIDED, Loss.EXPIRED, Loss.SESSION_ENDED}
)


class Gauge(StrEnum):
    """The gauges, which are set each second."""

    QUEUED_MESSAGES = "queued_messages"
    QUEUED_BYTES = "queued_bytes"
    RETAINED_MESSAGES = "retained_messages"
    RETAINED_BYTES = "retained_bytes"
    SESSIONS_CONNECTED = "sessions:connected"
    SESSIONS_AWAY = "sessions:away"
    SUBSCRIPTIONS = "subscriptions"
    ACCOUNTS = "accounts"
    PROVISIONING = "provisioning_requests"
    CONNECTIONS_ACCEPTED = "connections:accepted"
    CONNECTIONS_UNAUTHENTICATED = "connections:unauthenticated"


class Traffic(StrEnum):
    """The direction of messages."""

    RECEIVED = "received"
    SENT = "sent"


class Observer(Protocol):
    """Receives the numbers."""

    def mqtt_lost(self, family: str, reason: str, count: int) -> None:
        """Add to what was dropped, refused, cut or ended."""
        ...

    def mqtt_messages(self, direction: str, count: int) -> None:
        """Add to the messages received or sent."""
        ...

    def mqtt_gauge(self, name: str, value: int) -> None:
        """Set a gauge; a name may have a label's value behind a colon."""
        ...

    def loop_lag(self, seconds: float) -> None:
        """Add a measurement of how late the event loop was."""
        ...


class NoObserver:
    """Ignores all numbers; for tests and programs without metrics."""

    def mqtt_lost(self, family: str, reason: str, count: int) -> None:
        """Forget it."""

    def mqtt_messages(self, direction: str, count: int) -> None:
        """Forget it."""

    def mqtt_gauge(self, name: str, value: int) -> None:
        """Forget it."""

    def loop_lag(self, seconds: float) -> None:
        """Forget it."""


class Counters:
    """Counts losses and traffic, and logs losses: the first at once, then one line each ten seconds."""

    def __init__(self, observer: Observer | None = None) -> None:
        self.observer: Observer = observer or NoObserver()
        self._unlogged: dict[Loss, int] = {}
        self._log_after: dict[Loss, float] = {}
        self._received = self._sent = 0

    def lost(self, loss: Loss, count: int = 1) -> None:
        """Count a loss; the next ``tick`` logs it."""
        self.observer.mqtt_lost(loss.family, loss.reason, count)
        if loss not in _SILENT:
            self._unlogged[loss] = self._unlogged.get(loss, 0) + count

    def passed(self, direction: Traffic) -> None:
        """Count a message; the next ``tick`` passes the count to the observer."""
        # Called for each delivery; a dictionary by direction would be much slower.
        if direction is Traffic.SENT:
            self._sent += 1
        else:
            self._received += 1

    def measured(self, values: Mapping[Gauge, int]) -> None:
        """Set gauges."""
        for gauge, value in values.items():
            self.observer.mqtt_gauge(gauge.value, value)

    def tick(self, now: float) -> None:
        """Pass traffic to the observer, and log losses since the last line; call this each second."""
        for direction, count in ((Traffic.RECEIVED, self._received), (Traffic.SENT, self._sent)):
            if count:
                self.observer.mqtt_messages(direction.value, count)
        self._received = self._sent = 0
        for loss in [loss for loss in self._unlogged if now >= self._log_after.get(loss, now)]:
            self._log_after[loss] = now + _SAY_EVERY_SECONDS
            log.warning("%s: %d (%s)", _SAID_OF[loss.family], self._unlogged.pop(loss), loss.reason)


_SAID_OF: Final = {
    "dropped": "MQTT messages were dropped because of a limit",
    "refused": "MQTT requests were refused because of a limit",
    "cut": "MQTT connections of devices were ended by the service",
    "sessions_ended": "MQTT sessions of absent clients were ended because of a limit",
}
