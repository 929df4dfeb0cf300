"""A caller that sends its access key with its secret is who the key speaks for, as long as the store has it."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.policies import document, statement

from thingmint.core.access_key import AccessKeyOrigin
from thingmint.core.caller import Caller, Principal
from thingmint.core.errors import CredentialsExpired, CredentialsUnknown
from thingmint.core.identifiers import AccountId, Region
from thingmint.data_directory.sealing import Sealer
from thingmint.records.access import access_keys as access_key_table
from thingmint.registration.access.access_keys import AccessKeyRequest, create_access_key, new_access_key
from thingmint.registration.access.presented_secrets import PresentedSecret, SecretAuthenticator

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ACCOUNT, REGION = AccountId("000000000000"), Region("us-east-1")
OPERATOR = Caller(ACCOUNT, REGION, Principal("arn:aws:iam::000000000000:root", ()), "request-1", "local")
SEALER = Sealer(bytes(32), os.urandom)
POLICY = document(statement(Action="iot:Create*"))


async def test_a_key_counts_with_its_own_secret_alone() -> None:
    store, clock = MemoryStore(), SettableClock(NOW)
    authenticator = SecretAuthenticator(store, SEALER, clock, REGION)
    made = await create_access_key(store, SEALER, clock, os.urandom, OPERATOR, AccessKeyRequest("line-7", POLICY))
    access_key_id = made.access_key.access_key_id

    caller = await authenticator.authenticate(PresentedSecret(access_key_id, made.secret), "request-2", "192.0.2.7")

    assert (caller.account, caller.principal.arn) == (ACCOUNT, "arn:aws:iam::000000000000:user/line-7")
    assert (caller.request_id, caller.source_address) == ("request-2", "192.0.2.7")
    for wrong in (
        PresentedSecret(access_key_id, made.secret + "x"),
        PresentedSecret(access_key_id, ""),
        PresentedSecret("AKIANOBODY", made.secret),
        PresentedSecret("\0", made.secret),
    ):
        assert made.secret not in repr(wrong)
        with pytest.raises(CredentialsUnknown, match="The access key or its secret is wrong"):
            await authenticator.authenticate(wrong, "request-2", "192.0.2.7")


async def test_temporary_credentials_are_refused_and_so_is_a_key_that_has_ended() -> None:
    store, clock = MemoryStore(), SettableClock(NOW)
    authenticator = SecretAuthenticator(store, SEALER, clock, REGION)
    request = AccessKeyRequest("line-7", POLICY, timedelta(hours=1))
    made = await create_access_key(store, SEALER, clock, os.urandom, OPERATOR, request)
    temporary = PresentedSecret(made.access_key.access_key_id, made.secret)
    with pytest.raises(CredentialsUnknown):
        await authenticator.authenticate(temporary, "request-2", "192.0.2.7")

    plain = new_access_key(
        SEALER, NOW, os.urandom, ACCOUNT, AccessKeyRequest("line-8", POLICY), AccessKeyOrigin.OPERATOR
    )
    ended = type(plain.access_key)(
        **{name: getattr(plain.access_key, name) for name in plain.access_key.__slots__} | {"expires_at": NOW}
    )
    await store.write(lambda: access_key_table.insert_access_key(ended))
    with pytest.raises(CredentialsExpired):
        await authenticator.authenticate(PresentedSecret(ended.access_key_id, plain.secret), "request-2", "192.0.2.7")
