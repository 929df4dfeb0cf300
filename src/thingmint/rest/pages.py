"""Owns the pages for monitoring: alive, ready and metrics. They need no signature and contain no secrets."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from msgspec import Struct

from thingmint.core.errors import OperationUnknown
from thingmint.rest.answering import Answering, Record
from thingmint.rest.answers import Answer
from thingmint.rest.asgi_messages import HTTPScope, Receive, Send

_TEXT = b"text/plain; charset=utf-8"
# Prometheus's text format; later versions of Prometheus accept this one, too.
_PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"

_ALIVE: Final = b"/healthz"
_METRICS: Final = b"/metrics"
# The first segments of the paths of all pages.
PREFIXES: Final = (_ALIVE, b"/readyz", _METRICS)
# These are served even if there is no room for other requests, and are not counted as in flight. The first one only
# shows that the process answers, for supervisors that end processes that do not answer. Callers of the second one wait
# for each other.
SPARED: Final = frozenset({_ALIVE, _METRICS})
PAGES: Final[Mapping[bytes, str]] = {
    _ALIVE: "healthz",
    b"/readyz": "readyz",
    b"/readyz/devices": "readyz/devices",
    _METRICS: "metrics",
}
"""The names of the pages, by their paths."""


class Pages(Struct, frozen=True):
    """The ASGI application of the pages.

    The checks return if callers or devices can be served, and raise ServiceUnavailable otherwise.
    """

    answering: Answering
    check_ready: Callable[[], Awaitable[None]]
    check_devices_ready: Callable[[], None]
    metrics: Callable[[], Awaitable[bytes]]

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer one request; its body is ignored."""
        await self.answering.answer(scope, send, partial(self._serve, scope))

    async def _serve(self, scope: HTTPScope, record: Record) -> Answer:
        name = PAGES.get(scope["raw_path"]) if scope["method"] in ("GET", "HEAD") else None
        if name is None:
            raise OperationUnknown("No operation answers to this method and path")
        record.operation, record.is_page = name, True
        if name == "metrics":
            return Answer(200, await self.metrics(), _PROMETHEUS)
        if name == "readyz":
            await self.check_ready()
        if name == "readyz/devices":
            self.check_devices_ready()
        return Answer(200, b"ok\n", _TEXT)
