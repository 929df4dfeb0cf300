"""Owns the remaining share of an issuer's validity, and the shares at which an operator is warned. Reads no clock."""

from datetime import datetime

WARNED_AT = (0.25, 0.10, 0.05)
"""Shares of an issuer's validity. The last one is the most urgent warning."""


def life_left(not_before: datetime, not_after: datetime, at: datetime) -> float:
    """Return the remaining share of the validity, from 1 at its beginning to 0 from its end on."""
    left = (not_after - at) / (not_after - not_before)
    return min(1.0, max(0.0, left))


def warning_of(share: float) -> float | None:
    """Return the smallest share of `WARNED_AT` that is reached; None if more than the first one is left."""
    return min((each for each in WARNED_AT if share <= each), default=None)
