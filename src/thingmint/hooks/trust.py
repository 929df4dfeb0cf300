"""Owns whom the machine trusts as authorities for TLS, loaded beside the event loop; knows no webhook."""

import asyncio
import ssl
import time
from collections.abc import Callable

# The machine's operator may renew its trust anchors while the service runs.
BELIEVED_SECONDS = 600.0


class MachineTrust:
    """The machine's trust anchors, loaded when they are first needed and again after a while.

    There are more than a hundred of them: to load them for each question would hold up everything else.
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
