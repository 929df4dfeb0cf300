"""Owns the numbers of the gateway's limits for devices and unauthenticated connections. Does not enforce them."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """The gateway's limits for connections; raises ValueError unless every limit is positive.

    A connection is unauthenticated ("stranger") until its CONNECT is accepted. ``max_strangers`` of them are served at
    a time, and up to ``max_waiting`` others wait; `listener` decides which of them are served next.
    """

    max_connections: int = 10_000
    # Half, so that nobody is kept out by one certificate, whose key many may have.
    max_connections_per_certificate: int = 5_000
    max_strangers: int = 1_024
    max_waiting: int = 4_096
    handshake_seconds: float = 10.0
    connect_seconds: float = 10.0
    # Times its keep-alive: for so long a device may be silent. MQTT 5, 3.1.2.10, has half as long again.
    keep_alive_grace: float = 1.5
    # Only where others wait for the place.
    silent_seconds: float = 3.0
    close_seconds: float = 2.0
    # For what a device sent before it closed.
    drain_seconds: float = 30.0
    write_stall_seconds: float = 30.0
    handshake_bytes: int = 32 * 1024
    connect_bytes: int = 32 * 1024
    request_backlog_bytes: int = 64 * 1024
    write_high_bytes: int = 64 * 1024
    write_limit_bytes: int = 1024 * 1024
    max_provisioning: int = 128
    max_provisioning_at_once: int = 64
    """How many of them are executed at a time; the others wait."""
    max_provisioning_keys_at_once: int = 8
    """How many requests for a new key are executed at a time; two for each key worker are enough."""
    max_provisioning_per_connection: int = 4

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"{field.name} must be positive")
