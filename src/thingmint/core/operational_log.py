"""Owns what the service asks of the log that operators read. The verifiable log of certificates is another one."""

from typing import Protocol


class OperationalLog(Protocol):
    """Writes one structured line for each event. No field has a secret."""

    def debug(self, event: str, **fields: object) -> object:
        """Write an event for developers."""
        ...

    def info(self, event: str, **fields: object) -> object:
        """Write a normal event."""
        ...

    def warning(self, event: str, **fields: object) -> object:
        """Write an event that an operator should check."""
        ...

    def error(self, event: str, **fields: object) -> object:
        """Write a fault of the service."""
        ...
