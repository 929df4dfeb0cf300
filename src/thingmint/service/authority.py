"""Owns the making of the registration authority from an open data directory and the settings."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

from thingmint.core.caller import Caller
from thingmint.core.error_text import in_words
from thingmint.data_directory.buckets import Buckets, NoBuckets
from thingmint.data_directory.files import held, make_directory
from thingmint.hooks import Hooks, HookTargetRefused, LoggedHooks, QuestionSigner, hook_targets
from thingmint.host.random_ids import random_id
from thingmint.host.service_log import service_log
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit
from thingmint.issuance.issuers import Issuers
from thingmint.issuance.profiles.profile import ProfileError, claim_profile
from thingmint.public.addresses import addresses_below
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.ports import EventOutbox, EventSink, KeySource, NoOutbox, RegistrationFiles
from thingmint.service.issuers.issuer_fit import require_validity
from thingmint.service.logged_events import LoggedEvents
from thingmint.service.nodes.event_outbox import NodeOutbox
from thingmint.service.opening import Registry, open_registry, serial_numbers
from thingmint.service.start.first_credentials import operator, read_hook_secret, require_own_database
from thingmint.service.start.role_settings import read_role_policies
from thingmint.service.start.storage_choice import remember_storage
from thingmint.settings.config import Config, StartRefused

REGISTRATION_CODE_OCTETS = 32


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
        hooks = LoggedHooks(Hooks(hook_targets(registry.config.hooks, signer), registry.scope.account), service_log)
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
        # In the test mode, each number is an account, without being created and also after its deletion.
        administrator=None if registry.config.test_mode else registry.scope,
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
        service_log.warning(
            "folders of registration_dir belong to no account: move each bucket into the folder of its account",
            folders=misplaced,
            example=f"{config.registration_dir / config.account / misplaced[0]}",
        )
    return buckets


@contextlib.asynccontextmanager
async def offline_authority(config: Config, keys: KeySource) -> AsyncIterator[tuple[RegistrationAuthority, Caller]]:
    """Lock the data directory as a service does; yield its authority, and the operator as caller."""
    make_directory(config.data_dir)
    with held(config.data_dir, "thingmint issue --offline"):
        async with open_registry(config) as registry:
            await require_own_database(registry.store, registry.sealer, registry.issuer_ids, config.data_dir)
            remember_storage(config)
            yield registration_authority(registry, keys), operator(registry.scope)
