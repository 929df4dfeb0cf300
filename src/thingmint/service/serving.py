"""Owns the wiring: the one module that knows everybody. It makes each part, hands it its collaborators, and ends it."""

import asyncio
import contextlib
import gc
import time
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial

import structlog
from cryptography.hazmat.primitives.asymmetric import rsa

from thingmint import __version__
from thingmint.api.service import build_router, is_operation
from thingmint.api.wire.errors import AccessDeniedName, ErrorMap
from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import Scope
from thingmint.data_directory.files import held, make_directory
from thingmint.data_directory.handover import (
    Endpoints,
    remove_endpoints,
    write_endpoints,
)
from thingmint.host.listening import Demand, shares
from thingmint.host.telemetry import Metrics
from thingmint.host.words import in_words
from thingmint.keys.child import usable_cores
from thingmint.keys.pool import KeyPool
from thingmint.mqtt.broker.data_plane import LocalDataPlane
from thingmint.mqtt.counters import Counters
from thingmint.mqtt.data_plane import DataPlane
from thingmint.mqtt.metrics import BrokerMetrics
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.relay.address import InvalidBrokerAddress
from thingmint.mqtt.relay.relay import RelayDataPlane
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.registration.access.access_keys import purge_expired
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.tags import stored_tags
from thingmint.rest.asgi import Application
from thingmint.rest.http.limits import Limits
from thingmint.rest.http.server import Server
from thingmint.rest.identity import Authenticator
from thingmint.rest.pages import ALIVE, Pages
from thingmint.rest.throttle import EVERY_OTHER_OPERATION, Throttle
from thingmint.service.addresses import device_endpoint, endpoints_of, is_unnamed
from thingmint.service.background import background
from thingmint.service.clocks import SkewWatch, skew_watched
from thingmint.service.device_edge import DeviceAddress, DeviceEdge
from thingmint.service.first_credentials import (
    ensure_credentials,
    require_own_database,
)
from thingmint.service.logged_events import LoggedEvents
from thingmint.service.opening import Registry, key_pool_of, open_registry, registration_authority, serial_numbers
from thingmint.service.readiness import ClockWatch, Readiness, require_listening, watched
from thingmint.service.server_identity import Rotation, ServerIdentities, ServerIdentity, new_rsa_key
from thingmint.service.storage_choice import remember_storage
from thingmint.settings.config import Config, StartRefused

GRACE_SECONDS = 20.0
_TIDY_SECONDS = 3600.0
# Requests of devices for a key that are carried out at once: more would keep those of other claims waiting longer.
_FEWEST_KEYS_AT_ONCE = 4

_log = structlog.get_logger("thingmint")


async def serve(config: Config, *, on_ready: Callable[[Endpoints], None], stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set, then finish what is in flight.

    Raises StartRefused, DirectoryInUse, ServiceUnavailable or OSError if the service cannot start.
    """
    make_directory(config.data_dir)
    with held(config.data_dir, "thingmint serve"):
        remove_endpoints(config.data_dir)
        metrics = Metrics(__version__)
        async with (
            _rsa_key_made_meanwhile() as rsa_key,
            open_registry(config, metrics) as registry,
            key_pool_of(config, reserve=config.key_reserve, metrics=metrics) as keys,
        ):
            await require_own_database(registry.store, registry.sealer, registry.issuer_id, config.data_dir)
            remember_storage(config)
            await ensure_credentials(
                registry.store, registry.sealer, registry.issuer_id, registry.clock, registry.scope, config
            )
            await _serve_registry(registry, keys, metrics, await rsa_key, on_ready, stop)


async def _serve_registry(
    registry: Registry,
    keys: KeyPool,
    metrics: Metrics,
    rsa_key: rsa.RSAPrivateKey,
    on_ready: Callable[[Endpoints], None],
    stop: asyncio.Event,
) -> None:
    config = registry.config
    events = LoggedEvents()
    authority = registration_authority(registry, keys, events)
    identities = _identities(registry)
    identity = identities.create(rsa_key)
    if is_unnamed(config):
        _log.warning("clients on other machines cannot verify this one: give its name or address with --server-name")
    api_connections, limits = shares_of(config)
    edge = _device_edge(authority, registry, identity, metrics, limits)
    clock = _clock_watch(registry)
    events.listeners.append(edge)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(skew_watched(SkewWatch(registry.clock, _log, metrics.clock_skew)))
        await stack.enter_async_context(watched(clock))
        await edge.start()
        stack.push_async_callback(edge.stop, GRACE_SECONDS)
        server = Server(
            _application(authority, registry, edge, metrics, clock),
            host=config.api_host,
            port=config.api_port,
            ssl_context=None if config.insecure_http else identity.context,
            limits=Limits(max_connections=api_connections, max_requests=config.max_requests),
            observe_connections=metrics.connections,
            observe_turned_away=metrics.api_connections_turned_away,
            spared=(ALIVE,),
        )
        await server.start()
        stack.push_async_callback(server.stop, GRACE_SECONDS)
        stack.callback(remove_endpoints, config.data_dir)
        _show_expiries(registry, identity, metrics)
        rotation = Rotation(identities, identity, clock.check, partial(_use, registry, server, edge, metrics), _log)
        stack.callback(asyncio.create_task(rotation.run()).cancel)
        await stack.enter_async_context(background(authority, str(uuid.uuid4()), _log))
        endpoints = endpoints_of(config, server.port, edge.port, edge.alpn_port)
        tidying = asyncio.create_task(_tidy(registry, events))
        stack.callback(tidying.cancel)
        write_endpoints(config.data_dir, endpoints)
        _log.info("ready", api=endpoints.api, mqtt=endpoints.mqtt, account=config.account, version=__version__)
        # What is there now stays for as long as the service runs. A full collection of garbage, which stops everything,
        # does not look at it any more.
        gc.freeze()
        on_ready(endpoints)
        await stop.wait()
        _log.info("stopping")


def shares_of(config: Config) -> tuple[int, GatewayLimits]:
    """Return how many connections the API may have, and what devices may take of what they share with operators."""
    # Behind the relay, each device has a connection to the broker.
    descriptors = 1 if config.mqtt_data_plane == "local" else 2
    alone = GatewayLimits()
    wanted = (config.max_connections, config.max_device_connections)
    operators, devices = shares([Demand(wanted[0]), Demand(wanted[1], descriptors)])
    if (operators, devices) != wanted:
        _log.warning("descriptors are scarce: raise `ulimit -n`", api_connections=operators, device_connections=devices)
    # However many devices ask for keys at once, operators find a place in the line.
    provisioning = min(alone.max_provisioning, max(1, config.max_waiting_for_keys * 3 // 4))
    limits = GatewayLimits(
        max_connections=devices,
        max_connections_per_certificate=max(1, devices // 2),
        max_strangers=config.max_device_handshakes,
        max_waiting=config.max_waiting_devices,
        max_provisioning=provisioning,
        max_provisioning_keys_at_once=max(_FEWEST_KEYS_AT_ONCE, 2 * (config.key_workers or usable_cores())),
    )
    return operators, limits


def _data_plane(config: Config, scope: Scope, counters: Counters) -> DataPlane:
    if config.mqtt_data_plane == "local":
        return LocalDataPlane(BrokerLimits(**config.broker_limits), time.monotonic, counters)
    try:
        return RelayDataPlane(config.mqtt_data_plane, scope)
    except InvalidBrokerAddress as error:
        raise StartRefused(f"mqtt_data_plane: {in_words(error)}") from error


def _device_edge(
    authority: RegistrationAuthority,
    registry: Registry,
    identity: ServerIdentity,
    metrics: Metrics,
    limits: GatewayLimits,
) -> DeviceEdge:
    config, counters = registry.config, Counters(BrokerMetrics(metrics.registry))
    return DeviceEdge(
        authority,
        registry.scope,
        address=DeviceAddress(config.mqtt_host, config.mqtt_port, config.mqtt_is_default, config.mqtt_alpn),
        tls_context=identity.device_context,
        data_plane=_data_plane(config, registry.scope, counters),
        limits=limits,
        observe_connections=metrics.device_connections,
        counters=counters,
        observe_refusal=metrics.device_refused,
        observe_turned_away=metrics.device_connections_turned_away,
        observe_unserved=metrics.unserved_messages,
    )


def _application(
    authority: RegistrationAuthority, registry: Registry, edge: DeviceEdge, metrics: Metrics, clock: ClockWatch
) -> Application:
    config = registry.config
    return Application(
        router=build_router(authority, partial(device_endpoint, config, edge.port), edge.for_operators),
        errors=ErrorMap(AccessDeniedName(config.access_denied_as)),
        authenticator=Authenticator(registry.store, registry.sealer, registry.clock, registry.scope.region),
        throttle=_throttle(config),
        clock=registry.clock,
        pages=Pages(
            check_ready=Readiness(registry.store.check, clock.check).check,
            check_devices_ready=lambda: require_listening(edge.is_listening),
            metrics=metrics.render,
        ),
        observer=metrics,
        log=_log.bind(),
        new_request_id=lambda: str(uuid.uuid4()),
        tags_of=partial(stored_tags, registry.store),
        max_in_flight=config.max_requests,
    )


def _throttle(config: Config) -> Throttle:
    for name in () if isinstance(config.quota, str) else config.quota:
        if name != EVERY_OTHER_OPERATION and not is_operation(name):
            raise StartRefused(f"quota names {name}, which is no operation of AWS IoT")
    return Throttle(config.quota, time.monotonic)


def _use(registry: Registry, server: Server, edge: DeviceEdge, metrics: Metrics, identity: ServerIdentity) -> None:
    if not registry.config.insecure_http:
        server.use_tls_context(identity.context)
    edge.use_tls_context(identity.device_context)
    _show_expiries(registry, identity, metrics)


async def _tidy(registry: Registry, events: LoggedEvents) -> None:
    """Remove what has no use any more, now and every hour."""
    while True:
        try:
            registry.clock.require_right()
            purged = await purge_expired(registry.store, registry.clock, registry.scope.region, events)
        except ThingmintError as error:
            _log.warning("expired credentials cannot be removed yet", cause=type(error).__name__)
        else:
            if purged:
                _log.info("expired credentials removed", count=purged)
        await asyncio.sleep(_TIDY_SECONDS)


def _show_expiries(registry: Registry, identity: ServerIdentity, metrics: Metrics) -> None:
    authorities = registry.authorities
    shown = {
        "root": authorities.root,
        "issuing": authorities.issuing.certificate,
        "service": authorities.service.certificate,
        "server": identity.certificate,
    }
    if authorities.rsa_service is not None:
        shown["rsa-service"] = authorities.rsa_service.certificate
    for name, certificate in shown.items():
        metrics.certificate_expiry(name, certificate.not_valid_after_utc)


def _clock_watch(registry: Registry) -> ClockWatch:
    issuing = registry.authorities.issuing.certificate
    return ClockWatch(
        registry.clock.now,
        issuing.not_valid_before_utc,
        issuing.not_valid_after_utc,
        _log,
        registry.clock.require_right,
    )


@contextlib.asynccontextmanager
async def _rsa_key_made_meanwhile() -> AsyncIterator[asyncio.Task[rsa.RSAPrivateKey]]:
    """Yield a task that makes the server's RSA key while the rest of the service starts."""
    task = asyncio.create_task(new_rsa_key())
    try:
        yield task
    finally:
        task.cancel()


def _identities(registry: Registry) -> ServerIdentities:
    config = registry.config
    return ServerIdentities(
        registry.authorities, config.server_names, serial_numbers, registry.clock.now, config.data_dir
    )
