"""Owns how long and how much the relay waits for the broker, as numbers; does not enforce them."""

from dataclasses import dataclass, field, fields

from thingmint.mqtt.queues.limits import BrokerLimits


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """The relay's patience; raises ValueError unless every limit is positive. Times are in seconds."""

    sessions: BrokerLimits = field(default_factory=BrokerLimits)
    """Of these, the relay grants session expiry and numbers of subscriptions; the rest is the broker's affair."""
    # Less than a stranger has for its CONNECT, so that the refusal can still be said.
    open_seconds: float = 5.0
    answer_seconds: float = 30.0
    leave_seconds: float = 1.0
    # A Unix socket refuses connections at once when its queue is full; Mosquitto's holds 100.
    openings_at_once: int = 32
    # Operators' messages that are under way or wait for their turn: each occupies a request of the API.
    own_messages: int = 64
    write_high_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not isinstance(value, BrokerLimits) and not value > 0:
                raise ValueError(f"{each.name} must be positive")
