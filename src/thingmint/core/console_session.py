"""Owns sessions of the web console and how long they last. Independent of cookies and storage."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

IDLE: Final = timedelta(minutes=30)
"""A session ends if it is not used for this long."""

ABSOLUTE: Final = timedelta(hours=12)
"""A session ends this long after the sign-in, also if it is in use."""


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A stored session. Only the browser has the token itself.

    ``key_created_at`` distinguishes the access key that signed in from a later one with the same id.
    """

    token_sha256: str = field(repr=False)
    access_key_id: str
    key_created_at: datetime
    source_address: str
    created_at: datetime
    used_at: datetime

    def is_over(self, now: datetime) -> bool:
        """Return whether the session has expired."""
        return now >= self.used_at + IDLE or now >= self.created_at + ABSOLUTE
