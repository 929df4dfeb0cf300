"""Owns how long and how much the relay waits for the broker, as numbers; does not enforce them."""

from dataclasses import dataclass, field, fields

from thingmint.mqtt.queues.limits import BrokerLimits


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """The relay's patience, in seconds; raises ValueError unless every limit but ``explain_seconds`` is positive."""

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
    # For another node to tell that it has the client now, when a broker closes a device's connection without a word.
    # 0 where there are no other nodes.
    explain_seconds: float = 0.0
    # Until an address that did not answer is tried again: doubled each time, up to the other one, and up to half less.
    first_retry_seconds: float = 0.25
    last_retry_seconds: float = 3.0
    # Until a broker that lacks features is examined again.
    examine_again_seconds: float = 300.0
    # For a message in the probe of a broker's features, and behind SUBACK for a retained message.
    probe_seconds: float = 1.0
    retained_seconds: float = 0.5

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name != "explain_seconds" and not isinstance(value, BrokerLimits) and not value > 0:
                raise ValueError(f"{each.name} must be positive")
