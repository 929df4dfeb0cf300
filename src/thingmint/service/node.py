"""Owns the opening of a node: its registry, its source of keys, its authority and its identity as a server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog
from cryptography.hazmat.primitives.asymmetric import rsa

from thingmint import __version__
from thingmint.host.telemetry import Metrics
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.log.identity import LogIdentity
from thingmint.service.addresses import is_unnamed
from thingmint.service.first_credentials import ensure_credentials, require_own_database
from thingmint.service.issuer_watch import IssuerWatch
from thingmint.service.logged_events import LoggedEvents
from thingmint.service.opening import Registry, key_pool_of, open_registry, registration_authority, serial_numbers
from thingmint.service.readiness import ClockWatch
from thingmint.service.server_identity import ServerIdentities, ServerIdentity, new_rsa_key
from thingmint.service.storage_choice import remember_storage
from thingmint.service.transparency import open_log_of
from thingmint.settings.config import Config

_log = structlog.get_logger("thingmint")


@dataclass(frozen=True, slots=True)
class OpenNode:
    """What a node has before it listens. ``identity`` is the first one; later ones come from ``identities``."""

    registry: Registry
    authority: RegistrationAuthority
    events: LoggedEvents
    identities: ServerIdentities
    identity: ServerIdentity
    clock: ClockWatch
    issuer_watch: IssuerWatch
    metrics: Metrics
    log: LogIdentity

    def check(self) -> None:
        """Return if certificates can be issued now; raise ServiceUnavailable otherwise."""
        self.clock.check()
        self.issuer_watch.check()

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self.registry.config

    def show_expiries(self, identity: ServerIdentity) -> None:
        """Show in the metrics when the authorities and this identity of the server end."""
        authorities = self.registry.authorities
        shown = {
            "root": authorities.root,
            "issuing": self.authority.issuers.active.ca.certificate,
            "service": authorities.service.certificate,
            "server": identity.certificate,
        }
        if authorities.rsa_service is not None:
            shown["rsa-service"] = authorities.rsa_service.certificate
        for name, certificate in shown.items():
            self.metrics.certificate_expiry(name, certificate.not_valid_after_utc)


@contextlib.asynccontextmanager
async def open_node(config: Config) -> AsyncIterator[OpenNode]:
    """Yield a node whose registry is open and whose workers for keys run, and close both afterwards.

    The caller holds the data directory. Raises StartRefused, ServiceUnavailable or OSError if the node cannot start.
    """
    metrics = Metrics(__version__)
    async with (
        _rsa_key_made_meanwhile() as rsa_key,
        open_registry(config, metrics) as registry,
        key_pool_of(config, reserve=config.key_reserve, metrics=metrics) as keys,
    ):
        await require_own_database(registry.store, registry.sealer, registry.issuer_ids, config.data_dir)
        remember_storage(config)
        await ensure_credentials(
            registry.store, registry.sealer, registry.issuer_ids, registry.clock, registry.scope, config
        )
        events = LoggedEvents()
        authority = registration_authority(registry, keys, events)
        identities = ServerIdentities(
            registry.authorities,
            config.server_names,
            serial_numbers,
            registry.clock.seen_by_clients,
            config.data_dir,
        )
        identity = identities.create(await rsa_key)
        if config.test_mode:
            _log.warning("the service is in test mode: anybody on this machine can be any account, and set its clock")
        if is_unnamed(config):
            _log.warning(
                "clients on other machines cannot verify this one: give its name or address with --server-name"
            )
        clock = ClockWatch(registry.clock.now, lambda: authority.issuers.active.ca, _log, registry.clock.require_right)
        log = await open_log_of(registry)
        issuer_watch = IssuerWatch(registry, authority, metrics, _log)
        await issuer_watch.turn()
        node = OpenNode(registry, authority, events, identities, identity, clock, issuer_watch, metrics, log)
        node.show_expiries(identity)
        yield node


@contextlib.asynccontextmanager
async def _rsa_key_made_meanwhile() -> AsyncIterator[asyncio.Task[rsa.RSAPrivateKey]]:
    """Yield a task that makes the server's RSA key while the rest of the service starts."""
    task = asyncio.create_task(new_rsa_key())
    try:
        yield task
    finally:
        task.cancel()
