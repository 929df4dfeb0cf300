"""Thing groups: their hierarchy, the things in them, and what is refused."""

import pytest
from tests.support.registration.registry import Registry, turned

from thingmint.core.errors import InvalidRequest, ResourceExists, ResourceNotFound, VersionMismatch
from thingmint.core.identifiers import PolicyName, ThingGroupName
from thingmint.core.registry.attributes import AttributePayload, Attributes
from thingmint.core.registry.thing_group import GroupUpdate, ThingGroup
from thingmint.records.policies import policy_attachments as policy_attachment_table
from thingmint.registration.registry import thing_group_members, thing_groups

LAMPS = ThingGroupName("lamps")


def actions(registry: Registry) -> list[tuple[str, dict[str, str]]]:
    return [(entry.action, entry.detail) for entry in registry.tables.audit]


async def described(registry: Registry, name: str = "lamps") -> ThingGroup:
    return await thing_groups.describe(registry.authority, registry.caller, ThingGroupName(name))


async def update(registry: Registry, wanted: GroupUpdate) -> ThingGroup:
    return await thing_groups.update(registry.authority, registry.caller, LAMPS, wanted)


async def test_a_group_is_created_once_in_the_same_words(registry: Registry) -> None:
    await registry.create_group("house")
    created = await registry.create_group("lamps", "house", description="all", floor="3")
    before = registry.tables.dump()

    assert await registry.create_group("lamps", "house", description="all", floor="3") == created

    assert await described(registry) == created
    assert registry.tables.dump() == before


async def test_a_name_is_taken_by_a_group_elsewhere_in_the_hierarchy(registry: Registry) -> None:
    await registry.create_group("house")
    created = await registry.create_group("lamps")

    with pytest.raises(ResourceExists, match="Thing Group lamps already exists in current account") as refused:
        await registry.create_group("lamps", "house")

    assert (refused.value.resource_id, refused.value.resource_arn) == (created.group_id, created.arn)


async def test_a_parent_must_exist(registry: Registry) -> None:
    with pytest.raises(ResourceNotFound, match=r"^Thing group house not found$"):
        await registry.create_group("lamps", "house")


async def test_a_group_is_not_its_own_parent(registry: Registry) -> None:
    with pytest.raises(ResourceNotFound):
        await registry.create_group("lamps", "lamps")
    await registry.create_group("lamps")
    with pytest.raises(ResourceExists):
        await registry.create_group("lamps", "lamps")


async def test_a_hierarchy_is_seven_levels_deep(registry: Registry) -> None:
    await registry.create_group("g1")
    for level in range(2, 8):
        await registry.create_group(f"g{level}", f"g{level - 1}")

    with pytest.raises(InvalidRequest, match="at most 7 levels deep"):
        await registry.create_group("g8", "g7")

    assert (await described(registry, "g7")).ancestors == ("g1", "g2", "g3", "g4", "g5", "g6")


async def test_a_group_has_a_hundred_children(registry: Registry) -> None:
    await registry.create_group("house")
    for number in range(100):
        await registry.create_group(f"room-{number}", "house")
    before = registry.tables.dump()

    with pytest.raises(InvalidRequest, match="at most 100 direct child groups"):
        await registry.create_group("room-100", "house")

    assert registry.tables.dump() == before
    await registry.create_group("lamps", "room-1")


async def test_an_update_counts(registry: Registry) -> None:
    await registry.create_group("lamps", description="all", floor="3")

    after = await update(
        registry, GroupUpdate(None, AttributePayload(Attributes.of({"wing": "east"}), merge=True), expected_version=1)
    )

    assert after == await described(registry)
    assert (after.version, after.description, after.attributes.as_dict()) == (2, "all", {"floor": "3", "wing": "east"})
    assert actions(registry)[-1] == ("UpdateThingGroup", {"version": "2"})


async def test_another_version_than_expected_is_neither_updated_nor_deleted(registry: Registry) -> None:
    await registry.create_group("lamps")
    before = registry.tables.dump()

    for refused in (update(registry, GroupUpdate(expected_version=2)), registry.delete_group("lamps", 2)):
        with pytest.raises(VersionMismatch, match="The group lamps has version 1, not 2"):
            await refused

    assert registry.tables.dump() == before


async def test_what_does_not_exist_is_not_found(registry: Registry) -> None:
    await registry.create_thing("lamp")
    for refused in (
        described(registry),
        update(registry, GroupUpdate()),
        registry.groups("lamps"),
        registry.members("lamps"),
        registry.join("lamps", "lamp"),
        registry.leave("lamps", "lamp"),
    ):
        with pytest.raises(ResourceNotFound, match=r"^Thing group lamps not found$"):
            await refused


async def test_a_missing_thing_is_in_no_group(registry: Registry) -> None:
    await registry.create_group("lamps")
    for refused in (registry.groups_of("lamp"), registry.join("lamps", "lamp"), registry.leave("lamps", "lamp")):
        with pytest.raises(ResourceNotFound, match=r"^Thing lamp not found$"):
            await refused


async def test_a_deleted_group_lets_its_things_and_policies_go(registry: Registry) -> None:
    group = await registry.create_group("lamps")
    await registry.create_thing("lamp")
    await registry.join("lamps", "lamp")
    scope, policy = registry.caller.scope, PolicyName("light")
    await registry.store.write(lambda: policy_attachment_table.attach_policy(scope, policy, group.arn))

    await registry.delete_group("lamps", 1)
    await registry.create_group("lamps")

    assert await registry.groups_of("lamp") == await registry.members("lamps") == []
    assert await registry.store.read(lambda: policy_attachment_table.count_policies(scope, group.arn)) == 0


async def test_a_group_with_children_is_not_deleted(registry: Registry) -> None:
    await registry.create_group("house")
    await registry.create_group("lamps", "house")

    with pytest.raises(
        InvalidRequest, match=r"^Cannot delete thing group : house when there are still child groups attached to it.$"
    ):
        await registry.delete_group("house")

    await registry.delete_group("lamps")
    await registry.delete_group("house")
    assert await registry.groups() == []


async def test_deleting_what_does_not_exist_changes_nothing(registry: Registry) -> None:
    before = registry.tables.dump()

    await registry.delete_group("lamps", 3)

    assert registry.tables.dump() == before


async def test_groups_are_listed_from_where_they_are_looked_for(registry: Registry) -> None:
    for name, parent in (("house", None), ("attic", "house"), ("box", "attic"), ("cellar", "house"), ("garden", None)):
        await registry.create_group(name, parent)

    assert await registry.groups() == ["attic", "box", "cellar", "garden", "house"]
    assert await registry.groups(recursive=True) == ["attic", "box", "cellar", "garden", "house"]
    assert await registry.groups(recursive=False) == ["garden", "house"]
    assert await registry.groups("house") == await registry.groups("house", recursive=False) == ["attic", "cellar"]
    assert await registry.groups("house", recursive=True) == ["attic", "box", "cellar"]
    assert await registry.groups(prefix="c") == ["cellar"]
    assert await registry.groups("house", "b", recursive=True) == ["box"]
    assert await registry.groups("box") == []


async def test_joining_and_leaving_twice_changes_nothing(registry: Registry) -> None:
    await registry.create_group("lamps")
    await registry.create_thing("lamp")

    await registry.join("lamps", "lamp")
    await registry.join("lamps", "lamp")
    assert await registry.groups_of("lamp") == ["lamps"]
    await registry.leave("lamps", "lamp")
    await registry.leave("lamps", "lamp")

    assert await registry.groups_of("lamp") == []
    assert actions(registry)[2:] == [
        ("AddThingToThingGroup", {"joined": "lamps"}),
        ("RemoveThingFromThingGroup", {"left": "lamps"}),
    ]


async def test_a_thing_is_in_one_group_of_a_hierarchy(registry: Registry) -> None:
    await registry.create_group("house")
    await registry.create_group("attic", "house")
    await registry.create_thing("lamp")
    await registry.join("attic", "lamp")

    with pytest.raises(InvalidRequest, match="belongs to the thing group attic of the same hierarchy"):
        await registry.join("house", "lamp")

    await registry.move("lamp", add=["house"], remove=["attic"])
    assert await registry.groups_of("lamp") == ["house"]
    assert actions(registry)[-1] == ("UpdateThingGroupsForThing", {"joined": "house", "left": "attic"})


async def test_a_thing_is_in_ten_groups(registry: Registry) -> None:
    await registry.create_thing("lamp")
    for number in range(11):
        await registry.create_group(f"g{number}")
    await registry.move("lamp", add=[f"g{number}" for number in range(9)])

    with pytest.raises(InvalidRequest, match="at most 10 thing groups"):
        await registry.move("lamp", add=["g9", "g10"])

    assert len(await registry.groups_of("lamp")) == 9


async def test_things_are_listed_below_a_group(registry: Registry) -> None:
    await registry.create_group("house")
    await registry.create_group("attic", "house")
    await registry.create_group("houseboat")
    for number, group in enumerate(("attic", "house", "attic", "houseboat")):
        await registry.create_thing(f"t{number}")
        await registry.join(group, f"t{number}")

    assert await registry.members("house") == ["t1"]
    assert await registry.members("house", recursive=True) == ["t1", "t0", "t2"]
    pages = await turned(
        1,
        lambda page: thing_group_members.list_things(
            registry.authority, registry.caller, ThingGroupName("house"), page, recursive=True
        ),
    )
    assert pages == [["t1"], ["t0"], ["t2"]]
