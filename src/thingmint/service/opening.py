"""Owns an open data directory: its keys, its issuers and its store, for services and commands.

The random source is here. Independent of HTTP, MQTT and callers.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from msgspec import Struct

from thingmint.core.error_text import in_words
from thingmint.core.identifiers import AccountId, Region, Scope, SerialNumber
from thingmint.data_directory.authorities import ROOT, Authorities, AuthorityFiles
from thingmint.data_directory.certificate_files import AuthorityUnusable, certificate_path
from thingmint.data_directory.files import make_directory
from thingmint.data_directory.sealing import Sealer
from thingmint.data_directory.unfinished_restore import RestoreUnfinished, require_no_mark
from thingmint.host.telemetry import Metrics
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit
from thingmint.issuance.authorities.trust_anchor import CertificateAuthority
from thingmint.issuance.profiles.serial_number import random_serial_number
from thingmint.public.addresses import root_addresses_below
from thingmint.records.clock import postgresql_time
from thingmint.registration.kernel.ports import Store
from thingmint.service.clocks import DatabaseClock, MovableClock, ServiceClock, SystemClock
from thingmint.service.issuers.adoption import records_in_force
from thingmint.service.issuers.known_issuers import IssuerSources, KnownIssuers, follow_on_disk, records_of_files
from thingmint.service.issuers.tokens import Tokens
from thingmint.service.start.first_credentials import (
    operator,
    require_database,
)
from thingmint.service.start.joining import join, share
from thingmint.service.start.passphrases import read_passphrase
from thingmint.service.start.storage_choice import (
    database_options,
    require_named_storage,
    require_same_storage,
)
from thingmint.settings.config import Config, StartRefused
from thingmint.storage import SQLITE_FILE_NAME, DatabaseOptions, InvalidDatabaseURL, open_store


def serial_numbers() -> SerialNumber:
    """Return a new serial number from the system's random source."""
    return random_serial_number(os.urandom)


class Registry(Struct, frozen=True):
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
    store = await _open_store(config, observe, may_migrate=may_create)
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
            scope=scope_of(config),
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


def scope_of(config: Config) -> Scope:
    """Return the account and region that the service speaks for."""
    return Scope(AccountId(config.account), Region(config.region))


@contextlib.asynccontextmanager
async def store_of_heartbeats(config: Config) -> AsyncIterator[Store | None]:
    """Yield a store with one connection to PostgreSQL, which a node's requests do not use; None on SQLite."""
    if config.database_url is None:
        yield None
        return
    options = replace(database_options(config), max_connections=1)
    store = await _open_store(config, lambda kind, seconds: None, may_migrate=False, options=options)
    try:
        yield store
    finally:
        await store.close()


async def _open_store(
    config: Config,
    observe: Callable[[str, float], None],
    *,
    may_migrate: bool,
    options: DatabaseOptions | None = None,
) -> Store:
    options = options or database_options(config)
    try:
        return await open_store(
            config.database_url, config.data_dir, observe=observe, options=options, may_migrate=may_migrate
        )
    except InvalidDatabaseURL as error:
        raise StartRefused(in_words(error)) from error


async def _issuers(
    config: Config, store: Store, sources: IssuerSources, clock: ServiceClock, *, may_write: bool
) -> KnownIssuers:
    at = clock.now()
    in_files = records_of_files(sources.authorities, at)
    caller = operator(scope_of(config))
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
    store = await _open_store(config, lambda kind, seconds: None, may_migrate=False)
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
