"""Owns the pages for those who watch the service: alive, ready, metrics. They need no signature and tell no secret."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from thingmint.rest.answers import Answer

_TEXT = b"text/plain; charset=utf-8"
# Prometheus's text format; its later versions read this one too.
_PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Pages:
    """The checks return if callers, or devices, can be served, and raise ServiceUnavailable otherwise."""

    check_ready: Callable[[], Awaitable[None]]
    check_devices_ready: Callable[[], None]
    metrics: Callable[[], bytes]

    def name_of(self, method: str, raw_path: bytes) -> str | None:
        """Return the name of the page that this is a request for, or None."""
        return _NAMES.get(raw_path) if method in ("GET", "HEAD") else None

    async def answer(self, name: str) -> Answer:
        """Return the page; raise ServiceUnavailable if the service is to say that it is not ready."""
        if name == "metrics":
            return Answer(200, self.metrics(), _PROMETHEUS)
        if name == "readyz":
            await self.check_ready()
        if name == "readyz/devices":
            self.check_devices_ready()
        return Answer(200, b"ok\n", _TEXT)


# This page only shows that the process answers. A supervisor, which ends processes that do not, must get it even when
# there is no room for other requests.
ALIVE = b"/healthz"
_NAMES = {ALIVE: "healthz", b"/readyz": "readyz", b"/readyz/devices": "readyz/devices", b"/metrics": "metrics"}
