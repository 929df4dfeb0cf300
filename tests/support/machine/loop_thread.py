"""Runs an event loop in a thread of its own, so that blocking clients can be tested against what runs in it."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")
GENEROUS = 60.0
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@dataclass
class LoopThread:
    """A running loop."""

    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(GENEROUS)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the loop and return its result."""

        async def called() -> T:
            return function()

        return self.run(called())

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds in the loop."""

        async def poll() -> None:
            async with asyncio.timeout(GENEROUS):
                while not condition():  # noqa: ASYNC110 - the condition sets no event
                    await asyncio.sleep(0.005)

        self.run(poll())


@contextlib.contextmanager
def loop_thread(loop_name: str = "uvloop") -> Iterator[LoopThread]:
    """Start a loop in a thread, and stop it at the end."""
    loop = LOOPS[loop_name]()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield LoopThread(loop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.contextmanager
def held(thread: LoopThread) -> Iterator[None]:
    """Let the loop do nothing meanwhile, so that it notices all that happens in one turn."""
    is_held, release = threading.Event(), threading.Event()

    def hold() -> None:
        is_held.set()
        release.wait(GENEROUS)

    thread.loop.call_soon_threadsafe(hold)
    assert is_held.wait(GENEROUS)
    try:
        yield
    finally:
        release.set()
