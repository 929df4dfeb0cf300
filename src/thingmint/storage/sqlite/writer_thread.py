"""Owns the thread that waits for SQLite's disk and locks instead of the event loop. Independent of SQL."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class _Errand(NamedTuple, Generic[T]):
    work: Callable[[], T]
    waiter: asyncio.Future[T]


class WriterThread:
    """Runs functions one after the other; belongs to the event loop that created it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._errands: queue.SimpleQueue[_Errand[object] | None] = queue.SimpleQueue()
        # A daemon, so that a disk that hangs does not prevent the process from ending.
        threading.Thread(target=self._serve, name="thingmint-writer", daemon=True).start()

    async def run(self, work: Callable[[], T]) -> T:
        """Run the function in the thread; return its result or raise its error. It is finished even if cancelled."""
        waiter: asyncio.Future[T] = self._loop.create_future()
        self._errands.put(_Errand(work, waiter))  # type: ignore[arg-type]  # each errand pairs a work and a future of one type
        return await waiter

    def end(self) -> None:
        """End the thread after the functions that it was given."""
        self._errands.put(None)

    def _serve(self) -> None:
        while (errand := self._errands.get()) is not None:
            result, error = None, None
            try:
                result = errand.work()
            except BaseException as raised:  # noqa: BLE001  a caller waits for the result, or for the error
                error = raised
            # If the loop was closed meanwhile, no caller waits for the result.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_settle, errand.waiter, result, error)


def _settle(waiter: asyncio.Future[object], result: object, error: BaseException | None) -> None:
    if waiter.cancelled():
        return
    if error is None:
        waiter.set_result(result)
    else:
        waiter.set_exception(error)
