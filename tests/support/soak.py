"""How often a test repeats itself: a short form for every run, the full one for `make soak`."""

import os
from typing import TypeVar

T = TypeVar("T")

SOAK = os.environ.get("THINGMINT_SOAK") == "1"


def examples(short: T, full: T) -> T:
    """Return how many examples, rounds or kills a test goes through: the full count in `make soak` only."""
    return full if SOAK else short
