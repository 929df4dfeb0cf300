"""Owns how much of an issuer's life is left, and from which shares on an operator is warned; knows no clock."""

from datetime import datetime

WARNED_AT = (0.25, 0.10, 0.05)
"""Shares of the life of an issuer; the last one warns loudest."""


def life_left(not_before: datetime, not_after: datetime, at: datetime) -> float:
    """Return which share of the validity is left, from 1 at its beginning to 0 at its end and after it."""
    left = (not_after - at) / (not_after - not_before)
    return min(1.0, max(0.0, left))


def warning_of(share: float) -> float | None:
    """Return the smallest share of `WARNED_AT` that is reached; None if more than the first one is left."""
    return min((each for each in WARNED_AT if share <= each), default=None)
