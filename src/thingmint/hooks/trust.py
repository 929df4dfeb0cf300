"""Owns the machine's trust anchors for TLS, loaded in a thread beside the event loop. Independent of webhooks."""

import asyncio
import ssl
import time
from collections.abc import Callable

# The trust anchors are loaded again after this time, because the operator may renew them while the service runs.
BELIEVED_SECONDS = 600.0


class MachineTrust:
    """The machine's trust anchors, loaded when they are first needed and again after `BELIEVED_SECONDS`.

    There are more than a hundred of them; loading them for each request would delay everything else.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._loaded: tuple[float, ssl.SSLContext] | None = None
        self._turn = asyncio.Lock()

    async def context(self) -> ssl.SSLContext:
        """Return a context that verifies a server's certificate and name; raise OSError if it cannot be made."""
        async with self._turn:
            if self._loaded is None or self._now() - self._loaded[0] >= BELIEVED_SECONDS:
                self._loaded = (self._now(), await asyncio.to_thread(ssl.create_default_context))
            return self._loaded[1]
