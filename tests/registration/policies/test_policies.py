"""The life of policies and their versions: what is recorded, what is refused, and what nothing happens to then."""

import hashlib

import pytest
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW, REGION, Listener, caller_with
from tests.support.registration.policies import document, statement
from tests.support.registration.registry import turned

from thingmint.core.errors import (
    DeletionRefused,
    InvalidRequest,
    MalformedPolicy,
    ResourceExists,
    ResourceNotFound,
    ServiceUnavailable,
    VersionsLimitExceeded,
)
from thingmint.core.identifiers import AccountId, PolicyName
from thingmint.core.policies.stored_policy import DevicePolicy
from thingmint.core.policies.target import parse_policy_target
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.changes import changes_from
from thingmint.registration.policies import policies, policy_attachments

CALLER = caller_with()
STRANGER = caller_with(account=AccountId("999999999999"))
NAME = PolicyName("Lamp")
FIRST = document(statement(Action="iot:Connect"))
SECOND = document(statement(Action="iot:Publish"))
IDENTITY = parse_policy_target(CALLER.scope, f"{REGION}:0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")


async def created(authority: RegistrationAuthority, name: PolicyName = NAME) -> DevicePolicy:
    return await policies.create(authority, CALLER, name, FIRST, {})


def recorded(authority: RegistrationAuthority) -> list[tuple[str, dict[str, str]]]:
    assert isinstance(authority.events, Listener)
    return [(entry.action, entry.detail) for entry in authority.events.entries]


def digest_of(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()


async def test_a_policy_begins_with_version_1_in_force(authority: RegistrationAuthority, store: MemoryStore) -> None:
    policy = await created(authority)

    found, version = await policies.describe(authority, CALLER, NAME)
    assert found == policy
    assert (policy.default_version, policy.last_version, policy.created_at, policy.modified_at) == (1, 1, NOW, NOW)
    assert (version.version, version.document, version.created_at, version.modified_at) == (1, FIRST, NOW, NOW)
    assert [(entry.action, entry.resource) for entry in store.tables.audit] == [("CreatePolicy", policy.arn)]
    assert recorded(authority) == [("CreatePolicy", {"document_sha256": digest_of(FIRST)})]


async def test_a_name_is_taken_once_and_the_refusal_names_the_policy(authority: RegistrationAuthority) -> None:
    policy = await created(authority)

    with pytest.raises(ResourceExists) as refusal:
        await policies.create(authority, CALLER, NAME, SECOND, {})

    assert refusal.value.message == "Policy cannot be created - name already exists (name=Lamp)"
    assert (refusal.value.resource_id, refusal.value.resource_arn) == (NAME, policy.arn)
    assert (await policies.describe(authority, CALLER, NAME))[1].document == FIRST


async def test_a_name_may_be_taken_in_every_account(authority: RegistrationAuthority) -> None:
    await created(authority)
    assert (await policies.create(authority, STRANGER, NAME, SECOND, {})).scope == STRANGER.scope
    assert (await policies.describe(authority, CALLER, NAME))[1].document == FIRST


async def test_a_malformed_document_creates_nothing(authority: RegistrationAuthority, store: MemoryStore) -> None:
    await created(authority)
    before = store.tables.dump()

    with pytest.raises(MalformedPolicy):
        await policies.create(authority, CALLER, PolicyName("Other"), "{", {})
    with pytest.raises(MalformedPolicy):
        await policies.create_version(authority, CALLER, NAME, "{", as_default=True)

    assert store.tables.dump() == before


async def test_tags_that_cannot_be_kept_create_nothing(authority: RegistrationAuthority, store: MemoryStore) -> None:
    with pytest.raises(InvalidRequest):
        await policies.create(authority, CALLER, NAME, FIRST, {f"line-{number}": "7" for number in range(51)})
    assert not store.tables.rows("tag")
    assert not store.tables.rows("policy")


async def test_a_lost_commit_leaves_nothing(authority: RegistrationAuthority, store: MemoryStore) -> None:
    store.lose_commit_with = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await created(authority)
    assert not store.tables.rows("policy")
    assert not store.tables.rows("policy_version")
    assert recorded(authority) == []


@pytest.mark.parametrize("version", [None, 1])
async def test_what_does_not_exist_is_not_found(authority: RegistrationAuthority, version: int | None) -> None:
    with pytest.raises(ResourceNotFound, match=r"policy given .*\(name=Lamp\)"):
        await policies.describe(authority, CALLER, NAME, version)
    await created(authority)
    with pytest.raises(ResourceNotFound, match=r"policy given"):
        await policies.describe(authority, STRANGER, NAME, version)
    with pytest.raises(ResourceNotFound, match=r"policy version given .*\(name=Lamp, version=2\)"):
        await policies.describe(authority, CALLER, NAME, 2)


async def test_a_new_version_waits_until_it_is_put_into_force(authority: RegistrationAuthority) -> None:
    await created(authority)

    policy, version = await policies.create_version(authority, CALLER, NAME, SECOND, as_default=False)

    assert (policy.default_version, policy.last_version, version.version) == (1, 2, 2)
    assert (await policies.describe(authority, CALLER, NAME))[1].document == FIRST
    await policies.set_default_version(authority, CALLER, NAME, 2)
    assert (await policies.describe(authority, CALLER, NAME))[1].document == SECOND
    assert recorded(authority)[1:] == [
        ("CreatePolicyVersion", {"version": "2", "is_default": "false", "document_sha256": digest_of(SECOND)}),
        ("SetDefaultPolicyVersion", {"version": "2", "previous_version": "1"}),
    ]


async def test_a_new_version_comes_into_force_at_once_if_asked_for(authority: RegistrationAuthority) -> None:
    await created(authority)
    await policies.create_version(authority, CALLER, NAME, SECOND, as_default=True)
    assert (await policies.describe(authority, CALLER, NAME))[1].document == SECOND
    listed = await policies.list_versions(authority, CALLER, NAME)
    assert [(each.version, each.is_default, each.created_at) for each in listed] == [(2, True, NOW), (1, False, NOW)]


async def test_the_version_in_force_again_changes_nothing(authority: RegistrationAuthority, store: MemoryStore) -> None:
    await created(authority)
    before = store.tables.dump()
    await policies.set_default_version(authority, CALLER, NAME, 1)
    assert store.tables.dump() == before


async def test_numbers_of_deleted_versions_never_come_back(authority: RegistrationAuthority) -> None:
    await created(authority)
    await policies.create_version(authority, CALLER, NAME, SECOND, as_default=False)
    await policies.delete_version(authority, CALLER, NAME, 2)
    policy, version = await policies.create_version(authority, CALLER, NAME, SECOND, as_default=False)
    assert (policy.last_version, version.version) == (3, 3)
    assert recorded(authority)[2] == ("DeletePolicyVersion", {"version": "2"})


async def test_a_sixth_version_is_refused_until_one_is_deleted(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await created(authority)
    for _ in range(4):
        await policies.create_version(authority, CALLER, NAME, SECOND, as_default=False)
    before = store.tables.dump()
    with pytest.raises(VersionsLimitExceeded):
        await policies.create_version(authority, CALLER, NAME, SECOND, as_default=True)
    assert store.tables.dump() == before
    await policies.delete_version(authority, CALLER, NAME, 3)
    await policies.create_version(authority, CALLER, NAME, SECOND, as_default=True)
    assert [each.version for each in await policies.list_versions(authority, CALLER, NAME)] == [6, 5, 4, 2, 1]


async def test_the_version_in_force_and_unknown_versions_are_not_deleted(authority: RegistrationAuthority) -> None:
    await created(authority)
    with pytest.raises(DeletionRefused):
        await policies.delete_version(authority, CALLER, NAME, 1)
    with pytest.raises(ResourceNotFound, match="version=2"):
        await policies.delete_version(authority, CALLER, NAME, 2)
    with pytest.raises(ResourceNotFound, match="version=2"):
        await policies.set_default_version(authority, CALLER, NAME, 2)


async def test_every_change_of_an_unknown_policy_is_refused(authority: RegistrationAuthority) -> None:
    for refused in (
        policies.create_version(authority, CALLER, NAME, SECOND, as_default=True),
        policies.set_default_version(authority, CALLER, NAME, 1),
        policies.delete_version(authority, CALLER, NAME, 1),
        policies.delete(authority, CALLER, NAME),
        policies.list_versions(authority, CALLER, NAME),
    ):
        with pytest.raises(ResourceNotFound, match=r"policy given"):
            await refused


async def test_a_deleted_policy_takes_its_version_with_it_and_its_name_is_free(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    policy = await created(authority)
    await policies.delete(authority, CALLER, NAME)
    assert not store.tables.rows("policy")
    assert not store.tables.rows("policy_version")
    assert recorded(authority)[-1] == ("DeletePolicy", {"generation_id": policy.generation_id})
    assert (await created(authority)).default_version == 1


async def test_a_policy_in_use_is_not_deleted(authority: RegistrationAuthority) -> None:
    await created(authority)
    await policies.create_version(authority, CALLER, NAME, SECOND, as_default=False)
    await policy_attachments.attach(authority, CALLER, "AttachPolicy", NAME, IDENTITY)
    with pytest.raises(DeletionRefused, match="attached"):
        await policies.delete(authority, CALLER, NAME)
    await policy_attachments.detach(authority, CALLER, "DetachPolicy", NAME, IDENTITY)
    with pytest.raises(DeletionRefused, match="versions"):
        await policies.delete(authority, CALLER, NAME)
    await policies.delete_version(authority, CALLER, NAME, 2)
    await policies.delete(authority, CALLER, NAME)


@pytest.mark.parametrize("ascending", [True, False])
async def test_pages_hold_every_policy_once_in_order(authority: RegistrationAuthority, *, ascending: bool) -> None:
    names = [PolicyName(f"policy-{9 - number}") for number in range(5)]
    for name in names:
        await created(authority, name)
    pages = await turned(2, lambda request: policies.list_policies(authority, CALLER, request), ascending=ascending)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [each.name for page in pages for each in page] == (names if ascending else names[::-1])


async def test_what_comes_into_force_is_told_and_what_does_not_is_not(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    policy = await created(authority)
    stamp = (await changes_from(store, None)).stamp

    await policies.create_version(authority, CALLER, NAME, SECOND, as_default=False)
    await policies.delete_version(authority, CALLER, NAME, 2)
    assert (await changes_from(store, stamp)).resources == frozenset()
    await policies.create_version(authority, CALLER, NAME, SECOND, as_default=True)
    assert (await changes_from(store, stamp)).resources == frozenset({policy.arn})
    stamp = (await changes_from(store, stamp)).stamp
    await policies.set_default_version(authority, CALLER, NAME, 1)
    assert (await changes_from(store, stamp)).resources == frozenset({policy.arn})
