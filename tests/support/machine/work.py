"""Owns measures of work that do not depend on how fast or how busy the machine is."""

import gc
import sys
from collections.abc import Callable
from types import FrameType


def calls_of(work: Callable[[], object]) -> int:
    """Return how many functions of Python and of C the work calls, on this thread.

    No garbage is collected meanwhile: what then ends would be counted too, and comes from other tests.
    """
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    earlier, collects = sys.getprofile(), gc.isenabled()
    gc.disable()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(earlier)
        if collects:
            gc.enable()
    return calls
