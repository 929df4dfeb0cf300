"""Owns the record of collaborators that every registration function is given; does nothing by itself."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from thingmint.core.certificates.renewal import DEFAULT_OVERLAP
from thingmint.core.policies.role_policies import RolePolicies
from thingmint.core.registry.thing_type import DELETABLE_AFTER
from thingmint.issuance.issuers import Issuers
from thingmint.registration.kernel.compiled_policies import CompiledPolicies
from thingmint.registration.kernel.ports import (
    Clock,
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
    """Return: nothing is known against the clock."""


@dataclass(frozen=True, slots=True)
class RegistrationAuthority:
    """Who stores, makes keys, signs, listens, seals and is asked; what time it is, and where numbers come from."""

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
    """Returns if this node may issue and sweep; raises ServiceUnavailable if its clock cannot be trusted."""
    roles: RolePolicies = field(default_factory=RolePolicies)
    thing_type_deletable_after: timedelta = DELETABLE_AFTER
    renewal_overlap: timedelta = DEFAULT_OVERLAP
    """How long a certificate stays ACTIVE beside the one that its device has renewed it with."""
    compiled_policies: CompiledPolicies = field(default_factory=CompiledPolicies)
    computations: Computations = field(default_factory=Computations)
    auto_register_any_usage: bool = False
    wanted_events: WantedEvents = field(default_factory=WantedEvents)
    outbox: EventOutbox = field(default_factory=NoOutbox)
