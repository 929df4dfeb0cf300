"""Owns the wiring of the console: the services for its pages, and the page for errors that no handler has caught.

Pages need a web framework and templates. They are imported when a page is first asked for, because they are a tenth of
a start and of a node's memory, and most services never show a page.
"""

import asyncio
import gc
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from thingmint import __version__
from thingmint.api.wire.calls import Calls
from thingmint.api.wire.errors import ErrorMap
from thingmint.console.services import ConsoleServices
from thingmint.host.service_log import service_log
from thingmint.registration.access.console_sessions import ConsoleSessions
from thingmint.registration.access.principals import Principals
from thingmint.rest.answers import Answer
from thingmint.rest.body import BodyLimits, BodyReader, RequestAborted, receive_of
from thingmint.rest.front import RequestLimits
from thingmint.rest.http.protocol.request_id import new_request_id
from thingmint.rest.throttle import EVERY_OTHER_OPERATION, Throttle
from thingmint.service.devices.device_edge import DeviceEdge
from thingmint.service.node import OpenNode
from thingmint.service.node_report import NodeReport

# A selection of 500 certificates has 40 KB; a CSR or a policy has less.
LIMITS_OF_CONSOLE: Final = RequestLimits(body_bytes=512 * 1024, seconds=60.0)
_BODIES: Final = BodyLimits(bytes_each=LIMITS_OF_CONSOLE.body_bytes, seconds=LIMITS_OF_CONSOLE.seconds)
# Limits of sign-in attempts for each address and each access key: a burst, then one in two seconds.
_SIGN_IN_RATE: Final = 0.5
_SIGN_IN_BURST: Final = 20.0
_OPERATION: Final = "Console"

if TYPE_CHECKING:
    from thingmint.console.application import Console


class ImportedConsole:
    """The console, imported and made for the first request. ``stop`` ends its streams."""

    def __init__(self, services: ConsoleServices, errors: ErrorMap) -> None:
        self._services = services
        self._errors = errors
        self._made: Console | None = None
        self._making = asyncio.Lock()
        self._bodies = BodyReader(_BODIES)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one HTTP request, when its body has arrived: clients that send slowly must not take places of pages."""
        try:
            body = await self._bodies.read(scope, receive)
        except RequestAborted:
            return
        made = self._made
        if made is None:
            async with self._making:
                # In a thread, because requests to other applications must not wait.
                made = await asyncio.to_thread(self._make)
        await made(scope, receive_of(body, receive), send)

    def stop(self) -> None:
        """Cancel the requests that are being served."""
        if self._made is not None:
            self._made.stop()

    def error_page(self, error: Exception) -> tuple[int, bytes]:
        """Return the HTTP status and the page for an error that a page has raised and not handled."""
        return self._make().error_page(error)

    def _make(self) -> "Console":
        from thingmint.console.application import Console

        if self._made is None:
            self._made = Console(self._services, self._errors)
            # What was imported lives as long as the service, and needs no search for garbage.
            gc.freeze()
        return self._made


def console_of(node: OpenNode, edge: DeviceEdge, calls: Calls, errors: ErrorMap) -> ImportedConsole:
    """Return the console of a node."""
    registry = node.registry
    sessions = ConsoleSessions(
        store=registry.store,
        sealer=registry.sealer,
        clock=registry.clock,
        random_bytes=secrets.token_bytes,
        region=registry.scope.region,
        principals=Principals(registry.scope.region),
        events=node.events,
    )
    services = ConsoleServices(
        calls=calls,
        authority=node.authority,
        sessions=sessions,
        devices=edge.live,
        node=NodeReport(node, edge),
        own_account=registry.scope.account,
        sign_in_limits=Throttle({EVERY_OTHER_OPERATION: _SIGN_IN_RATE}, time.monotonic, burst=_SIGN_IN_BURST),
        log=service_log,
        observe=partial(node.metrics.observe_request, _OPERATION),
        new_request_id=new_request_id,
        version=__version__,
    )
    return ImportedConsole(services, errors)


def page_of_error(console: ImportedConsole, error: Exception) -> Answer:
    """Return the page for an error that no handler has caught: a form that is too large, or a fault of the service."""
    status, page = console.error_page(error)
    return Answer(status, page, b"text/html; charset=utf-8")
