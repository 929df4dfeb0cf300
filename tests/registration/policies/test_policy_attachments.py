"""What is attached to what: limits, refusals, and lists that follow groups upwards."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import TypeVar

import pytest
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import REGION, Listener, caller_with, new_authority
from tests.support.registration.memberships import Memberships, store_memberships
from tests.support.registration.policies import document, effective_policies, statement
from tests.support.registration.registry import turned

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import InvalidRequest, LimitExceeded, ResourceNotFound
from thingmint.core.identifiers import PolicyName, ThingGroupName, ThingName, thing_arn
from thingmint.core.paging import Page, PageRequest
from thingmint.core.policies.stored_policy import PolicySummary
from thingmint.core.policies.target import PolicyTarget, ThingGroupTarget, parse_policy_target
from thingmint.records import changes as change_table
from thingmint.records.policies.policies import MOST_DOCUMENTS
from thingmint.records.policies.policy_attachments import (
    MAX_REACHED,
    AttachedTarget,
    EffectivePolicies,
    EffectivePolicy,
)
from thingmint.records.steps import Program, Steps
from thingmint.registration.certificates import certificates
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.changes import MAX_RESOURCES, changes_from
from thingmint.registration.policies import policies, policy_attachments
from thingmint.registration.policies.effective_policies import policies_for

CALLER = caller_with()
SCOPE = CALLER.scope
NAME = PolicyName("Lamp")
DOCUMENT = document(statement(Action="iot:Connect"))
IDENTITY = parse_policy_target(SCOPE, f"{REGION}:0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")
UNKNOWN = parse_policy_target(SCOPE, f"arn:aws:iot:{REGION}:{SCOPE.account}:cert/" + "0" * 64)
ALL = PageRequest(100, None, ascending=True)


async def new_policies(authority: RegistrationAuthority, *names: str) -> None:
    for name in names:
        await policies.create(authority, CALLER, PolicyName(name), DOCUMENT, {})


async def new_certificate(authority: RegistrationAuthority) -> PolicyTarget:
    issued = await certificates.issue_with_new_key(authority, CALLER, active=False)
    return parse_policy_target(SCOPE, issued.certificate.arn)


def group(name: str) -> PolicyTarget:
    return ThingGroupTarget(SCOPE, ThingGroupName(name))


async def attach(authority: RegistrationAuthority, name: str, target: PolicyTarget) -> None:
    await policy_attachments.attach(authority, CALLER, "AttachPolicy", PolicyName(name), target)


async def detach(authority: RegistrationAuthority, name: str, target: PolicyTarget) -> None:
    await policy_attachments.detach(authority, CALLER, "DetachPolicy", PolicyName(name), target)


async def attached(authority: RegistrationAuthority, target: PolicyTarget, *, inherited: bool = False) -> list[str]:
    page = await policy_attachments.list_attached(authority, CALLER, target, ALL, inherited=inherited)
    return [policy.name for policy in page.items]


async def targets(authority: RegistrationAuthority, name: str) -> list[str]:
    page = await policy_attachments.list_targets(authority, CALLER, PolicyName(name), ALL)
    return [target.name for target in page.items]


def names(found: Iterable[EffectivePolicy]) -> list[str]:
    return [policy.name for policy in found]


async def test_a_policy_is_attached_to_every_kind_of_target(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await new_policies(authority, NAME)
    await store_memberships(store, SCOPE, Memberships(groups=(("Lamps",),)))
    kinds = [await new_certificate(authority), group("Lamps"), IDENTITY]
    for target in kinds:
        await attach(authority, NAME, target)
        assert await attached(authority, target) == [NAME]
    assert await targets(authority, NAME) == [target.name for target in kinds]
    for target in kinds:
        await detach(authority, NAME, target)
    assert await targets(authority, NAME) == []
    assert isinstance(authority.events, Listener)
    assert [(each.action, each.resource, each.detail) for each in authority.events.entries[2:]] == [
        (action, target.name, {"policy": NAME}) for action in ("AttachPolicy", "DetachPolicy") for target in kinds
    ]


async def test_what_is_so_already_is_neither_recorded_nor_told(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await new_policies(authority, NAME)
    target = await new_certificate(authority)
    await attach(authority, NAME, target)
    before = store.tables.dump()
    await attach(authority, NAME, target)
    assert store.tables.dump() == before
    await detach(authority, NAME, target)
    before = store.tables.dump()
    await detach(authority, NAME, target)
    assert store.tables.dump() == before


@pytest.mark.parametrize("target", [UNKNOWN, group("Nobody")])
async def test_an_unknown_target_is_not_found(
    authority: RegistrationAuthority, store: MemoryStore, target: PolicyTarget
) -> None:
    await new_policies(authority, NAME)
    before = store.tables.dump()
    for refused in (
        attach(authority, NAME, target),
        detach(authority, NAME, target),
        attached(authority, target),
        attached(authority, target, inherited=True),
        policies_for(new_authority(store), SCOPE, target, None),
    ):
        with pytest.raises(ResourceNotFound, match=target.name):
            await refused
    assert store.tables.dump() == before


async def test_an_unknown_policy_is_told_before_an_unknown_target(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    before = store.tables.dump()
    for refused in (
        attach(authority, NAME, UNKNOWN),
        attach(authority, NAME, IDENTITY),
        detach(authority, NAME, UNKNOWN),
        targets(authority, NAME),
    ):
        with pytest.raises(ResourceNotFound, match="policy given"):
            await refused
    assert store.tables.dump() == before


async def test_an_eleventh_policy_is_refused_but_not_one_that_is_attached(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await new_policies(authority, *(f"policy-{number}" for number in range(11)))
    target = await new_certificate(authority)
    for number in range(10):
        await attach(authority, f"policy-{number}", target)
    before = store.tables.dump()
    with pytest.raises(LimitExceeded):
        await attach(authority, "policy-10", target)
    await attach(authority, "policy-9", target)
    assert store.tables.dump() == before
    await detach(authority, "policy-0", target)
    await attach(authority, "policy-10", target)
    assert await attached(authority, target) == [f"policy-{number}" for number in range(1, 11)]


async def test_nothing_is_attached_to_a_certificate_in_transfer_but_may_be_detached(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await new_policies(authority, NAME, "Other")
    target = await new_certificate(authority)
    await attach(authority, NAME, target)
    store.execute("UPDATE certificate SET status = $1", CertificateStatus.PENDING_TRANSFER)
    with pytest.raises(InvalidRequest, match="in transfer"):
        await attach(authority, "Other", target)
    await detach(authority, NAME, target)
    assert await attached(authority, target) == []


HOUSE = Memberships(
    groups=(("House",), ("House", "Floor"), ("House", "Floor", "Room"), ("Garden",)),
    things=("lamp", "pump"),
    members=(("lamp", ("House", "Floor", "Room")), ("lamp", ("Garden",)), ("pump", ("Garden",))),
)


async def house(authority: RegistrationAuthority, store: MemoryStore) -> PolicyTarget:
    """Return a certificate of the lamp; every group has a policy of its name, all have one together."""
    await new_policies(authority, "House", "Floor", "Room", "Garden", "Own", "All")
    target = await new_certificate(authority)
    await store_memberships(store, SCOPE, replace(HOUSE, principals=(("lamp", target.name),)))
    for name in ("House", "Floor", "Room", "Garden"):
        await attach(authority, name, group(name))
        await attach(authority, "All", group(name))
    await attach(authority, "Own", target)
    return target


@pytest.mark.parametrize(
    ("name", "inherited"),
    [
        ("House", ["House", "All"]),
        ("Floor", ["House", "All", "Floor"]),
        ("Room", ["House", "All", "Floor", "Room"]),
        ("Garden", ["All", "Garden"]),
    ],
)
async def test_a_group_inherits_from_the_groups_above_it_each_policy_once(
    authority: RegistrationAuthority, store: MemoryStore, name: str, inherited: list[str]
) -> None:
    await house(authority, store)
    assert sorted(await attached(authority, group(name))) == sorted([name, "All"])
    assert sorted(await attached(authority, group(name), inherited=True)) == sorted(inherited)
    assert sorted(names(await policies_for(new_authority(store), SCOPE, group(name), None))) == sorted(inherited)


async def test_a_certificate_inherits_from_the_groups_of_its_things(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    target = await house(authority, store)
    assert await attached(authority, target) == ["Own"]
    everything = ["House", "All", "Floor", "Room", "Garden", "Own"]
    assert await attached(authority, target, inherited=True) == everything
    assert names(await policies_for(new_authority(store), SCOPE, target, None)) == everything


@pytest.mark.parametrize("ascending", [True, False])
async def test_pages_of_inherited_policies_hold_each_once(
    authority: RegistrationAuthority, store: MemoryStore, *, ascending: bool
) -> None:
    target = await house(authority, store)

    async def page(request: PageRequest) -> Page[PolicySummary]:
        return await policy_attachments.list_attached(authority, CALLER, target, request, inherited=True)

    everything = ["House", "All", "Floor", "Room", "Garden", "Own"]
    assert await names_turned(page, ascending=ascending) == (everything if ascending else everything[::-1])


Named = TypeVar("Named", PolicySummary, AttachedTarget)


async def names_turned(page: Callable[[PageRequest], Awaitable[Page[Named]]], *, ascending: bool) -> list[str]:
    return [entry.name for found in await turned(2, page, ascending=ascending) for entry in found]


@pytest.mark.parametrize("ascending", [True, False])
async def test_pages_of_attachments_follow_the_order_of_attachment(
    authority: RegistrationAuthority, *, ascending: bool
) -> None:
    await new_policies(authority, "c", "a", "b")
    target = await new_certificate(authority)
    for name in ("b", "c", "a"):
        await attach(authority, name, target)

    async def of_target(request: PageRequest) -> Page[PolicySummary]:
        return await policy_attachments.list_attached(authority, CALLER, target, request, inherited=False)

    async def of_policy(request: PageRequest) -> Page[AttachedTarget]:
        return await policy_attachments.list_targets(authority, CALLER, PolicyName("a"), request)

    order = ["b", "c", "a"]
    assert await names_turned(of_target, ascending=ascending) == (order if ascending else order[::-1])
    others = [(await new_certificate(authority)).name for _ in range(3)]
    for other in others:
        await attach(authority, "a", parse_policy_target(SCOPE, other))
    order = [target.name, *others]
    assert await names_turned(of_policy, ascending=ascending) == (order if ascending else order[::-1])


async def test_in_force_for_a_thing_is_what_its_groups_have(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    target = await house(authority, store)
    assert names(await policies_for(new_authority(store), SCOPE, None, ThingName("pump"))) == ["Garden", "All"]
    together = await policies_for(new_authority(store), SCOPE, group("Floor"), ThingName("pump"))
    assert names(together) == ["House", "All", "Floor", "Garden"]
    # The certificate is not attached to the pump, so as a client of this name it has its own policies alone.
    assert names(await policies_for(new_authority(store), SCOPE, target, ThingName("pump"))) == ["Own"]
    everything = ["House", "All", "Floor", "Room", "Garden", "Own"]
    assert names(await policies_for(new_authority(store), SCOPE, target, ThingName("lamp"))) == everything
    with pytest.raises(ResourceNotFound, match="name=radio"):
        await policies_for(new_authority(store), SCOPE, target, ThingName("radio"))
    with pytest.raises(InvalidRequest, match="principal or a thing name"):
        await policies_for(new_authority(store), SCOPE, None, None)


async def test_in_force_are_default_versions_with_all_that_they_depend_on(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    target = await house(authority, store)
    newer = document(statement(Action="iot:Publish"))
    await policies.create_version(authority, CALLER, PolicyName("Own"), newer, as_default=True)
    await policies.create_version(authority, CALLER, PolicyName("Own"), DOCUMENT, as_default=False)

    found = await effective_policies(store, SCOPE, target.name)

    own = found.policies[-1]
    assert (own.name, own.version, own.document, own.targets) == ("Own", 2, newer, (target.name,))
    assert found.policies[1].targets == tuple(group(name).name for name in ("House", "Floor", "Room", "Garden"))
    assert found.depends_on == {
        target.name,
        thing_arn(SCOPE, ThingName("lamp")),
        *(group(name).name for name in ("House", "Floor", "Room", "Garden")),
        *(policy.arn for policy in found.policies),
    }


async def test_a_principal_without_anything_depends_on_itself_alone(store: MemoryStore) -> None:
    assert await effective_policies(store, SCOPE, UNKNOWN.name) == EffectivePolicies((), frozenset({UNKNOWN.name}))


async def test_attachments_are_told_to_those_who_ask_since(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await new_policies(authority, NAME)
    first, second = await new_certificate(authority), await new_certificate(authority)
    beginning = await changes_from(store, None)
    assert beginning.resources is None
    await attach(authority, NAME, first)
    after_first = await changes_from(store, beginning.stamp)
    assert after_first.resources == frozenset({first.name})
    await attach(authority, NAME, second)
    await detach(authority, NAME, first)
    assert (await changes_from(store, after_first.stamp)).resources == frozenset({first.name, second.name})
    later = await changes_from(store, after_first.stamp)
    assert (await changes_from(store, later.stamp)).resources == frozenset()


async def test_stamps_of_another_history_and_too_many_changes_are_told_as_anything(store: MemoryStore) -> None:
    stamp = (await changes_from(store, None)).stamp
    assert (await changes_from(store, stamp + 1)).resources is None

    def program() -> Steps[None]:
        for number in range(MAX_RESOURCES + 1):
            yield from change_table.record_change(f"resource-{number}")

    await store.write(program)
    assert (await changes_from(store, stamp)).resources is None
    assert len((await changes_from(store, stamp + 1)).resources or ()) == MAX_RESOURCES


async def test_the_documents_of_many_policies_are_read_a_few_at_a_time(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    target = await house(authority, store)
    own = [f"policy-{number}" for number in range(MOST_DOCUMENTS)]
    for number, name in enumerate(own):
        await policies.create(authority, CALLER, PolicyName(name), document(statement(Sid=f"S{number}")), {})
        await attach(authority, name, group(("House", "Garden")[number % 2]))
    asked: list[int] = []
    read = store.read

    async def counted(program: Program[object]) -> object:
        asked.append(1)
        if len(asked) == 3:
            # A version that is deleted between the statements is left out.
            store.execute("DELETE FROM policy_version WHERE policy_name = 'policy-15'")
        return await read(program)

    store.read = counted  # type: ignore[method-assign,assignment]
    found = await policies_for(authority, SCOPE, target, None)

    assert len(asked) == 3
    documents: dict[str, str] = {each.name: each.document for each in found}
    assert list(documents) == ["House", "All", "Floor", "Room", "Garden", "Own", *own[:-1]]
    assert [documents[name] for name in own[:-1]] == [
        document(statement(Sid=f"S{number}")) for number in range(MOST_DOCUMENTS - 1)
    ]


async def test_what_is_too_much_to_be_searched_is_neither_listed_nor_answered(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    target = await house(authority, store)
    store.execute(
        "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < $1) "
        "INSERT INTO thing_group_member (account, region, thing_name, group_name, path) "
        "SELECT account, region, 'lamp', 'group-' || n, 'group-' || n FROM number, thing WHERE name = 'lamp'",
        MAX_REACHED,
    )
    for refused in (
        attached(authority, target, inherited=True),
        policies_for(authority, SCOPE, target, None),
        policies_for(authority, SCOPE, None, ThingName("lamp")),
    ):
        with pytest.raises(LimitExceeded, match="More than 4096"):
            await refused
    assert await attached(authority, target) == ["Own"]
