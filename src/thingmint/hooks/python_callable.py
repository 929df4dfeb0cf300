"""Owns the call of a hook that is a Python callable, plain or asynchronous, so that it cannot stop the service."""

import asyncio
import contextlib
import copy
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Mapping

from thingmint.core.hooks import HOOK_SECONDS, HookBusy, HookFailed
from thingmint.hooks.handler_signature import Handler, handler_of, is_coroutine_handler
from thingmint.hooks.lambda_context import LambdaContext
from thingmint.hooks.raised import exception_text

# Plain callables run in threads, which cannot be stopped. This limits how many threads can hang.
MAX_THREADS = 16
# The time limit of a caller that gets a thread later would pass before the answer.
_WAITS_FOR = 0.9 * HOOK_SECONDS

_CALL = "the callable raised"


def python_hook(function: Callable[..., object], arn: str) -> Callable[[Mapping[str, object]], Awaitable[object]]:
    """Return the callable as a hook; a plain callable runs in a thread, for which callers wait in order of arrival.

    Raises HandlerRefused if the callable cannot be called as a handler.
    """
    handler, threads = handler_of(function), asyncio.Semaphore(MAX_THREADS)

    async def ask_coroutine(question: Mapping[str, object]) -> object:
        context = LambdaContext(arn, time.monotonic() + HOOK_SECONDS)
        return await _awaited(handler(copy.deepcopy(question), context), question)

    async def ask_in_thread(question: Mapping[str, object]) -> object:
        deadline = time.monotonic() + HOOK_SECONDS
        try:
            async with asyncio.timeout(_WAITS_FOR):
                await threads.acquire()
        except TimeoutError as error:
            raise HookBusy(f"all of the {MAX_THREADS} threads are in calls that have not returned") from error
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[object] = loop.create_future()

        def run() -> None:
            try:
                _run(handler, question, LambdaContext(arn, deadline), loop, answered)
            finally:
                # The service may have ended meanwhile and closed its event loop.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(threads.release)

        try:
            # A daemon thread: the service must be able to end while the operator's code still runs.
            threading.Thread(target=run, name="hook", daemon=True).start()
        except RuntimeError as error:
            threads.release()
            raise HookBusy("the system gives no more threads") from error
        return await _awaited(answered, question)

    return ask_coroutine if is_coroutine_handler(function) else ask_in_thread


async def _awaited(answer: object, question: Mapping[str, object]) -> object:
    """Await the answer until it is not awaitable; raise HookFailed for any exception."""
    try:
        while inspect.isawaitable(answer):
            answer = await answer
    except HookFailed:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # The caller was not cancelled; the operator's code was.
        raise HookFailed(f"{_CALL} {exception_text(error, question)}") from error
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        # sys.exit() in a coroutine would end the service.
        raise HookFailed(f"{_CALL} {exception_text(error, question)}") from error
    return answer


def _run(
    handler: Handler,
    question: Mapping[str, object],
    context: LambdaContext,
    loop: asyncio.AbstractEventLoop,
    answered: "asyncio.Future[object]",
) -> None:
    answer: object = None
    failure: HookFailed | None = None
    try:
        # A copy: handlers may change their event, and `exception_text` needs the question, whose values it removes.
        answer = handler(copy.deepcopy(question), context)
    except BaseException as error:  # noqa: BLE001  the waiting task must learn of every error that ends the thread
        failure = HookFailed(f"{_CALL} {exception_text(error, question)}")

    def tell() -> None:
        # The caller may have gone after its time limit.
        if not answered.done():
            if failure is None:
                answered.set_result(answer)
            else:
                answered.set_exception(failure)
        elif inspect.iscoroutine(answer):
            answer.close()

    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(tell)
