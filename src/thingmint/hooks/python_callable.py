"""Owns the call of a hook that is a Python callable, plain or asynchronous, without letting it stop the service."""

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping

from thingmint.core.hook import HookFailed

# Plain callables run in threads, which cannot be stopped: those that hang must not become any number of threads.
MAX_THREADS = 16

_CALL = "the callable raised"


def python_hook(function: Callable[..., object]) -> Callable[[Mapping[str, object]], Awaitable[object]]:
    """Return the callable as a hook; a plain one runs in a thread of its own."""
    room = threading.BoundedSemaphore(MAX_THREADS)

    async def ask_coroutine(question: Mapping[str, object]) -> object:
        try:
            return await function(question)  # type: ignore[misc] # a coroutine function, as asked below
        except Exception as error:
            raise HookFailed(f"{_CALL} {type(error).__name__}") from error

    async def ask_in_thread(question: Mapping[str, object]) -> object:
        if not room.acquire(blocking=False):
            raise HookFailed(f"{MAX_THREADS} calls have not returned yet")
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[object] = loop.create_future()
        # A daemon: the service must be able to end while the operator's code does not.
        threading.Thread(target=_run, args=(function, question, loop, answered, room), name="hook", daemon=True).start()
        return await answered

    return ask_coroutine if inspect.iscoroutinefunction(function) else ask_in_thread


def _run(
    function: Callable[..., object],
    question: Mapping[str, object],
    loop: asyncio.AbstractEventLoop,
    answered: "asyncio.Future[object]",
    room: threading.BoundedSemaphore,
) -> None:
    answer: object = None
    failure: HookFailed | None = None
    try:
        answer = function(question)
    except BaseException as error:  # noqa: BLE001  whatever ends the thread, the one who waits must hear of it
        failure = HookFailed(f"{_CALL} {type(error).__name__}")
    finally:
        room.release()

    def tell() -> None:
        # Who waited may have gone when the time limit passed.
        if not answered.done():
            if failure is None:
                answered.set_result(answer)
            else:
                answered.set_exception(failure)

    # The service may have ended meanwhile, and its loop been closed.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(tell)
