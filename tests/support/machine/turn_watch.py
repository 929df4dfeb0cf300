"""Owns a watch over the turns of an event loop: it fails a test in which one turn does too much work.

A turn lasts from the moment at which the loop's selector returns until it is asked again. Its work is the processor
time of the loop's thread, which does not count what other processes and threads do meanwhile, divided by the processor
time of a reference computation in the same run. So the bound holds on slow and on busy machines.
"""

import asyncio
import contextlib
import gc
import selectors
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

# The reference computation takes about a millisecond on a machine of 2026.
_REFERENCE_ROUNDS = 12_000
_SAMPLES = 7
_ATTEMPTS = 5


class TurnSelector(selectors.DefaultSelector):
    """The selector of a loop, which notes how much processor time each turn of the loop took."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._began: float | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._began is not None:
            self.seconds.append(time.thread_time() - self._began)
        ready = super().select(timeout)
        self._began = time.thread_time()
        return ready


def reference_seconds() -> float:
    """Return the processor time of the reference computation: the median of several."""
    return sorted(_reference() for _ in range(_SAMPLES))[_SAMPLES // 2]


async def begin(selector: TurnSelector) -> None:
    """Forget the turns so far: what comes before is preparation."""
    # A full collection of garbage would look at all that this test run has ever made. What is frozen remains so: if
    # collected tests and modules were thawed here, each collection in the tests to come would look at them.
    gc.collect()
    gc.freeze()
    await asyncio.sleep(0)
    selector.seconds.clear()


class LongTurn(AssertionError):
    """One turn did more work than is allowed."""


def run_watched(work: Callable[[TurnSelector], Coroutine[Any, Any, T]], *, budget: float = 50.0) -> T:
    """Run the work in a loop of its own; raise LongTurn if a turn takes more work than so many references.

    The work is given the selector, for `begin`. What else the machine does can only make a turn longer (caches, page
    faults), so that the shortest of several runs is nearest to what the work itself takes.
    """
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(LongTurn):
            return _run_once(work, budget)
    return _run_once(work, budget)


def _run_once(work: Callable[[TurnSelector], Coroutine[Any, Any, T]], budget: float) -> T:
    # Coverage would slow the service down, and not the reference computation.
    tracer = sys.gettrace()
    sys.settrace(None)
    selector, before = TurnSelector(), reference_seconds()
    try:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
            result = runner.run(work(selector))
    finally:
        sys.settrace(tracer)
    ensure_short_turns(selector.seconds, budget, max(before, reference_seconds()))
    return result


def ensure_short_turns(seconds: Sequence[float], budget: float, reference: float) -> None:
    """Raise LongTurn if a turn took more work than so many references."""
    longest = max(seconds, default=0.0)
    number = seconds.index(longest) + 1 if seconds else 0
    if longest > budget * reference:
        raise LongTurn(
            f"turn {number} of {len(seconds)} of the event loop took {longest / reference:.0f} references "
            f"({longest * 1000:.0f} ms of processor time); {budget:.0f} are allowed"
        )


def _reference() -> float:
    began, values = time.thread_time(), dict[int, str]()
    for number in range(_REFERENCE_ROUNDS):
        values[number % 64] = "abc"[number % 3]
    return time.thread_time() - began
