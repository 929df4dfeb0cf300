"""Owns the wiring of the console: the services for its pages, and the page for errors that no handler has caught."""

import secrets
import time
from functools import partial
from typing import Final

import structlog

from thingmint import __version__
from thingmint.api.wire.calls import Calls
from thingmint.api.wire.errors import ErrorMap
from thingmint.console.application import Console
from thingmint.console.services import ConsoleServices
from thingmint.registration.access.console_sessions import ConsoleSessions
from thingmint.registration.access.principals import Principals
from thingmint.rest.answers import Answer
from thingmint.rest.front import RequestLimits
from thingmint.rest.http.protocol.request_id import new_request_id
from thingmint.rest.throttle import EVERY_OTHER_OPERATION, Throttle
from thingmint.service.devices.device_edge import DeviceEdge
from thingmint.service.node import OpenNode
from thingmint.service.node_report import NodeReport

# A selection of 500 certificates has 40 KB; a CSR or a policy has less.
LIMITS_OF_CONSOLE: Final = RequestLimits(body_bytes=512 * 1024, seconds=60.0)
# Limits of sign-in attempts for each address and each access key: a burst, then one in two seconds.
_SIGN_IN_RATE: Final = 0.5
_SIGN_IN_BURST: Final = 20.0
_OPERATION: Final = "Console"

_log = structlog.get_logger("thingmint")


def console_of(node: OpenNode, edge: DeviceEdge, calls: Calls, errors: ErrorMap) -> Console:
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
        log=_log.bind(),
        observe=partial(node.metrics.observe_request, _OPERATION),
        new_request_id=new_request_id,
        version=__version__,
    )
    return Console(services, errors)


def page_of_error(console: Console, error: Exception) -> Answer:
    """Return the page for an error that no handler has caught: a form that is too large, or a fault of the service."""
    status, page = console.error_page(error)
    return Answer(status, page, b"text/html; charset=utf-8")
