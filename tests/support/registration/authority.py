"""Owns a registration authority for tests: the real issuer and rules, a store in memory, a clock that stands still."""

import functools
import itertools
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace
from tests.support.certificates.profiles import default_profile
from tests.support.databases.memory_store import MemoryStore

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.caller import Caller, Principal
from thingmint.core.hooks import Question
from thingmint.core.identifiers import AccountId, Region, SerialNumber
from thingmint.core.policies.language import Policy, parse_policy
from thingmint.core.provisioning.stored_template import PreProvisioningHook
from thingmint.core.registry.registry_event import RegistryEvent
from thingmint.data_directory.buckets import NoBuckets
from thingmint.data_directory.sealing import Sealer
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.issuance.authorities.trust_anchor import CertificateAuthority, create_issuing_ca, create_root_ca
from thingmint.issuance.issuers import Issuers
from thingmint.issuance.keys.key_pairs import KeyPair, generate_key_pair
from thingmint.issuance.profiles.profile import claim_profile
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.signers.file_key import FileKeySigner

NOW = datetime(2018, 10, 31, 21, 52, 31, 983123, tzinfo=UTC)
ACCOUNT = AccountId("123456789012")
REGION = Region("eu-west-1")
EVERYTHING = parse_policy('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}')


class StandingClock:
    """A `ports.Clock` that stands still."""

    def now(self) -> datetime:
        """Return the same time always."""
        return NOW


class OneKey:
    """A `ports.KeySource` that breaks its promise of fresh keys, because they take long to make."""

    async def take(self) -> KeyPair:
        """Return the session's key pair."""
        return shared_key_pair()


@dataclass
class Listener:
    """A `ports.EventSink` that remembers."""

    entries: list[AuditEntry] = field(default_factory=list)
    events: list[RegistryEvent] = field(default_factory=list)
    touches: int = 0

    def recorded(self, entry: AuditEntry) -> None:
        """Remember the entry."""
        self.entries.append(entry)

    def happened(self, event: RegistryEvent) -> None:
        """Remember the event."""
        self.events.append(event)

    def touched(self) -> None:
        """Count the change."""
        self.touches += 1


@dataclass
class Hook:
    """A `ports.HookClient` that says what it was told to say, or fails, and remembers what it was asked."""

    answer: object = field(default_factory=lambda: {"allowProvisioning": True})
    asked: list[Question] = field(default_factory=list)

    async def ask(self, hook: PreProvisioningHook, question: Question) -> object:
        """Remember the question and answer it."""
        del hook
        self.asked.append(question)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@functools.cache
def shared_key_pair() -> KeyPair:
    """Return the one RSA key pair of a test session."""
    return generate_key_pair()


def new_issuing_ca() -> IssuingCA:
    """Return an issuing CA below a root of its own, with its key in this process."""
    root_key, issuing_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = CertificateAuthority(create_root_ca(root_key, SerialNumber(1 << 100), NOW), root_key)
    certificate = create_issuing_ca(root, issuing_key.public_key(), SerialNumber(1 << 101), NOW)
    return IssuingCA(certificate, FileKeySigner(issuing_key))


def issuers_of(active: IssuingCA, *retired: IssuingCA) -> Issuers:
    """Return a set of issuers with the usual profiles."""
    return Issuers(active, retired, default_profile(), claim_profile())


@functools.cache
def shared_issuers() -> Issuers:
    """Return the issuers of a test session, none of which is retired."""
    return issuers_of(new_issuing_ca())


def new_authority(store: MemoryStore | None = None) -> RegistrationAuthority:
    """Return an authority with an empty registry, or with this one."""
    serial_numbers, codes = itertools.count(1 << 102), itertools.count(1 << 200)
    return RegistrationAuthority(
        store=store or MemoryStore(),
        key_source=OneKey(),
        issuers=shared_issuers(),
        clock=StandingClock(),
        serial_numbers=lambda: SerialNumber(next(serial_numbers)),
        new_generation_id=lambda: "5d6c2a0c-6f7d-4a8e-9c1b-0e2f3a4b5c6d",
        new_registration_code=lambda: f"{next(codes):064x}",
        events=Listener(),
        sealer=Sealer(bytes(32), os.urandom),
        hooks=Hook(),
        files=NoBuckets(),
    )


def with_own_ids(authority: RegistrationAuthority) -> RegistrationAuthority:
    """Return the authority with identities that differ, as they do in a service; others are easier to compare."""
    numbers = itertools.count(1)
    return replace(authority, new_generation_id=lambda: f"generation-{next(numbers)}")


def caller_with(*policies: Policy, account: AccountId = ACCOUNT, region: Region = REGION) -> Caller:
    """Return a caller whom these policies bind."""
    principal = Principal(f"arn:aws:iam::{account}:user/operator", policies)
    return Caller(account, region, principal, "8c2ab6d1-0000-4000-8000-000000000000", "192.0.2.1")
