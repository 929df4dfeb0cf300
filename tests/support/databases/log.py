"""Owns a log for tests: one on any store, entries in it, changes behind its back, and what a verification says."""

import os
from collections.abc import Sequence
from functools import partial

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace
from tests.support.databases.stores import SCOPE, sample_audit_entry
from tests.support.registration.authority import caller_with, new_authority

from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.transparency.leaf import leaf_of, salt_of
from thingmint.core.transparency.merkle import leaf_hash, root_of
from thingmint.data_directory.sealing import Sealer
from thingmint.issuance.keys.log_signature import is_signed
from thingmint.issuance.profiles.serial_number import random_serial_number
from thingmint.records.audit import append_audit
from thingmint.records.log.entries import entries_between
from thingmint.records.log.state import LogState, log_state
from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps
from thingmint.registration.certificates.issuing import issue
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.ports import Store
from thingmint.registration.log.identity import LogIdentity, open_log
from thingmint.registration.log.sequencing import sequence_all
from thingmint.registration.log.verification import verify
from thingmint.registration.log.verified import Evidence, Verified
from thingmint.signers.log_key import LogKeySigner

ORIGIN = "log.example/one"
CALLER: Caller = caller_with(account=SCOPE.account, region=SCOPE.region)


def sealer_of(material: bytes = bytes(32)) -> Sealer:
    """Return what seals the log's secrets."""
    return Sealer(material, os.urandom)


async def log_on(store: Store, origin: str = ORIGIN) -> LogIdentity:
    """Return the store's log, which is begun if there is none."""
    return await open_log(store, sealer_of(), LogKeySigner, origin, os.urandom)


def authority_on(store: Store) -> RegistrationAuthority:
    """Return an authority on the store."""
    return replace(new_authority(), store=store, serial_numbers=lambda: random_serial_number(os.urandom))


async def append(store: Store, numbers: range) -> None:
    """Write sample entries, all of them in one transaction."""

    def program() -> Steps[None]:
        for number in numbers:
            yield from append_audit(sample_audit_entry(number, thing="Größe"))

    await store.write(program)


async def issued(store: Store, count: int, status: CertificateStatus = CertificateStatus.ACTIVE) -> list[Certificate]:
    """Issue certificates as the service does."""
    authority, key = authority_on(store), ec.generate_private_key(ec.SECP256R1()).public_key()
    action = "CreateCertificateFromCsr"
    return [await issue(authority, CALLER, action, key, None, status) for _ in range(count)]


async def state_of(store: Store) -> LogState:
    """Return the state of the log, which there is."""
    state = await store.read(log_state)
    assert state is not None
    return state


async def verified(store: Store, log: LogIdentity, *, earlier: Sequence[str] = ()) -> Verified:
    """Verify the store."""
    evidence = Evidence(log.salt_secret, is_signed, earlier=earlier)
    return await store.read(lambda: verify(evidence))


async def sequenced(store: Store, log: LogIdentity) -> LogState:
    """Give every entry its place, and return the state after that."""
    await sequence_all(store, log)
    return await state_of(store)


async def root_in_order(store: Store, log: LogIdentity, count: int) -> bytes:
    """Return the root of the tree whose leaves are those of the oldest entries, in the order of their positions."""
    entries = await store.read(lambda: entries_between(1, 2**62, count))
    return root_of([leaf_hash(leaf_of(each, salt_of(log.salt_secret, each.position))) for each in entries])


async def execute(store: Store, sql: str, *parameters: object) -> None:
    """Change the database behind the service's back."""
    await store.write(partial(rows_of, sql, *parameters))
