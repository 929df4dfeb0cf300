"""Owns the limit of how long `thingmint issue` retries while no request succeeds. Independent of the calls."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
from msgspec import Struct, field

from thingmint.cli.connection import ServiceNotVerified, ServiceRefused, ServiceUnreachable
from thingmint.core.error_text import in_words
from thingmint.core.errors import ThingmintError

T = TypeVar("T")


class WorkStopped(Exception):
    """No request succeeded within the limit; the job can be resumed."""


def _say(line: str) -> None:
    click.echo(line, err=True)


class RetryLimit(Struct):
    """Seconds to retry after the last success, and seconds between two attempts.

    ``say`` gets a line when the first attempt after a success has failed, so that a person knows what the command waits
    for. Throttled attempts are usual under load, so they are not shown.
    """

    seconds: float
    retry: float
    say: Callable[[str], None] = _say
    _last_success: float = field(default_factory=time.monotonic)
    _has_said: bool = False

    def succeeded(self) -> None:
        """Restart the time limit."""
        self._last_success = time.monotonic()
        self._has_said = False

    def check(self, cause: Exception) -> None:
        """Return if another attempt may be made; raise WorkStopped otherwise."""
        if isinstance(cause, ServiceNotVerified):
            raise WorkStopped(in_words(cause)) from cause
        what = f"{_what_went_wrong(cause)} ({in_words(cause)})"
        if time.monotonic() - self._last_success > self.seconds:
            raise WorkStopped(what) from cause
        refusal = cause if isinstance(cause, ServiceRefused) else cause.__cause__
        is_throttled = isinstance(refusal, ServiceRefused) and refusal.is_throttled
        if not self._has_said and not is_throttled:
            self._has_said = True
            self.say(f"{what}: trying again for {self.seconds:g} seconds")

    async def until_answered(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return the attempt's result; retry while the service does not answer or throttles."""
        while True:
            try:
                return await attempt()
            except ServiceUnreachable as error:
                self.check(error)
            except ServiceRefused as refusal:
                if not refusal.is_throttled and refusal.status < 500:
                    raise
                self.check(refusal)
            await asyncio.sleep(self.retry)


def _what_went_wrong(cause: Exception) -> str:
    if isinstance(cause.__cause__, ThingmintError):
        # Without a service, the error is the authority's.
        return "nothing can be issued now"
    answered = isinstance(cause, ServiceRefused) or isinstance(cause.__cause__, ServiceRefused)
    return "the service answers with an error" if answered else "the service does not answer"
