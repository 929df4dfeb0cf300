"""Owns the record of ports that every registration function gets. Has no logic."""

from collections.abc import Callable
from datetime import timedelta

from msgspec import Struct, field

from thingmint.core.certificates.renewal import DEFAULT_OVERLAP
from thingmint.core.clock import Clock
from thingmint.core.identifiers import Scope
from thingmint.core.policies.role_policies import RolePolicies
from thingmint.core.registry.thing_type import DELETABLE_AFTER
from thingmint.issuance.issuers import Issuers
from thingmint.registration.kernel.compiled_policies import CompiledPolicies
from thingmint.registration.kernel.ports import (
    EventOutbox,
    EventSink,
    HookClient,
    KeySource,
    NoOutbox,
    RegistrationFiles,
    SecretSealer,
    SerialNumbers,
    Store,
)
from thingmint.registration.kernel.turns import Computations
from thingmint.registration.kernel.wanted_events import WantedEvents


def always_right() -> None:
    """Return always, for nodes that do not check their clock."""


class RegistrationAuthority(Struct, frozen=True):
    """The ports of the registration functions (store, key source, clock, events and others), and their settings."""

    store: Store
    key_source: KeySource
    issuers: Issuers
    clock: Clock
    serial_numbers: SerialNumbers
    new_generation_id: Callable[[], str]
    new_registration_code: Callable[[], str]
    events: EventSink
    sealer: SecretSealer
    hooks: HookClient
    files: RegistrationFiles
    require_right_clock: Callable[[], None] = always_right
    """Raises ServiceUnavailable if this node's clock cannot be trusted, so that it must not issue or sweep."""
    roles: RolePolicies = field(default_factory=RolePolicies)
    thing_type_deletable_after: timedelta = DELETABLE_AFTER
    renewal_overlap: timedelta = DEFAULT_OVERLAP
    """How long a renewed certificate stays ACTIVE beside the new one."""
    compiled_policies: CompiledPolicies = field(default_factory=CompiledPolicies)
    computations: Computations = field(default_factory=Computations)
    auto_register_any_usage: bool = False
    wanted_events: WantedEvents = field(default_factory=WantedEvents)
    outbox: EventOutbox = field(default_factory=NoOutbox)
    administrator: Scope | None = None
    """The service's own account, which creates and deletes others; None if accounts need no creation."""
