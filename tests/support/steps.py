"""Counts the steps of a call instead of its time: every call of a function of Python or C, on any machine the same."""

import sys
from collections.abc import Callable
from types import FrameType


def steps_of(call: Callable[[], object]) -> int:
    """Return how many functions were called, by Python or in C, until the call returned."""
    count = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        del frame, argument
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(before)
    return count
