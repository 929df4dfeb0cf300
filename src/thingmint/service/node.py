"""Owns the opening of a node: its registry, its source of keys, its authority and its server certificate."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec import Struct

from thingmint import __version__
from thingmint.host.service_log import service_log
from thingmint.host.telemetry import Metrics
from thingmint.public.metrics import RevocationMetrics
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.log.identity import LogIdentity
from thingmint.registration.revocation.published import PublishedLists
from thingmint.service.addresses import is_unnamed
from thingmint.service.authority import registration_authority
from thingmint.service.issuer_watch import IssuerWatch
from thingmint.service.key_source import key_pool_of
from thingmint.service.logged_events import LoggedEvents
from thingmint.service.opening import Registry, open_registry, serial_numbers
from thingmint.service.public.publication import Publication, publication_of
from thingmint.service.public.transparency import open_log_of
from thingmint.service.readiness import ClockWatch
from thingmint.service.server_identity import ServerIdentities, ServerIdentity, new_rsa_key
from thingmint.service.start.first_credentials import ensure_credentials, require_own_database
from thingmint.service.start.storage_choice import remember_storage
from thingmint.service.workers import Worker
from thingmint.settings.config import Config


class OpenNode(Struct, frozen=True):
    """The parts of a node that does not listen yet. ``identity`` is the first one; ``identities`` makes later ones."""

    registry: Registry
    authority: RegistrationAuthority
    events: LoggedEvents
    identities: ServerIdentities
    identity: ServerIdentity
    clock: ClockWatch
    issuer_watch: IssuerWatch
    metrics: Metrics
    publication: Publication
    log: LogIdentity
    worker: Worker | None = None
    """Identifies this process among several on one data directory; None if it is the only one."""

    def check(self) -> None:
        """Return if certificates can be issued now; raise ServiceUnavailable otherwise."""
        self.clock.check()
        self.issuer_watch.check()

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self.registry.config

    def render_metrics(self) -> bytes:
        """Return the metrics of this node, and of the other workers of its data directory."""
        own = self.metrics.render()
        return own if self.worker is None else self.worker.with_others(own)

    def show_expiries(self, identity: ServerIdentity) -> None:
        """Set the metrics of when the authorities and this server certificate expire."""
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
async def open_node(config: Config, worker: Worker | None = None) -> AsyncIterator[OpenNode]:
    """Yield a node with an open registry and running key workers, and close both afterwards.

    The caller holds the lock of the data directory; for one of several workers, it has called `prepare` before. Raises
    StartRefused, ServiceUnavailable or OSError if the node cannot start.
    """
    metrics = Metrics(__version__)
    async with (
        _rsa_key_made_meanwhile() as rsa_key,
        open_registry(config, metrics, may_create=worker is None) as registry,
        key_pool_of(config, reserve=config.key_reserve, metrics=metrics) as keys,
    ):
        if worker is None:
            await _prepare(registry)
        events = LoggedEvents()
        revocation_metrics = RevocationMetrics(metrics.registry)
        lists = PublishedLists(revocation_metrics.list_given_out)
        authority = registration_authority(registry, keys, events, lists.shards)
        identities = ServerIdentities(
            registry.authorities,
            config.server_names,
            serial_numbers,
            registry.clock.seen_by_clients,
            config.data_dir,
        )
        identity = identities.create(await rsa_key)
        if config.test_mode:
            service_log.warning(
                "the service is in test mode: anybody on this machine can be any account, and set its clock"
            )
        if is_unnamed(config):
            service_log.warning(
                "clients on other machines cannot verify this one: give its name or address with --server-name"
            )
        clock = ClockWatch(
            registry.clock.now, lambda: authority.issuers.active.ca, service_log, registry.clock.require_right
        )
        publication = publication_of(registry, authority, lists, revocation_metrics)
        log = await open_log_of(registry)
        issuer_watch = IssuerWatch(registry, authority, metrics, service_log)
        await issuer_watch.turn()
        node = OpenNode(
            registry, authority, events, identities, identity, clock, issuer_watch, metrics, publication, log, worker
        )
        node.show_expiries(identity)
        yield node


async def prepare(config: Config) -> None:
    """Create what a data directory and its database lack, before several workers serve it.

    The caller holds the lock of the data directory. Raises StartRefused, ServiceUnavailable or OSError if the workers
    cannot start.
    """
    async with open_registry(config) as registry:
        await _prepare(registry)


async def _prepare(registry: Registry) -> None:
    config = registry.config
    await require_own_database(registry.store, registry.sealer, registry.issuer_ids, config.data_dir)
    remember_storage(config)
    await ensure_credentials(
        registry.store, registry.sealer, registry.issuer_ids, registry.clock, registry.scope, config
    )


@contextlib.asynccontextmanager
async def _rsa_key_made_meanwhile() -> AsyncIterator[asyncio.Task[rsa.RSAPrivateKey]]:
    """Yield a task that makes the server's RSA key while the rest of the service starts."""
    task = asyncio.create_task(new_rsa_key())
    try:
        yield task
    finally:
        task.cancel()
