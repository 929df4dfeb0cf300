"""Owns the bounds of what one client, and all of them, may occupy: AWS's where AWS has one, else our own."""

from dataclasses import dataclass
from typing import Final

from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Subscribe
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode

MAX_FILTERS_PER_SUBSCRIBE: Final = 8
MAX_SUBSCRIPTIONS: Final = 50


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """What the built-in brokers keep at most, in memory: for a client, for an account, and for all accounts together.

    Times are in seconds.
    """

    # AWS's quotas.
    subscriptions: int = MAX_SUBSCRIPTIONS
    in_flight: int = 100
    default_session_expiry: int = 3600
    max_session_expiry: int = 7 * 24 * 3600
    replayed_per_second: int = 10
    # Ours: AWS stores as much as comes in.
    queued_messages: int = 10_000
    """That wait for one client, whether it is connected or not."""
    queued_bytes: int = 16 * 1024 * 1024
    """Of one client, each message counted as if it waited for this client only."""
    unsent_qos_0_bytes: int = 4 * 1024 * 1024
    """Of these, what messages of QoS 0 may take while their connection has no room for them."""
    stuck_seconds: float = 30.0
    """After which a client is disconnected whose queue is full and which has not read or acknowledged anything."""
    live_wait_seconds: float = 10.0
    """How long new messages wait behind stored ones; then these are sent as fast as the client acknowledges."""
    retained_messages: int = 10_000
    """Of one account."""
    # For all accounts together; `rooms` says how they share. A message that waits for many clients is counted once.
    queued_bytes_in_all: int = 256 * 1024 * 1024
    retained_bytes_in_all: int = 64 * 1024 * 1024
    offline_sessions: int = 10_000

    def session_expiry(self, connect: Connect) -> int:
        """Return how long the session may outlive its connection, as AWS grants it."""
        if connect.version is ProtocolVersion.MQTT_3_1_1:
            return 0 if connect.clean_start else self.default_session_expiry
        return min(connect.properties.session_expiry_interval or 0, self.max_session_expiry)


def check_subscribe(packet: Subscribe) -> None:
    """Return if the packet as a whole may be answered; raise PacketRefused if the connection must end, as AWS does."""
    if packet.properties.subscription_identifier is not None:
        raise PacketRefused(
            ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED, "Subscription identifiers are not supported"
        )
    if len(packet.subscriptions) > MAX_FILTERS_PER_SUBSCRIBE:
        raise PacketRefused(
            ReasonCode.QUOTA_EXCEEDED, f"A SUBSCRIBE has at most {MAX_FILTERS_PER_SUBSCRIBE} topic filters"
        )
