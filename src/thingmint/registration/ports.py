"""Owns what the registration authority needs from the outside: a store, keys, time, numbers and a listener."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol, TypeAlias, TypeVar

from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.keys import KeyPair
from thingmint.registration.audit import AuditEntry
from thingmint.registration.steps import Steps
from thingmint.registration.verbs.access_keys import AccessKeyVerbs
from thingmint.registration.verbs.attachments import AttachmentVerbs
from thingmint.registration.verbs.audit import AuditVerbs
from thingmint.registration.verbs.billing_groups import BillingGroupVerbs
from thingmint.registration.verbs.ca_certificates import CACertificateVerbs
from thingmint.registration.verbs.certificates import CertificateVerbs
from thingmint.registration.verbs.changes import ChangeVerbs
from thingmint.registration.verbs.policies import PolicyVerbs
from thingmint.registration.verbs.policy_attachments import PolicyAttachmentVerbs
from thingmint.registration.verbs.thing_groups import ThingGroupVerbs
from thingmint.registration.verbs.thing_principals import ThingPrincipalVerbs
from thingmint.registration.verbs.thing_types import ThingTypeVerbs
from thingmint.registration.verbs.things import ThingVerbs
from thingmint.registration.verbs.transfers import TransferVerbs

T = TypeVar("T")


class Transaction(
    AccessKeyVerbs,
    AttachmentVerbs,
    AuditVerbs,
    BillingGroupVerbs,
    CACertificateVerbs,
    CertificateVerbs,
    ChangeVerbs,
    PolicyAttachmentVerbs,
    PolicyVerbs,
    ThingGroupVerbs,
    ThingPrincipalVerbs,
    ThingTypeVerbs,
    ThingVerbs,
    TransferVerbs,
    Protocol,
):
    """The verbs of one transaction. Reads see the transaction's own writes."""


class Store(Protocol):
    """Runs programs against the database; raises ServiceUnavailable where it cannot."""

    async def read(self, program: Callable[[Transaction], Steps[T]]) -> T:
        """Run a program that changes nothing."""
        ...

    async def write(self, program: Callable[[Transaction], Steps[T]]) -> T:
        """Run a program in one transaction and return when its result is durable."""
        ...

    async def check(self) -> None:
        """Return if the database answers and can be written to; raise ServiceUnavailable otherwise."""
        ...

    async def close(self) -> None:
        """Finish what is queued, then let go of the database."""
        ...


class KeySource(Protocol):
    """Hands out key pairs, each of them once."""

    async def take(self) -> KeyPair:
        """Return a key pair nobody else has; raise Throttled if too many wait, ServiceUnavailable if there is none."""
        ...


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the present, aware, UTC."""
        ...


class EventSink(Protocol):
    """Hears of what was recorded, after the commit; must neither fail nor wait."""

    def recorded(self, entry: AuditEntry) -> None:
        """Take note of a committed mutation."""
        ...


class SecretSealer(Protocol):
    """Seals secrets that must be stored in a form that can be read again."""

    def seal(self, secret: bytes, bound_to: str) -> bytes:
        """Return the secret encrypted and bound to a name."""
        ...

    def unseal(self, sealed: bytes, bound_to: str) -> bytes:
        """Return the secret; raise ServiceUnavailable if it was sealed by another key or for another name."""
        ...


SerialNumbers: TypeAlias = Callable[[], SerialNumber]
