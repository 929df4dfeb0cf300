"""Owns what a session of the web console is, and how long it lasts; knows neither cookies nor storage."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

IDLE: Final = timedelta(minutes=30)
"""A session that is not used for this long has ended."""

ABSOLUTE: Final = timedelta(hours=12)
"""A session ends this long after the sign-in, however much it is used."""


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A session as it is stored: the token itself is with the browser only.

    ``key_created_at`` tells the access key that signed in from another one that is stored under its id later.
    """

    token_sha256: str = field(repr=False)
    access_key_id: str
    key_created_at: datetime
    source_address: str
    created_at: datetime
    used_at: datetime

    def is_over(self, now: datetime) -> bool:
        """Return whether the session has ended by itself."""
        return now >= self.used_at + IDLE or now >= self.created_at + ABSOLUTE
