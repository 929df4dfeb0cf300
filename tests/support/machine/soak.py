"""How often and on which engines a test runs: a short form for every run, the full one for `make soak`."""

import os
from collections.abc import Sequence
from typing import TypeVar

import pytest

T = TypeVar("T")

_MINUTES = 20.0

SOAK = os.environ.get("THINGMINT_SOAK") == "1"


ONE_ENGINE: Sequence[object] = ["sqlite", *([pytest.param("postgresql", marks=pytest.mark.soak)] if SOAK else [])]
"""The engine of a test whose rule depends on none, as parameters of a fixture; in `make soak`, both engines."""


def examples(short: T, full: T) -> T:
    """Return how many examples, rounds or kills a test goes through: the full count in `make soak` only."""
    return full if SOAK else short


def soak_seconds() -> float:
    """Return how long a test of faults goes on: once through in every run, 20 minutes in `make soak`.

    ``THINGMINT_SOAK_MINUTES`` sets other minutes.
    """
    return 60 * float(os.environ.get("THINGMINT_SOAK_MINUTES", _MINUTES)) if SOAK else 0.0


def in_soak_only(config: pytest.Config, items: list[pytest.Item], left: Sequence[pytest.Item]) -> None:
    """Run these of the collected tests in `make soak` only."""
    if SOAK:
        for item in left:
            item.add_marker("soak")
    else:
        config.hook.pytest_deselected(items=left)
        names = {item.nodeid for item in left}
        items[:] = [item for item in items if item.nodeid not in names]
