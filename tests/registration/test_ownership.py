"""A database belongs to the keys that sealed and issued what is in it, and to no others."""

import os
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.authority import ACCOUNT, REGION, caller_with, new_authority
from tests.support.memory_store import MemoryStore
from tests.support.policies import document, statement
from tests.support.stores import sample_certificate

from thingmint.core.identifiers import AccountId, Scope
from thingmint.registration.access_keys import AccessKeyRequest, create_access_key
from thingmint.registration.ownership import ForeignDatabase, require_own_database
from thingmint.sealing import Sealer

SCOPE = Scope(ACCOUNT, REGION)
OURS, THEIRS = Sealer(bytes(32), os.urandom), Sealer(bytes([1]) * 32, os.urandom)
ISSUER_ID = sample_certificate(1).issuer_id


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def add_access_key(store: MemoryStore, sealer: Sealer, account: AccountId = ACCOUNT) -> str:
    request = AccessKeyRequest("line-7", document(statement(Action="iot:*")), timedelta(hours=1))
    clock = new_authority().clock
    created = await create_access_key(store, sealer, clock, os.urandom, caller_with(account=account), request)
    return created.access_key.access_key_id


async def add_certificate(store: MemoryStore, number: int, issuer_id: str) -> str:
    certificate = replace(sample_certificate(number, scope=SCOPE), issuer_id=issuer_id)
    await store.write(lambda transaction: transaction.insert_certificate(certificate))
    return certificate.certificate_id


async def test_empty_database_belongs_to_whoever_comes_first(store: MemoryStore) -> None:
    await require_own_database(store, OURS, SCOPE, ISSUER_ID)


async def test_own_database_is_recognised(store: MemoryStore) -> None:
    await add_access_key(store, OURS)
    await add_access_key(store, OURS, AccountId("210987654321"))
    await add_certificate(store, 1, ISSUER_ID)
    await require_own_database(store, OURS, SCOPE, ISSUER_ID)


async def test_secret_that_another_key_has_sealed_shows_a_foreign_database(store: MemoryStore) -> None:
    await add_access_key(store, OURS)
    # Of another account: whoever calls names the key, so its secret must be readable, too.
    foreign = await add_access_key(store, THEIRS, AccountId("210987654321"))
    with pytest.raises(ForeignDatabase, match=f"the secret of access key {foreign} in it was sealed with another key"):
        await require_own_database(store, OURS, SCOPE, ISSUER_ID)


async def test_certificate_of_another_authority_shows_a_foreign_database(store: MemoryStore) -> None:
    await add_certificate(store, 1, ISSUER_ID)
    foreign = await add_certificate(store, 2, "cd" * 32)
    with pytest.raises(ForeignDatabase, match=f"certificate {foreign} in it was issued by another authority"):
        await require_own_database(store, OURS, SCOPE, ISSUER_ID)


async def test_other_accounts_may_have_an_authority_of_their_own(store: MemoryStore) -> None:
    await add_certificate(store, 1, "cd" * 32)
    await require_own_database(store, OURS, Scope(AccountId("210987654321"), REGION), ISSUER_ID)
