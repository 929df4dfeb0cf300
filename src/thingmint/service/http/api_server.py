"""Owns the HTTPS server of a node: the operations of the API, its authentication, its limits, and the console."""

import time
from collections.abc import Callable
from functools import partial

from msgspec import Struct

from thingmint.api.accounts.accounts import Administration
from thingmint.api.service import is_operation, operations_of_test_mode, own_operations, served_operations
from thingmint.api.wire.calls import Calls
from thingmint.api.wire.errors import AccessDeniedName, ErrorMap
from thingmint.api.wire.routing import Router
from thingmint.console.services import PREFIX as CONSOLE_PREFIX
from thingmint.host.connections.proxied import TrustedProxies
from thingmint.host.service_log import service_log
from thingmint.public.addresses import PREFIXES as PUBLIC_PREFIXES
from thingmint.public.log_pages import LogPages
from thingmint.registration.kernel.tags import stored_tags
from thingmint.rest.answering import Answering
from thingmint.rest.answers import Answer, error_answer
from thingmint.rest.asgi import Application
from thingmint.rest.front import Front, Mounted, RequestLimits
from thingmint.rest.http.limits import Limits
from thingmint.rest.http.protocol.request_id import new_request_id
from thingmint.rest.http.server import Server
from thingmint.rest.identity import SigV4Authenticator
from thingmint.rest.pages import PREFIXES, SPARED, Pages
from thingmint.rest.shared_page import SharedPage
from thingmint.rest.sts import PREFIX as STS_PREFIX
from thingmint.rest.sts import SecurityTokens, query_error
from thingmint.rest.throttle import EVERY_OTHER_OPERATION, Throttle
from thingmint.service.addresses import device_endpoint
from thingmint.service.clocks import MovableClock
from thingmint.service.devices.device_edge import DeviceEdge
from thingmint.service.http.console import LIMITS_OF_CONSOLE, ImportedConsole, console_of, page_of_error
from thingmint.service.http.mqtt_web_sockets import PREFIX as WEB_SOCKET_PREFIX
from thingmint.service.http.mqtt_web_sockets import MQTTOverWebSockets
from thingmint.service.node import OpenNode
from thingmint.service.public.transparency import LogApplication
from thingmint.service.readiness import Readiness, require_listening
from thingmint.settings.config import Config, StartRefused

# Requests for metrics and health checks have no body, and a readiness check answers within a second.
_LIMITS_OF_PAGES = RequestLimits(body_bytes=4096, seconds=10.0)


class ApiServer(Struct, frozen=True):
    """The server, which does not listen yet, and the function that ends the streams of the console before it stops.

    ``calls`` turns requests into operations. All ports share its quotas.
    """

    server: Server
    calls: Calls
    end_streams: Callable[[], None]


def api_server(node: OpenNode, edge: DeviceEdge, max_connections: int) -> ApiServer:
    """Return the server of the API; raise StartRefused for unfit settings."""
    config = node.config
    errors = ErrorMap(AccessDeniedName(config.access_denied_as))
    calls = Calls(
        router=_router(node, edge),
        throttle=_throttle(config, lambda: edge.nodes_alive),
        clock=node.registry.clock,
        tags_of=partial(stored_tags, node.registry.store),
    )
    console = console_of(node, edge, calls, errors) if config.console else None
    server = Server(
        _front(node, edge, calls, errors, console),
        host=config.api.host,
        port=config.api.port,
        ssl_context=None if config.insecure_http else node.identity.context,
        limits=Limits(max_connections=max_connections, max_requests=config.max_requests),
        observe_connections=node.metrics.connections,
        observe_turned_away=node.metrics.api_connections_turned_away,
        proxies=TrustedProxies(config.proxy_protocol, partial(node.metrics.proxy_headers_refused, "api")),
        spared=SPARED,
        shares_port=node.worker is not None,
    )
    return ApiServer(server, calls, _nothing if console is None else console.stop)


def _nothing() -> None:
    """Do nothing."""


def _front(node: OpenNode, edge: DeviceEdge, calls: Calls, errors: ErrorMap, console: ImportedConsole | None) -> Front:
    config, registry = node.config, node.registry
    answering = Answering(errors=errors, observer=node.metrics, log=service_log, new_request_id=new_request_id)
    authenticator = SigV4Authenticator(
        registry.store,
        registry.sealer,
        registry.clock,
        registry.scope.region,
        signing_time=registry.clock.seen_by_clients,
        admits_accounts=config.test_mode,
    )
    api = Application(
        calls=calls,
        answering=answering,
        authenticator=authenticator,
        max_in_flight=config.max_requests,
    )
    pages = Pages(
        answering,
        check_ready=Readiness(registry.store.check, node.check).check,
        check_devices_ready=lambda: require_listening(edge.is_listening),
        metrics=SharedPage(node.render_metrics).get,
    )

    log = LogApplication(
        LogPages(registry.store, node.log.salt_secret),
        answering,
        registry=registry,
        authenticator=authenticator,
        tags_of=calls.tags_of,
    )

    def awss_form(error: Exception) -> Answer:
        return error_answer(errors.answer(error))

    tokens = Answering(
        errors=errors,
        observer=node.metrics,
        log=service_log,
        new_request_id=new_request_id,
        error_form=query_error,
    )
    web_sockets = MQTTOverWebSockets(answering, authenticator, lambda: edge.gateway, registry.scope.region)
    # One line for each application.
    mounted = [
        Mounted(api, awss_form),
        Mounted(SecurityTokens(tokens, authenticator, api), awss_form, (STS_PREFIX,)),
        Mounted(pages, awss_form, PREFIXES, _LIMITS_OF_PAGES),
        node.publication.mounted(PUBLIC_PREFIXES),
        Mounted(log, awss_form, LogApplication.prefixes, _LIMITS_OF_PAGES),
        Mounted(web_sockets, awss_form, (WEB_SOCKET_PREFIX,), _LIMITS_OF_PAGES),
    ]
    if console is not None:
        mounted.append(Mounted(console, partial(page_of_error, console), (CONSOLE_PREFIX,), LIMITS_OF_CONSOLE))
    return Front(mounted, new_request_id)


def _router(node: OpenNode, edge: DeviceEdge) -> Router:
    config, authority = node.config, node.authority
    served = served_operations(authority, partial(device_endpoint, config, edge.port), edge.for_operators)
    administration = Administration(authority, edge.for_operators, node.registry.scope.account)
    own = own_operations(administration)
    if isinstance(node.registry.clock, MovableClock):
        own += operations_of_test_mode(administration, node.registry.clock, served)
    return Router((*served, *own))


def _throttle(config: Config, nodes: Callable[[], int]) -> Throttle:
    for name in () if isinstance(config.quota, str) else config.quota:
        if name != EVERY_OTHER_OPERATION and not is_operation(name):
            raise StartRefused(f"quota names {name}, which is no operation of AWS IoT")
    return Throttle(config.quota, time.monotonic, nodes=nodes)
