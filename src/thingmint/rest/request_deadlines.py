"""Owns the time limit of requests that all may take equally long. One timer serves all of them.

A timer for each request (`asyncio.timeout`) takes a tenth of the processor time of a short request.
"""

import asyncio
from types import TracebackType
from typing import Self


class RequestDeadlines:
    """The deadlines of the requests to one application, in the order in which they pass."""

    __slots__ = ("_is_armed", "_running", "_seconds")

    def __init__(self, seconds: float) -> None:
        """Take the number of seconds of each request."""
        self._seconds = seconds
        self._running: dict[RequestDeadline, None] = {}
        self._is_armed = False

    def begin(self) -> "RequestDeadline":
        """Return the deadline of the running task, which begins a request now."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        deadline = RequestDeadline(self, task, loop.time() + self._seconds)
        self._running[deadline] = None
        if not self._is_armed:
            self._arm(loop, deadline.at)
        return deadline

    def lift(self, deadline: "RequestDeadline") -> None:
        """Remove a deadline, whether it has passed or not. The timer stays, because the next request needs it."""
        self._running.pop(deadline, None)

    def _arm(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._is_armed = True
        loop.call_at(at, self._pass_by, loop)

    def _pass_by(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_armed = False
        now = loop.time()
        for deadline in tuple(self._running):
            if deadline.at > now:
                self._arm(loop, deadline.at)
                return
            del self._running[deadline]
            deadline.expire()


class RequestDeadline:
    """The deadline of one request: a context manager that raises TimeoutError in its task when the time has passed."""

    __slots__ = ("_all", "_cancelling", "_task", "at", "has_passed")

    def __init__(self, all_of_them: RequestDeadlines, task: "asyncio.Task[object]", at: float) -> None:
        self.at = at
        self.has_passed = False
        self._all = all_of_them
        self._task = task
        self._cancelling = task.cancelling()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise TimeoutError instead of the cancellation that this deadline has caused, as `asyncio.timeout` does."""
        self._all.lift(self)
        if self.has_passed and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def lift(self) -> None:
        """Take the time limit away; nothing happens if it has passed already."""
        self._all.lift(self)

    def expire(self) -> None:
        """Cancel the task because the time has passed."""
        self.has_passed = True
        self._task.cancel()
