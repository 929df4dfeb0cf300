"""How often a test repeats itself: a short form for every run, the full one for `make soak`."""

import os
from typing import TypeVar

T = TypeVar("T")

_MINUTES = 20.0

SOAK = os.environ.get("THINGMINT_SOAK") == "1"


def examples(short: T, full: T) -> T:
    """Return how many examples, rounds or kills a test goes through: the full count in `make soak` only."""
    return full if SOAK else short


def soak_seconds() -> float:
    """Return how long a test of faults goes on: once through in every run, 20 minutes in `make soak`.

    ``THINGMINT_SOAK_MINUTES`` sets other minutes.
    """
    return 60 * float(os.environ.get("THINGMINT_SOAK_MINUTES", _MINUTES)) if SOAK else 0.0
