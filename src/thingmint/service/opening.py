"""Owns an open data directory: its keys, its store, and its registration authority; for services and commands.

The random source is here. Independent of HTTP, MQTT and callers.
"""

import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import structlog

from thingmint import __version__
from thingmint.core.caller import Caller
from thingmint.core.error_text import in_words
from thingmint.core.identifiers import AccountId, Region, Scope, SerialNumber
from thingmint.data_directory.authorities import ROOT, Authorities, AuthorityFiles
from thingmint.data_directory.buckets import Buckets, NoBuckets
from thingmint.data_directory.certificate_files import AuthorityUnusable, certificate_path
from thingmint.data_directory.files import held, make_directory
from thingmint.data_directory.sealing import Sealer
from thingmint.data_directory.unfinished_restore import RestoreUnfinished, require_no_mark
from thingmint.hooks import Hooks, HookTargetRefused, LoggedHooks, QuestionSigner, hook_targets
from thingmint.host.random_ids import random_id
from thingmint.host.telemetry import Metrics
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit
from thingmint.issuance.authorities.trust_anchor import CertificateAuthority
from thingmint.issuance.issuers import Issuers
from thingmint.issuance.profiles.profile import ProfileError, claim_profile
from thingmint.issuance.profiles.serial_number import random_serial_number
from thingmint.keys.engines import EngineUnavailable, choose_engine
from thingmint.keys.generators import Engine
from thingmint.keys.in_process import InProcessKeys
from thingmint.keys.pool import KeyPool
from thingmint.public.addresses import addresses_below, root_addresses_below
from thingmint.records.clock import postgresql_time
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.ports import EventOutbox, EventSink, KeySource, NoOutbox, RegistrationFiles, Store
from thingmint.service.clocks import DatabaseClock, MovableClock, ServiceClock, SystemClock
from thingmint.service.issuers.adoption import records_in_force
from thingmint.service.issuers.issuer_fit import require_validity
from thingmint.service.issuers.known_issuers import IssuerSources, KnownIssuers, follow_on_disk, records_of_files
from thingmint.service.issuers.tokens import Tokens
from thingmint.service.logged_events import LoggedEvents
from thingmint.service.nodes.event_outbox import NodeOutbox
from thingmint.service.start.first_credentials import (
    operator,
    read_hook_secret,
    require_database,
    require_own_database,
)
from thingmint.service.start.joining import join, share
from thingmint.service.start.passphrases import read_passphrase
from thingmint.service.start.role_settings import read_role_policies
from thingmint.service.start.storage_choice import (
    database_options,
    remember_storage,
    require_named_storage,
    require_same_storage,
)
from thingmint.settings.config import Config, StartRefused
from thingmint.storage import SQLITE_FILE_NAME, InvalidDatabaseURL, open_store

REGISTRATION_CODE_OCTETS = 32

_log = structlog.get_logger("thingmint")


def serial_numbers() -> SerialNumber:
    """Return a new serial number from the system's random source."""
    return random_serial_number(os.urandom)


@dataclass(frozen=True, slots=True)
class Registry:
    """An open data directory: its authorities, its store and the sealer of its secrets.

    ``issuers`` are the issuers of device certificates at the time of opening.
    """

    config: Config
    scope: Scope
    authorities: Authorities
    issuers: KnownIssuers
    sources: IssuerSources
    root_authority: Callable[[], CertificateAuthority]
    sealer: Sealer
    store: Store
    clock: ServiceClock

    @property
    def issuer_ids(self) -> frozenset[str]:
        """The ids of all issuers, active and retired."""
        return frozenset(each.ca.issuer_id for each in self.issuers)


@contextlib.asynccontextmanager
async def open_registry(
    config: Config, metrics: Metrics | None = None, *, may_create: bool = True
) -> AsyncIterator[Registry]:
    """Yield the registry of a data directory, created if it is missing; raise StartRefused if it cannot be used.

    Only a process that holds the lock of the directory may create it.
    """
    _require_restored(config)
    files = AuthorityFiles(
        data_dir=config.data_dir,
        passphrase=read_passphrase(config.ca_passphrase_file, os.environ),
        key_type=config.ca_key_type,
        serial_numbers=serial_numbers,
        now=SystemClock().now,
        may_create=may_create,
        issuer_addresses=root_addresses_below(config.public_url),
    )
    if may_create:
        make_directory(config.data_dir)
    observe = (lambda kind, seconds: None) if metrics is None else metrics.observe_database
    require_named_storage(config)
    require_database(config)
    store = await _open_store(config, observe)
    tokens = Tokens(config)
    try:
        shares_keys = may_create and config.database_url is not None
        authorities = await _authorities(files, store, joins=shares_keys)
        sealer = Sealer(authorities.sealing_key_material, os.urandom)
        sources = IssuerSources(authorities, sealer, tokens, config.profile)
        clock = await _clock_of(config, store)
        issuers = await _issuers(config, store, sources, clock, may_write=may_create)
        if shares_keys:
            # Only after the check that the database belongs to these keys, and after the deletion of destroyed keys.
            await _share(files, store, sealer)
        yield Registry(
            config=config,
            scope=Scope(AccountId(config.account), Region(config.region)),
            authorities=authorities,
            issuers=issuers,
            sources=sources,
            root_authority=files.root_authority,
            sealer=sealer,
            store=store,
            clock=clock,
        )
    finally:
        await tokens.close()
        await store.close()


async def _authorities(files: AuthorityFiles, store: Store, *, joins: bool) -> Authorities:
    """Return the authorities of the data directory; a joining node gets them from the database. Raise StartRefused."""
    try:
        if joins:
            await join(store, files.data_dir, files.passphrase, partial(_open_elsewhere, files))
        return files.open()
    except AuthorityUnusable as error:
        raise StartRefused(in_words(error)) from error


def _open_elsewhere(files: AuthorityFiles, data_dir: Path) -> Authorities:
    return replace(files, data_dir=data_dir).open()


async def _share(files: AuthorityFiles, store: Store, sealer: Sealer) -> None:
    try:
        await share(store, sealer, files.data_dir, files.passphrase)
    except AuthorityUnusable as error:
        raise StartRefused(in_words(error)) from error


async def _open_store(config: Config, observe: Callable[[str, float], None]) -> Store:
    options = database_options(config)
    try:
        return await open_store(config.database_url, config.data_dir, observe=observe, options=options)
    except InvalidDatabaseURL as error:
        raise StartRefused(in_words(error)) from error


async def _issuers(
    config: Config, store: Store, sources: IssuerSources, clock: ServiceClock, *, may_write: bool
) -> KnownIssuers:
    at = clock.now()
    in_files = records_of_files(sources.authorities, at)
    caller = operator(Scope(AccountId(config.account), Region(config.region)))
    data_dir = config.data_dir
    records = await records_in_force(store, sources.sealer, in_files, caller, at, data_dir, may_write=may_write)
    try:
        known = sources.known(records)
    except IssuerUnfit as error:
        raise StartRefused(in_words(error)) from error
    if may_write:
        follow_on_disk(data_dir, sources.authorities, known, at)
    return known


async def _clock_of(config: Config, store: Store) -> ServiceClock:
    """Return the clock of the database if other nodes may share it; raise ServiceUnavailable if it does not answer."""
    if config.test_mode:
        return MovableClock()
    if config.database_url is None:
        return SystemClock()
    clock = DatabaseClock(lambda: store.read(postgresql_time))
    await clock.measure()
    return clock


@contextlib.asynccontextmanager
async def key_pool_of(config: Config, *, reserve: int, metrics: Metrics | None = None) -> AsyncIterator[KeyPool]:
    """Yield a source of key pairs with started workers; raise StartRefused if the chosen engine is not available."""
    try:
        choice = choose_engine(config.key_engine)
    except EngineUnavailable as error:
        raise StartRefused(in_words(error)) from error
    if config.key_engine != Engine.OPENSSL:
        # Without the setting, nothing is logged.
        _log.info("key engine", engine=choice.engine.value, reason=choice.reason)
    pool = KeyPool(
        reserve,
        config.key_workers,
        config.max_waiting_for_keys,
        metrics or Metrics(__version__),
        engine=choice.engine,
    )
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


@contextlib.asynccontextmanager
async def keys_of_command(config: Config) -> AsyncIterator[KeyPool | InProcessKeys]:
    """Yield a source of key pairs for a command; it uses workers if the system can start them on demand."""
    if not hasattr(os, "fork"):
        yield InProcessKeys()
        return
    async with key_pool_of(config, reserve=0) as pool:
        yield pool


def registration_authority(
    registry: Registry,
    key_source: KeySource,
    events: EventSink | None = None,
    shards: Callable[[str], int] = lambda issuer_id: 1,
) -> RegistrationAuthority:
    """Return the authority that issues from this registry; raise StartRefused for settings that do not fit it.

    ``shards`` returns the number of revocation lists into which an issuer's new certificates are split.
    """
    try:
        known, shortens = registry.issuers, registry.config.at_issuer_end == "shorten"
        profile = registry.sources.profile_of(known.active.record)
        url = registry.config.public_url
        addresses = None if url is None else addresses_below(url, shards)
        issuers = Issuers(known.active.ca, known.retired, profile, claim_profile(), addresses, shortens=shortens)
        require_validity(issuers.active, registry.clock.now())
        secret = read_hook_secret(registry.config.hook_secret_file)
        signer = None if secret is None else QuestionSigner(secret, registry.clock)
        hooks = LoggedHooks(Hooks(hook_targets(registry.config.hooks, signer), registry.scope.account), _log)
        roles = read_role_policies(registry.config.roles, registry.config.data_dir)
    except (ProfileError, IssuerUnfit, HookTargetRefused) as error:
        raise StartRefused(in_words(error)) from error
    return RegistrationAuthority(
        store=registry.store,
        key_source=key_source,
        issuers=issuers,
        clock=registry.clock,
        require_right_clock=registry.clock.require_right,
        serial_numbers=serial_numbers,
        new_generation_id=random_id,
        new_registration_code=lambda: secrets.token_hex(REGISTRATION_CODE_OCTETS),
        events=events or LoggedEvents(),
        thing_type_deletable_after=timedelta(seconds=registry.config.thing_type_deletable_after),
        renewal_overlap=timedelta(days=registry.config.renewal_overlap_days),
        auto_register_any_usage=registry.config.auto_register_any_usage,
        sealer=registry.sealer,
        hooks=hooks,
        files=_files(registry.config),
        outbox=_outbox(registry),
        roles=roles,
    )


def _outbox(registry: Registry) -> EventOutbox:
    """Return the outbox of events for all nodes; on SQLite, one that keeps nothing."""
    if registry.config.database_url is None:
        return NoOutbox()
    return NodeOutbox(registry.clock, random_id)


def _files(config: Config) -> RegistrationFiles:
    if config.registration_dir is None:
        return NoBuckets()
    if not config.registration_dir.is_dir():
        raise StartRefused(f"registration_dir {config.registration_dir} is not a directory")
    buckets = Buckets(config.registration_dir)
    if misplaced := buckets.misplaced():
        _log.warning(
            "folders of registration_dir belong to no account: move each bucket into the folder of its account",
            folders=misplaced,
            example=f"{config.registration_dir / config.account / misplaced[0]}",
        )
    return buckets


@contextlib.asynccontextmanager
async def registry_beside_service(config: Config) -> AsyncIterator[Registry]:
    """Yield the registry for a short piece of work, whether or not a service is running on the directory.

    Creates nothing: if something is missing, because the directory was mistyped or a backup was incomplete, it raises
    StartRefused, which names the missing part.
    """
    _require_registry(config)
    async with open_registry(config, may_create=False) as registry:
        yield registry


@contextlib.asynccontextmanager
async def store_beside_service(config: Config) -> AsyncIterator[Store]:
    """Yield only the database, for work without keys; raise StartRefused as `registry_beside_service` does."""
    _require_registry(config)
    require_database(config)
    store = await _open_store(config, lambda kind, seconds: None)
    try:
        yield store
    finally:
        await store.close()


def _require_restored(config: Config) -> None:
    try:
        require_no_mark(config.data_dir)
    except RestoreUnfinished as error:
        raise StartRefused(in_words(error)) from error


def _require_registry(config: Config) -> None:
    _require_restored(config)
    if not certificate_path(config.data_dir, ROOT).exists():
        raise StartRefused(f"{config.data_dir} holds no registry yet: `thingmint serve` makes it")
    require_same_storage(config)
    database = config.data_dir / SQLITE_FILE_NAME
    if config.database_url is None and not database.exists():
        raise StartRefused(
            f"{database} is missing: restore it from a backup or, if the service runs on PostgreSQL, give "
            "--database-url"
        )


@contextlib.asynccontextmanager
async def offline_authority(config: Config, keys: KeySource) -> AsyncIterator[tuple[RegistrationAuthority, Caller]]:
    """Lock the data directory as a service does; yield its authority, and the operator as caller."""
    make_directory(config.data_dir)
    with held(config.data_dir, "thingmint issue --offline"):
        async with open_registry(config) as registry:
            await require_own_database(registry.store, registry.sealer, registry.issuer_ids, config.data_dir)
            remember_storage(config)
            yield registration_authority(registry, keys), operator(registry.scope)
