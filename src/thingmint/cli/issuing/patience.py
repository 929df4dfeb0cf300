"""Owns how long `thingmint issue` goes on trying while no certificate is issued; knows no call."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable
from thingmint.core.errors import ThingmintError
from thingmint.host.words import in_words

T = TypeVar("T")

THROTTLED = ("ThrottlingException", "TooManyRequestsException")


class WorkStopped(Exception):
    """Nothing succeeded for as long as was to be waited; the job can be resumed."""


@dataclass(slots=True)
class Patience:
    """Seconds to go on trying since something last succeeded, and seconds between two attempts."""

    seconds: float
    retry: float
    _last_success: float = field(default_factory=time.monotonic)

    def succeeded(self) -> None:
        """Begin to count anew."""
        self._last_success = time.monotonic()

    def check(self, cause: Exception) -> None:
        """Return if another attempt may be made; raise WorkStopped otherwise."""
        if time.monotonic() - self._last_success > self.seconds:
            raise WorkStopped(f"{_what_went_wrong(cause)} ({in_words(cause)})") from cause

    async def keep_trying(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what the attempt returns; make it again while the service does not answer or has no room."""
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
        # Without a service: the authority itself refused.
        return "nothing can be issued now"
    answered = isinstance(cause, ServiceRefused) or isinstance(cause.__cause__, ServiceRefused)
    return "the service answers with an error" if answered else "the service does not answer"
