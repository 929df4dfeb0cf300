"""Owns the wiring: the one module that knows everybody. It makes each part, hands it its collaborators, and ends it.

The clock, the random source and every other adapter of the outside world are here.
"""

import asyncio
import contextlib
import os
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from thingmint import __version__
from thingmint.api.errors import AccessDeniedName, ErrorMap
from thingmint.api.service import build_router
from thingmint.background import background
from thingmint.buckets import Buckets, NoBuckets
from thingmint.config import Config
from thingmint.core.access_key import AccessKeyOrigin
from thingmint.core.caller import Caller, Principal
from thingmint.core.identifiers import AccountId, Region, Scope, SerialNumber, user_arn
from thingmint.data_directory.authorities import TRUST_ANCHOR, Authorities, AuthorityFiles, AuthorityUnusable
from thingmint.data_directory.files import DirectoryInUse, held, make_directory
from thingmint.data_directory.handover import (
    Credentials,
    Endpoints,
    read_credentials,
    remove_endpoints,
    write_credentials,
    write_endpoints,
)
from thingmint.hooks import Hooks, HookTargetRefused, LoggedHooks, hook_targets
from thingmint.issuance.issuer import Issuer, IssuerUnfit
from thingmint.issuance.profile import ProfileConfig, ProfileError, certificate_profile, claim_profile
from thingmint.issuance.serial_number import random_serial_number
from thingmint.key_pool import KeyPool
from thingmint.registration.access_keys import ensure_administrator
from thingmint.registration.audit import AuditEntry
from thingmint.registration.authority import RegistrationAuthority
from thingmint.registration.ports import KeySource, RegistrationFiles, Store
from thingmint.registration.tags import stored_tags
from thingmint.rest.asgi import Application
from thingmint.rest.identity import Authenticator
from thingmint.rest.limits import Limits
from thingmint.rest.pages import Pages
from thingmint.rest.server import Server
from thingmint.rest.throttle import Throttle
from thingmint.sealing import Sealer
from thingmint.server_identity import ServerIdentities, ServerIdentity
from thingmint.storage import open_store
from thingmint.telemetry import Metrics

GRACE_SECONDS = 20.0
REGISTRATION_CODE_OCTETS = 32
# How often the wall clock is compared with the server certificate's end, and how long a readiness check is believed.
_ROTATION_CHECK_SECONDS = 60.0
_READY_FOR_SECONDS = 1.0
# Control-plane calls are signed for `iot`; the mobile SDKs of 2017 sign them for `execute-api`.
_SIGNED_FOR = frozenset({"iot", "execute-api"})

_log = structlog.get_logger("thingmint")


class StartRefused(Exception):
    """The service cannot start; the message says why and what to change."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present, aware, UTC."""
        return datetime.now(UTC)


class LoggedEvents:
    """Writes a log line for every committed mutation."""

    def recorded(self, entry: AuditEntry) -> None:
        """Take note of a committed mutation."""
        _log.info(
            "recorded",
            action=entry.action,
            resource=entry.resource,
            principal=entry.principal_arn,
            request_id=entry.request_id,
            **entry.detail,
        )


@dataclass(frozen=True, slots=True)
class Registry:
    """An open data directory: its authorities, its store and what seals its secrets."""

    config: Config
    scope: Scope
    authorities: Authorities
    sealer: Sealer
    store: Store
    clock: SystemClock = field(default_factory=SystemClock)


@contextlib.asynccontextmanager
async def open_registry(
    config: Config, metrics: Metrics | None = None, *, may_create: bool = True
) -> AsyncIterator[Registry]:
    """Yield the registry of a data directory, made where it is missing; raise StartRefused if it cannot be used.

    Only whoever holds the directory may create.
    """
    try:
        authorities = AuthorityFiles(
            data_dir=config.data_dir,
            passphrase=read_passphrase(config),
            key_type=config.ca_key_type,
            serial_numbers=serial_numbers,
            now=SystemClock().now,
            may_create=may_create,
        ).open()
    except AuthorityUnusable as error:
        raise StartRefused(str(error)) from error
    observe = (lambda kind, seconds: None) if metrics is None else metrics.observe_database
    store = await open_store(config.database_url, config.data_dir, observe=observe)
    try:
        yield Registry(
            config=config,
            scope=Scope(AccountId(config.account), Region(config.region)),
            authorities=authorities,
            sealer=Sealer(authorities.sealing_key_material, os.urandom),
            store=store,
        )
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def key_pool_of(config: Config, *, reserve: int, metrics: Metrics | None = None) -> AsyncIterator[KeyPool]:
    """Yield a source of key pairs whose workers have been started."""
    pool = KeyPool(reserve, config.key_workers, config.max_waiting_for_keys, metrics or Metrics(__version__))
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


def registration_authority(registry: Registry, key_source: KeySource) -> RegistrationAuthority:
    """Return the authority that issues from this registry; raise StartRefused for unfit settings."""
    issuing = registry.authorities.issuing
    try:
        profile = certificate_profile(ProfileConfig.from_table(registry.config.profile))
        issuer = Issuer(issuing.certificate, issuing.private_key, profile)
        claim_issuer = Issuer(issuing.certificate, issuing.private_key, claim_profile())
        hooks = LoggedHooks(Hooks(hook_targets(registry.config.hooks)), _log)
    except (ProfileError, IssuerUnfit, HookTargetRefused) as error:
        raise StartRefused(str(error)) from error
    return RegistrationAuthority(
        store=registry.store,
        key_source=key_source,
        issuer=issuer,
        claim_issuer=claim_issuer,
        clock=registry.clock,
        serial_numbers=serial_numbers,
        new_generation_id=lambda: str(uuid.uuid4()),
        new_registration_code=lambda: secrets.token_hex(REGISTRATION_CODE_OCTETS),
        events=LoggedEvents(),
        thing_type_deletable_after=timedelta(seconds=registry.config.thing_type_deletable_after),
        sealer=registry.sealer,
        hooks=hooks,
        files=_files(registry.config),
    )


def _files(config: Config) -> RegistrationFiles:
    if config.registration_dir is None:
        return NoBuckets()
    if not config.registration_dir.is_dir():
        raise StartRefused(f"registration_dir {config.registration_dir} is not a directory")
    return Buckets(config.registration_dir)


@contextlib.asynccontextmanager
async def registry_beside_service(config: Config) -> AsyncIterator[Registry]:
    """Yield the registry for a short piece of work, whether or not a service is running on the directory."""
    make_directory(config.data_dir)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held(config.data_dir, "thingmint"))
            is_holder = True
        except DirectoryInUse:
            is_holder = False
        async with open_registry(config, may_create=is_holder) as registry:
            yield registry


@contextlib.asynccontextmanager
async def offline_authority(config: Config) -> AsyncIterator[tuple[RegistrationAuthority, Caller]]:
    """Yield an authority on the data directory itself, held as a service would hold it, and the operator as caller."""
    make_directory(config.data_dir)
    with held(config.data_dir, "thingmint issue --offline"):
        async with open_registry(config) as registry, key_pool_of(config, reserve=0) as keys:
            yield registration_authority(registry, keys), operator(registry.scope)


def operator(scope: Scope) -> Caller:
    """Return whoever works on the data directory with this machine's own rights; no policy binds them."""
    principal = Principal(user_arn(scope, "operator"), ())
    return Caller(scope.account, scope.region, principal, str(uuid.uuid4()), "")


async def serve(config: Config, *, on_ready: Callable[[Endpoints], None], stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set, then finish what is in flight.

    Raises StartRefused, DirectoryInUse, ServiceUnavailable or OSError if the service cannot start.
    """
    make_directory(config.data_dir)
    with held(config.data_dir, "thingmint serve"):
        remove_endpoints(config.data_dir)
        metrics = Metrics(__version__)
        async with (
            open_registry(config, metrics) as registry,
            key_pool_of(config, reserve=config.key_reserve, metrics=metrics) as keys,
        ):
            await _ensure_credentials(registry)
            await _serve_registry(registry, keys, metrics, on_ready, stop)


async def _serve_registry(
    registry: Registry, keys: KeyPool, metrics: Metrics, on_ready: Callable[[Endpoints], None], stop: asyncio.Event
) -> None:
    config = registry.config
    authority = registration_authority(registry, keys)
    identities = None if config.insecure_http else _identities(registry)
    identity = None if identities is None else identities.create()
    server = Server(
        _application(authority, registry, keys, metrics),
        host=config.api_host,
        port=config.api_port,
        ssl_context=None if identity is None else identity.context,
        limits=Limits(max_connections=config.max_connections, max_requests=config.max_requests),
        observe_connections=metrics.connections,
    )
    await server.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.stop, GRACE_SECONDS)
        stack.callback(remove_endpoints, config.data_dir)
        _show_expiries(registry, identity, metrics)
        if identities is not None and identity is not None:
            rotation = asyncio.create_task(_rotate(identities, identity, server, registry, metrics))
            stack.callback(rotation.cancel)
        await stack.enter_async_context(background(authority, str(uuid.uuid4()), _log))
        endpoints = _endpoints(config, server.port)
        write_endpoints(config.data_dir, endpoints)
        _log.info("ready", api=endpoints.api, account=config.account, region=config.region, version=__version__)
        on_ready(endpoints)
        await stop.wait()
        _log.info("stopping")


def _application(authority: RegistrationAuthority, registry: Registry, keys: KeyPool, metrics: Metrics) -> Application:
    config = registry.config
    return Application(
        router=build_router(authority, config.server_names[0]),
        errors=ErrorMap(AccessDeniedName(config.access_denied_as)),
        authenticator=Authenticator(
            registry.store, registry.sealer, registry.clock, registry.scope.region, _SIGNED_FOR
        ),
        throttle=Throttle(config.quota, time.monotonic),
        clock=registry.clock,
        pages=Pages(check_ready=Readiness(registry.store).check, metrics=metrics.render),
        observer=metrics,
        log=_log,
        new_request_id=lambda: str(uuid.uuid4()),
        tags_of=partial(stored_tags, registry.store),
        max_in_flight=config.max_requests,
    )


@dataclass(slots=True)
class Readiness:
    """Asks the store whether it can be written to, at most once a second however many ask."""

    store: Store
    _believed_until: float = 0.0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def check(self) -> None:
        """Return if requests can be served; raise ServiceUnavailable otherwise."""
        async with self._lock:
            if time.monotonic() < self._believed_until:
                return
            await self.store.check()
            self._believed_until = time.monotonic() + _READY_FOR_SECONDS


async def _ensure_credentials(registry: Registry) -> None:
    """Make sure that an administrator can call, and that the credentials file holds that key.

    The file is written first: a first start that is cut off after it finds the key there and stores it.
    """
    config = registry.config
    if config.root_access_key_id is not None and config.root_secret_access_key is not None:
        origin = AccessKeyOrigin.PRESET
        credentials = Credentials(config.root_access_key_id, config.root_secret_access_key)
        if _read_credentials(config.data_dir) != credentials:
            write_credentials(config.data_dir, credentials)
    else:
        if await registry.store.read(lambda transaction: transaction.access_keys(None)):
            return
        origin = AccessKeyOrigin.FIRST_START
        present = _read_credentials(config.data_dir)
        credentials = present or new_credentials()
        if present is None:
            write_credentials(config.data_dir, credentials)
    await ensure_administrator(
        registry.store,
        registry.sealer,
        registry.clock,
        registry.scope,
        credentials.access_key_id,
        credentials.secret_access_key,
        origin,
    )


def _read_credentials(data_dir: Path) -> Credentials | None:
    try:
        return read_credentials(data_dir)
    except ValueError as error:
        raise StartRefused(str(error)) from error


async def _rotate(
    identities: ServerIdentities, identity: ServerIdentity, server: Server, registry: Registry, metrics: Metrics
) -> None:
    while True:
        await asyncio.sleep(_ROTATION_CHECK_SECONDS)
        if not identities.is_due(identity):
            continue
        try:
            identity = identities.create()
        except (ValueError, OSError) as error:
            _log.error("server certificate cannot be replaced", cause=type(error).__name__)
            continue
        server.use_tls_context(identity.context)
        _show_expiries(registry, identity, metrics)
        _log.info("server certificate replaced", not_after=identity.certificate.not_valid_after_utc.isoformat())


def _show_expiries(registry: Registry, identity: ServerIdentity | None, metrics: Metrics) -> None:
    authorities = registry.authorities
    shown = {
        "root": authorities.root,
        "issuing": authorities.issuing.certificate,
        "service": authorities.service.certificate,
    }
    if identity is not None:
        shown["server"] = identity.certificate
    for name, certificate in shown.items():
        metrics.certificate_expiry(name, certificate.not_valid_after_utc)


def _identities(registry: Registry) -> ServerIdentities:
    config = registry.config
    return ServerIdentities(
        registry.authorities, config.server_names, serial_numbers, registry.clock.now, config.data_dir
    )


def _endpoints(config: Config, port: int) -> Endpoints:
    # The address itself where the certificate holds it: a name could resolve to another one first.
    host = config.api_host if config.api_host in config.server_names else config.server_names[0]
    if config.insecure_http:
        host = config.api_host
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Endpoints(
        api=f"{'http' if config.insecure_http else 'https'}://{authority}",
        api_port=port,
        ca_file=None if config.insecure_http else str((config.data_dir / TRUST_ANCHOR).resolve()),
        account=config.account,
        region=config.region,
        pid=os.getpid(),
    )


def read_passphrase(config: Config) -> bytes | None:
    """Return the operator's passphrase, None where none is given; raise StartRefused if its file cannot be read."""
    if config.ca_passphrase_file is None:
        return None
    try:
        passphrase = config.ca_passphrase_file.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise StartRefused(f"ca_passphrase_file cannot be read: {error}") from error
    if not passphrase:
        raise StartRefused(f"ca_passphrase_file {config.ca_passphrase_file} is empty")
    return passphrase


def new_credentials() -> Credentials:
    """Return a new access key in the form of AWS's: twenty characters, and forty of base 64."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    access_key_id = "AKIA" + "".join(secrets.choice(letters) for _ in range(16))
    return Credentials(access_key_id, secrets.token_urlsafe(30).replace("-", "+").replace("_", "/"))


def serial_numbers() -> SerialNumber:
    """Return a new serial number from the system's random source."""
    return random_serial_number(os.urandom)
