"""Owns the numbers of the relay's time limits and queue limits. Does not enforce them."""

from dataclasses import dataclass, field, fields

from thingmint.mqtt.queues.limits import BrokerLimits


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """The relay's limits, times in seconds; raises ValueError unless all except ``explain_seconds`` are positive."""

    sessions: BrokerLimits = field(default_factory=BrokerLimits)
    """The relay applies the limits of session expiry and of subscriptions only; the broker has its own limits."""
    # Less than an unauthenticated connection has for its CONNECT, so that a refusal can still be sent.
    open_seconds: float = 5.0
    answer_seconds: float = 30.0
    leave_seconds: float = 1.0
    # A Unix socket refuses connections at once when its queue is full; Mosquitto's queue has 100 places.
    openings_at_once: int = 32
    # Most operators' messages that are sent or wait: each occupies a request of the API.
    own_messages: int = 64
    write_high_bytes: int = 64 * 1024
    # When a broker closes a device's connection without a reason: how long to wait for another node's notice that the
    # client has connected there. 0 if there are no other nodes.
    explain_seconds: float = 0.0
    # The pause before an address that failed is tried again. It doubles each time up to the second value, less a random
    # part of up to one half.
    first_retry_seconds: float = 0.25
    last_retry_seconds: float = 3.0
    # The pause before a broker without some features is examined again.
    examine_again_seconds: float = 300.0
    # The wait for a message in the probe of a broker's features, and for a retained message after SUBACK.
    probe_seconds: float = 1.0
    retained_seconds: float = 0.5

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name != "explain_seconds" and not isinstance(value, BrokerLimits) and not value > 0:
                raise ValueError(f"{each.name} must be positive")
