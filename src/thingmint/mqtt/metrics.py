"""Owns the metrics of the device gateway and the built-in broker: their names in Prometheus, and their meanings."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from thingmint.mqtt.counters import Loss, Traffic

_LAG_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

FAMILIES: Final[Mapping[str, tuple[str, str]]] = {
    "dropped": ("thingmint_mqtt_messages_dropped", "Messages that a client did not get, by reason."),
    "refused": ("thingmint_mqtt_requests_refused", "Requests of devices that a limit refused, by reason."),
    "cut": ("thingmint_mqtt_subscribers_cut", "Connections of devices that the service ended, by reason."),
    "sessions_ended": ("thingmint_mqtt_sessions_ended", "Sessions of absent clients that a limit ended, by reason."),
}
"""The counters of losses, by the family of `Loss`."""

GAUGES: Final[Mapping[str, tuple[str, str]]] = {
    "queued_messages": ("thingmint_mqtt_queued_messages", "Messages that wait, counted for each of their clients."),
    "queued_bytes": ("thingmint_mqtt_queued_bytes", "Bytes of messages and wills that wait, each counted once."),
    "retained_messages": ("thingmint_mqtt_retained_messages", "Retained messages."),
    "retained_bytes": ("thingmint_mqtt_retained_bytes", "Bytes of retained messages."),
    "sessions": ("thingmint_mqtt_sessions", "Sessions in the built-in broker, of clients connected or away."),
    "subscriptions": ("thingmint_mqtt_subscriptions", "Subscriptions in the built-in broker."),
    "accounts": ("thingmint_mqtt_accounts", "Accounts that have something in the built-in broker."),
    "provisioning_requests": ("thingmint_mqtt_provisioning_requests", "Provisioning requests that wait for an answer."),
    "connections": ("thingmint_mqtt_connections", "Connections before (unauthenticated) and after (accepted) CONNECT."),
}
"""The gauges, by the part of `counters.Gauge` before the colon; the part after it is the label ``state``."""

_WITH_STATE: Final = frozenset({"sessions", "connections"})


class BrokerMetrics:
    """Implements `counters.Observer`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lost = {
            family: Counter(name, meaning, ("reason",), registry=registry)
            for family, (name, meaning) in FAMILIES.items()
        }
        for loss in Loss:
            # Create the counters at zero: a reader cannot distinguish an absent counter from one that is zero.
            self._lost[loss.family].labels(loss.reason)
        self._messages = {
            Traffic.RECEIVED.value: Counter(
                "thingmint_mqtt_messages_received", "Messages that were published.", registry=registry
            ),
            Traffic.SENT.value: Counter(
                "thingmint_mqtt_messages_sent", "Messages that were sent to clients.", registry=registry
            ),
        }
        self._gauges = {
            gauge: Gauge(name, meaning, ("state",) if gauge in _WITH_STATE else (), registry=registry)
            for gauge, (name, meaning) in GAUGES.items()
        }
        self._lag = Histogram(
            "thingmint_event_loop_lag_seconds",
            "How late the event loop calls a timer, ten times a second.",
            buckets=_LAG_SECONDS,
            registry=registry,
        )

    def mqtt_lost(self, family: str, reason: str, count: int) -> None:
        """Add to what was dropped, refused, cut or ended."""
        self._lost[family].labels(reason).inc(count)

    def mqtt_messages(self, direction: str, count: int) -> None:
        """Add to the messages received or sent."""
        self._messages[direction].inc(count)

    def mqtt_gauge(self, name: str, value: int) -> None:
        """Set a gauge; a name may have a label's value behind a colon."""
        gauge, _, state = name.partition(":")
        (self._gauges[gauge].labels(state) if state else self._gauges[gauge]).set(value)

    def loop_lag(self, seconds: float) -> None:
        """Add a measurement of how late the event loop was."""
        self._lag.observe(seconds)
