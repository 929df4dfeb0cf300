"""Sessions of the console: what begins one, how long it lasts, what ends it."""

import os
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from tests.support.clients.signing import REGION, SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import Listener
from tests.support.registration.policies import document, statement

from thingmint.core.caller import Caller, Principal
from thingmint.core.console_session import ABSOLUTE, IDLE
from thingmint.core.errors import AuthenticationFailure
from thingmint.core.identifiers import AccountId, Region
from thingmint.data_directory.sealing import Sealer
from thingmint.records.access import access_keys as access_key_table
from thingmint.records.access import console_sessions as session_table
from thingmint.registration.access.access_keys import (
    AccessKeyRequest,
    NewAccessKey,
    create_access_key,
    delete_access_key,
)
from thingmint.registration.access.console_sessions import (
    MOST_SESSIONS_OF_A_KEY,
    ConsoleSessions,
    SignedIn,
    SignIn,
)
from thingmint.registration.access.principals import Principals

OPERATOR = Caller(
    AccountId("000000000000"), Region(REGION), Principal("arn:aws:iam::000000000000:root", ()), "start", "local"
)


@dataclass
class House:
    """Sessions with their store, sealer and clock."""

    store: MemoryStore = field(default_factory=MemoryStore)
    clock: SettableClock = field(default_factory=SettableClock)
    listener: Listener = field(default_factory=Listener)

    def __post_init__(self) -> None:
        self.sealer = Sealer(bytes(32), os.urandom)
        region = Region(REGION)
        self.sessions = ConsoleSessions(
            self.store, self.sealer, self.clock, os.urandom, region, Principals(region), self.listener
        )

    async def key(self, lifetime: timedelta | None = None) -> NewAccessKey:
        request = AccessKeyRequest("ada", document(statement(Action="iot:*")), lifetime)
        return await create_access_key(self.store, self.sealer, self.clock, os.urandom, OPERATOR, request)

    async def sign_in(self, key: NewAccessKey, secret: str | None = None, token: str | None = None) -> SignedIn:
        secret = key.secret if secret is None else secret
        given = SignIn(key.access_key.access_key_id, secret, token, "192.0.2.1", "request")
        return await self.sessions.sign_in(given)

    async def lasts(self, signed_in: SignedIn, *, is_use: bool = True) -> bool:
        return await self.sessions.find(signed_in.token, is_use=is_use) is not None

    def later(self, by: timedelta) -> None:
        self.clock.at += by


@pytest.fixture
def house() -> House:
    return House()


async def test_a_session_is_found_by_its_token_alone(house: House) -> None:
    signed_in = await house.sign_in(await house.key())
    found = await house.sessions.find(signed_in.token)
    assert found is not None
    assert found.access_key.user_name == "ada"
    assert await house.sessions.find(signed_in.session.token_sha256) is None
    assert await house.sessions.find("\ud800") is None
    assert signed_in.token not in repr(signed_in)
    assert signed_in.session.token_sha256 not in repr(signed_in)


async def test_two_sessions_have_two_tokens(house: House) -> None:
    key = await house.key()
    assert (await house.sign_in(key)).token != (await house.sign_in(key)).token


@pytest.mark.parametrize("secret", ["", "x", "\ud800"])
async def test_a_wrong_secret_begins_none(house: House, secret: str) -> None:
    with pytest.raises(AuthenticationFailure):
        await house.sign_in(await house.key(), secret)
    assert house.listener.entries == []


async def test_an_unknown_key_is_refused_with_the_same_words(house: House) -> None:
    with pytest.raises(AuthenticationFailure) as wrong:
        await house.sign_in(await house.key(), "x")
    with pytest.raises(AuthenticationFailure) as unknown:
        await house.sessions.sign_in(SignIn("AKIA", "x", None, "192.0.2.1", "request"))
    assert wrong.value.message == unknown.value.message


async def test_a_permanent_key_has_no_session_token(house: House) -> None:
    with pytest.raises(AuthenticationFailure):
        await house.sign_in(await house.key(), token="x")


async def test_temporary_credentials_last_as_long_as_they_do_elsewhere(house: House) -> None:
    key = await house.key(timedelta(minutes=10))
    for token in (None, "x"):
        with pytest.raises(AuthenticationFailure):
            await house.sign_in(key, token=token)
    signed_in = await house.sign_in(key, token=key.session_token)
    house.later(timedelta(minutes=9))
    assert await house.lasts(signed_in)
    house.later(timedelta(minutes=1))
    assert not await house.lasts(signed_in)
    with pytest.raises(AuthenticationFailure):
        await house.sign_in(key, token=key.session_token)


async def test_a_session_that_is_not_used_ends(house: House) -> None:
    signed_in = await house.sign_in(await house.key())
    house.later(IDLE - timedelta(seconds=1))
    assert await house.lasts(signed_in, is_use=False)
    house.later(timedelta(seconds=1))
    assert not await house.lasts(signed_in)


async def test_use_prolongs_a_session_up_to_its_end(house: House) -> None:
    signed_in = await house.sign_in(await house.key())
    step = IDLE - timedelta(minutes=1)
    elapsed = timedelta()
    while elapsed + step < ABSOLUTE:
        house.later(step)
        elapsed += step
        assert await house.lasts(signed_in)
    house.later(ABSOLUTE - elapsed)
    assert not await house.lasts(signed_in)


async def test_looking_does_not_prolong_a_session(house: House) -> None:
    signed_in = await house.sign_in(await house.key())
    for _ in range(3):
        house.later(IDLE / 3)
        lasts = await house.lasts(signed_in, is_use=False)
    assert not lasts


async def test_a_deleted_key_ends_its_sessions(house: House) -> None:
    key = await house.key()
    signed_in = await house.sign_in(key)
    await delete_access_key(house.store, house.clock, OPERATOR, key.access_key.access_key_id)
    assert not await house.lasts(signed_in)


async def test_another_key_under_the_same_id_has_no_part_in_the_session(house: House) -> None:
    key = await house.key()
    signed_in = await house.sign_in(key)
    await delete_access_key(house.store, house.clock, OPERATOR, key.access_key.access_key_id)
    house.later(timedelta(seconds=1))
    second = replace(key.access_key, created_at=house.clock.now())
    await house.store.write(lambda: access_key_table.insert_access_key(second))
    assert not await house.lasts(signed_in)


async def test_signing_out_ends_one_session(house: House) -> None:
    key = await house.key()
    one, other = await house.sign_in(key), await house.sign_in(key)
    await house.sessions.sign_out(one, "request", "192.0.2.1")
    await house.sessions.sign_out(one, "request", "192.0.2.1")
    assert not await house.lasts(one)
    assert await house.lasts(other)
    assert [entry.action for entry in house.listener.entries] == ["ConsoleSignIn", "ConsoleSignIn", "ConsoleSignOut"]


async def test_a_key_has_a_bounded_number_of_sessions(house: House) -> None:
    key = await house.key()
    signed_in = [await house.sign_in(key) for _ in range(MOST_SESSIONS_OF_A_KEY + 1)]
    assert [await house.lasts(each) for each in signed_in] == [False, *[True] * MOST_SESSIONS_OF_A_KEY]


async def test_sessions_that_are_over_are_swept(house: House) -> None:
    key = await house.key()
    old = await house.sign_in(key)
    house.later(IDLE)
    await house.sign_in(key)
    assert await house.store.read(lambda: session_table.console_session(old.session.token_sha256)) is None
