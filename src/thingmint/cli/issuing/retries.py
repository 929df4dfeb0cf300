"""Owns the limit of how long `thingmint issue` retries while no request succeeds. Independent of the calls."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import Struct, field

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable
from thingmint.core.error_text import in_words
from thingmint.core.errors import ThingmintError

T = TypeVar("T")

THROTTLED = ("ThrottlingException", "TooManyRequestsException")


class WorkStopped(Exception):
    """No request succeeded within the limit; the job can be resumed."""


class RetryLimit(Struct):
    """Seconds to retry after the last success, and seconds between two attempts."""

    seconds: float
    retry: float
    _last_success: float = field(default_factory=time.monotonic)

    def succeeded(self) -> None:
        """Restart the time limit."""
        self._last_success = time.monotonic()

    def check(self, cause: Exception) -> None:
        """Return if another attempt may be made; raise WorkStopped otherwise."""
        if time.monotonic() - self._last_success > self.seconds:
            raise WorkStopped(f"{_what_went_wrong(cause)} ({in_words(cause)})") from cause

    async def until_answered(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return the attempt's result; retry while the service does not answer or throttles."""
        while True:
            try:
                return await attempt()
            except ServiceUnreachable as error:
                self.check(error)
            except ServiceRefused as refusal:
                if refusal.name not in THROTTLED and refusal.status < 500:
                    raise
                self.check(refusal)
            await asyncio.sleep(self.retry)


def _what_went_wrong(cause: Exception) -> str:
    if isinstance(cause.__cause__, ThingmintError):
        # Without a service, the error is the authority's.
        return "nothing can be issued now"
    answered = isinstance(cause, ServiceRefused) or isinstance(cause.__cause__, ServiceRefused)
    return "the service answers with an error" if answered else "the service does not answer"
