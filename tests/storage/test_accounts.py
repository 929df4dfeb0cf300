"""Accounts on each engine: every statement of a deletion runs, and accounts are listed by the indexes."""

import os
from datetime import UTC, datetime

import pytest
from tests.support.clients.signing import SettableClock
from tests.support.databases.stores import sample_certificate

from thingmint.core.caller import Caller, Principal
from thingmint.core.errors import ResourceExists, ResourceNotFound
from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.data_directory.sealing import Sealer
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.steps import Steps
from thingmint.registration.access.accounts import Account, create_account, delete_account, list_accounts
from thingmint.registration.kernel.ports import Store

OWN, FIRST, SECOND = AccountId("555555555555"), AccountId("111111111111"), AccountId("999999999999")
REGION = Region("us-east-1")
CALLER = Caller(OWN, REGION, Principal(f"arn:aws:iam::{OWN}:root", ()), "request-1", "local")
CLOCK = SettableClock(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
SEALER = Sealer(bytes(32), os.urandom)


async def test_an_account_is_made_listed_and_deleted(store: Store) -> None:
    for account in (FIRST, SECOND):
        await create_account(store, SEALER, CLOCK, os.urandom, CALLER, account)
    with pytest.raises(ResourceExists):
        await create_account(store, SEALER, CLOCK, os.urandom, CALLER, SECOND)
    certificates = [sample_certificate(number, scope=Scope(SECOND, REGION)) for number in range(3)]

    def insert() -> Steps[None]:
        for certificate in certificates:
            yield from certificate_table.insert_certificate(certificate)

    await store.write(insert)
    listed = await list_accounts(store, CALLER.scope, None, 10)
    assert listed.accounts == (Account(FIRST, 1), Account(SECOND, 1))

    assert await delete_account(store, CLOCK, CALLER, SECOND) == 4
    assert (await list_accounts(store, CALLER.scope, None, 10)).accounts == (Account(FIRST, 1),)
    with pytest.raises(ResourceNotFound):
        await delete_account(store, CLOCK, CALLER, SECOND)
