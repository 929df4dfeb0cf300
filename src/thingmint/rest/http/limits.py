"""Owns the numbers of the API's limits for clients. Does not enforce them."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """The server's limits for its clients; raises ValueError unless every limit is positive."""

    max_connections: int = 1024
    max_requests: int = 512
    target_bytes: int = 8 * 1024
    header_bytes: int = 64 * 1024
    header_count: int = 100
    linger_bytes: int = 16 * 1024 * 1024
    handshake_seconds: float = 10.0
    header_seconds: float = 10.0
    body_seconds: float = 60.0
    body_stall_seconds: float = 15.0
    keep_alive_seconds: float = 75.0
    write_stall_seconds: float = 30.0
    linger_seconds: float = 2.0
    close_seconds: float = 5.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"{field.name} must be positive")
