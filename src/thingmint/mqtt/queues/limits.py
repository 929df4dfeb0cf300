"""Owns the limits of the memory that one client and all clients may use: AWS's quotas, or else the project's."""

from dataclasses import dataclass
from typing import Final

from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Subscribe
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode

MAX_FILTERS_PER_SUBSCRIBE: Final = 8
MAX_SUBSCRIPTIONS: Final = 50


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """The built-in brokers' limits on memory: for a client, for an account, and for all accounts together.

    Times are in seconds.
    """

    # AWS's quotas.
    subscriptions: int = MAX_SUBSCRIPTIONS
    in_flight: int = 100
    default_session_expiry: int = 3600
    max_session_expiry: int = 7 * 24 * 3600
    replayed_per_second: int = 10
    # The project's limits; AWS has no limit on stored messages.
    queued_messages: int = 10_000
    """Most messages that wait for one client, connected or not."""
    queued_bytes: int = 16 * 1024 * 1024
    """Most bytes that wait for one client; each message counts as if it waited for this client only."""
    unsent_qos_0_bytes: int = 4 * 1024 * 1024
    """The part of ``queued_bytes`` for messages of QoS 0 while the client's connection has no room for them."""
    stuck_seconds: float = 30.0
    """A client with a full queue that has not read or acknowledged anything for this long is disconnected."""
    live_wait_seconds: float = 10.0
    """How long new messages wait for stored ones; then stored ones are sent as fast as the client acknowledges."""
    retained_messages: int = 10_000
    """Most retained messages of one account."""
    # For all accounts together, which share as `budgets` says. A message that waits for many clients is counted once.
    queued_bytes_in_all: int = 256 * 1024 * 1024
    retained_bytes_in_all: int = 64 * 1024 * 1024
    offline_sessions: int = 10_000

    def session_expiry(self, connect: Connect) -> int:
        """Return for how many seconds the session lasts after its connection, by AWS's rules."""
        if connect.version is ProtocolVersion.MQTT_3_1_1:
            return 0 if connect.clean_start else self.default_session_expiry
        return min(connect.properties.session_expiry_interval or 0, self.max_session_expiry)


def check_subscribe(packet: Subscribe) -> None:
    """Check the limits of a SUBSCRIBE packet; raise PacketRefused if the connection must end, as at AWS."""
    if packet.properties.subscription_identifier is not None:
        raise PacketRefused(
            ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED, "Subscription identifiers are not supported"
        )
    if len(packet.subscriptions) > MAX_FILTERS_PER_SUBSCRIBE:
        raise PacketRefused(
            ReasonCode.QUOTA_EXCEEDED, f"A SUBSCRIBE has at most {MAX_FILTERS_PER_SUBSCRIBE} topic filters"
        )
