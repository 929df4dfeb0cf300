"""The life of role aliases."""

import pytest
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import caller_with
from tests.support.registration.provisioning import ROLE_ARN
from tests.support.registration.registry import turned

from thingmint.core.errors import LimitExceeded, ResourceExists, ResourceNotFound, ServiceUnavailable
from thingmint.core.identifiers import AccountId, RoleAliasName
from thingmint.core.registry.role_alias import MAX_ROLE_ALIASES, RoleAlias
from thingmint.registration.kernel import tags
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.registry import role_aliases

CALLER = caller_with()
NAME = RoleAliasName("devices")


async def created(authority: RegistrationAuthority, name: RoleAliasName = NAME) -> RoleAlias:
    return await role_aliases.create(authority, CALLER, name, ROLE_ARN, None, {"line": "7"})


async def test_an_alias_lives_its_life(authority: RegistrationAuthority, store: MemoryStore) -> None:
    first = await created(authority)
    assert (first.credential_seconds, await role_aliases.describe(authority, CALLER, NAME)) == (3600, first)
    assert await tags.list_tags(authority, CALLER, first.arn) == {"line": "7"}

    changed = await role_aliases.update(authority, CALLER, NAME, ROLE_ARN + "2", 900)
    assert await role_aliases.describe(authority, CALLER, NAME) == changed
    assert await role_aliases.update(authority, CALLER, NAME, None, 900) == changed

    await role_aliases.delete(authority, CALLER, NAME)
    assert not store.tables.rows("role_alias")
    assert not store.tables.rows("tag")
    assert [(entry.action, entry.resource) for entry in store.tables.audit] == [
        ("CreateRoleAlias", first.arn),
        ("UpdateRoleAlias", first.arn),
        ("DeleteRoleAlias", first.arn),
    ]


async def test_a_name_is_taken_once_in_an_account(authority: RegistrationAuthority, store: MemoryStore) -> None:
    await created(authority)
    before = store.tables.dump()
    with pytest.raises(ResourceExists):
        await created(authority)
    assert store.tables.dump() == before
    other = caller_with(account=AccountId("210987654321"))
    await role_aliases.create(authority, other, NAME, ROLE_ARN, 900, {})


async def test_an_account_has_a_hundred_at_most_and_a_deleted_one_makes_room(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    for number in range(MAX_ROLE_ALIASES):
        await created(authority, RoleAliasName(f"a{number}"))
    before = store.tables.dump()
    with pytest.raises(LimitExceeded, match="at most 100"):
        await created(authority)
    assert store.tables.dump() == before
    await role_aliases.delete(authority, CALLER, RoleAliasName("a7"))
    await created(authority)


async def test_what_does_not_exist_is_not_found(authority: RegistrationAuthority) -> None:
    for call in (
        role_aliases.describe(authority, CALLER, NAME),
        role_aliases.update(authority, CALLER, NAME, None, None),
        role_aliases.delete(authority, CALLER, NAME),
    ):
        with pytest.raises(ResourceNotFound, match="devices not found"):
            await call


async def test_lists_are_in_the_order_of_creation(authority: RegistrationAuthority) -> None:
    for name in "cab":
        await created(authority, RoleAliasName(name))
    pages = await turned(2, lambda request: role_aliases.list_role_aliases(authority, CALLER, request))
    assert [[entry.name for entry in page] for page in pages] == [["c", "a"], ["b"]]


async def test_a_lost_commit_leaves_nothing(authority: RegistrationAuthority, store: MemoryStore) -> None:
    before, store.lose_commit_with = store.tables.dump(), ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await created(authority)
    assert store.tables.dump() == before
