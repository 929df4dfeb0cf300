"""Owns what the service asks of a clock. Tests and the test mode set the time through it."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """A source of the present time."""

    def now(self) -> datetime:
        """Return the present time: aware, UTC."""
        ...
