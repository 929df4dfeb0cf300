"""The tables of thing groups, types and billing groups, on both engines."""

from dataclasses import replace

import pytest
from tests.support.databases.stores import CREATED_AT, OTHER_SCOPE, SCOPE
from tests.support.registration.things import (
    group_path,
    sample_billing_group,
    sample_group,
    sample_type,
    turned,
    write,
)

from thingmint.core.identifiers import ThingGroupName, ThingName, ThingTypeName
from thingmint.core.registry.attributes import Attributes
from thingmint.core.registry.thing_group import GroupPath, ThingGroup
from thingmint.core.registry.thing_type import PropagatingAttribute, ThingTypeProperties
from thingmint.records.registry import billing_groups as billing_group_table
from thingmint.records.registry import thing_group_members as thing_group_member_table
from thingmint.records.registry import thing_groups as thing_group_table
from thingmint.records.registry import thing_types as thing_type_table
from thingmint.records.registry.thing_groups import GroupFilter
from thingmint.registration.kernel.ports import Store

HOUSE, ATTIC, BOX = sample_group("house"), sample_group("house", "attic"), sample_group("house", "attic", "box")
GARDEN, HOUSEBOAT = sample_group("garden"), sample_group("houseboat")


async def insert(store: Store, *groups: ThingGroup) -> None:
    await write(store, *(lambda group=group: thing_group_table.insert_thing_group(group) for group in groups))


async def join(store: Store, thing: str, *path: str) -> object:
    (added,) = await write(
        store, lambda: thing_group_member_table.add_thing_to_group(SCOPE, ThingName(thing), group_path(*path))
    )
    return added


async def members(store: Store, *path: str, recursive: bool = False, size: int = 2) -> list[list[ThingName]]:
    return await turned(
        store,
        size,
        lambda page: thing_group_member_table.things_in_group(SCOPE, group_path(*path), page, recursive=recursive),
    )


async def groups_of(store: Store, thing: str) -> list[list[GroupPath]]:
    return await turned(store, 2, lambda page: thing_group_member_table.groups_of_thing(SCOPE, ThingName(thing), page))


async def test_a_group_comes_back_as_it_was_stored(store: Store) -> None:
    full = replace(BOX, description="a box", attributes=Attributes.of({"floor": "3"}), version=4)
    await insert(store, full, HOUSE)

    for group in (full, HOUSE):
        assert await read_three_ways(store, group.name) == [group, group, group]
        assert await store.read(lambda: thing_group_table.thing_group(OTHER_SCOPE, HOUSE.name)) is None


async def read_three_ways(store: Store, name: ThingGroupName) -> list[object]:
    return await write(
        store,
        lambda: thing_group_table.thing_group(SCOPE, name),
        lambda: thing_group_table.thing_group_for_share(SCOPE, name),
        lambda: thing_group_table.thing_group_for_update(SCOPE, name),
    )


async def test_a_taken_name_of_a_group_changes_nothing(store: Store) -> None:
    moved = sample_group("garden", "attic")

    assert await write(
        store, lambda: thing_group_table.insert_thing_group(ATTIC), lambda: thing_group_table.insert_thing_group(moved)
    ) == [
        None,
        ATTIC,
    ]


async def test_an_updated_group_stays_where_it_is(store: Store) -> None:
    await insert(store, HOUSE, ATTIC)
    after = replace(ATTIC, description="dusty", attributes=Attributes.of({"floor": "4"}), version=2)

    await write(store, lambda: thing_group_table.update_thing_group(after))

    assert await store.read(lambda: thing_group_table.thing_group(SCOPE, ATTIC.name)) == after


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (GroupFilter(), [["attic", "box"], ["garden", "house"], ["houseboat"]]),
        (GroupFilter(prefix="house"), [["house", "houseboat"]]),
        (GroupFilter(below=group_path()), [["garden", "house"], ["houseboat"]]),
        (GroupFilter("g", below=group_path()), [["garden"]]),
        (GroupFilter(below=group_path("house")), [["attic"]]),
        (GroupFilter("b", below=group_path("house")), []),
        (GroupFilter(below=group_path("house"), is_recursive=True), [["attic", "box"]]),
        (GroupFilter("b", below=group_path("house"), is_recursive=True), [["box"]]),
        (GroupFilter(below=group_path("house", "attic", "box"), is_recursive=True), []),
    ],
)
async def test_lists_of_groups_hold_what_their_filters_say(
    store: Store, wanted: GroupFilter, expected: list[list[str]]
) -> None:
    await insert(store, HOUSE, ATTIC, BOX, GARDEN, HOUSEBOAT, sample_group("elsewhere", scope=OTHER_SCOPE))

    assert await turned(store, 2, lambda page: thing_group_table.thing_groups(SCOPE, wanted, page)) == expected


async def test_members_are_listed_in_their_group_and_from_above(store: Store) -> None:
    for number, path in enumerate((ATTIC.path, HOUSE.path, BOX.path, ATTIC.path, HOUSEBOAT.path)):
        assert await join(store, f"t{number}", *path) is True
    assert await join(store, "t0", *ATTIC.path) is False

    assert await members(store, "house", "attic") == [["t0", "t3"]]
    assert await members(store, "house", "attic", recursive=True) == [["t0", "t3"], ["t2"]]
    assert await members(store, "house") == [["t1"]]
    assert await members(store, "house", recursive=True, size=3) == [["t1", "t0", "t3"], ["t2"]]
    assert await members(store, "house", recursive=True, size=1) == [["t1"], ["t0"], ["t3"], ["t2"]]


async def test_a_thing_tells_its_groups_and_leaves_them(store: Store) -> None:
    for path in (ATTIC.path, GARDEN.path, HOUSEBOAT.path):
        await join(store, "lamp", *path)
    await join(store, "fan", *GARDEN.path)

    assert await groups_of(store, "lamp") == [[ATTIC.path, GARDEN.path], [HOUSEBOAT.path]]
    name = ThingName("lamp")
    left = await write(
        store,
        lambda: thing_group_member_table.remove_thing_from_group(SCOPE, name, GARDEN.path),
        lambda: thing_group_member_table.remove_thing_from_group(SCOPE, name, GARDEN.path),
    )
    assert left == [True, False]
    assert await groups_of(store, "lamp") == [[ATTIC.path, HOUSEBOAT.path]]
    await write(store, lambda: thing_group_member_table.remove_thing_from_groups(SCOPE, name))
    assert await groups_of(store, "lamp") == []
    assert await members(store, "garden") == [["fan"]]


async def test_a_deleted_group_lets_its_things_go_in_portions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thingmint.records.registry.thing_group_members._PORTION", 3)
    await insert(store, HOUSE, ATTIC)
    for number in range(7):
        await join(store, f"t{number}", *ATTIC.path)
    await join(store, "t0", *HOUSE.path)

    await write(store, lambda: thing_group_table.delete_thing_group(ATTIC))

    assert await store.read(lambda: thing_group_table.thing_group(SCOPE, ATTIC.name)) is None
    assert await members(store, "house", recursive=True) == [["t0"]]


async def test_a_thing_type_comes_back_as_it_was_stored(store: Store) -> None:
    properties = ThingTypeProperties(
        'gives "light"',
        ("wattage", "colour"),
        (PropagatingAttribute("a", thing_attribute="colour"), PropagatingAttribute("b", None, "iot:ClientId")),
    )
    light, heater = sample_type("light", properties), sample_type("heater")
    stored = await write(
        store,
        lambda: thing_type_table.insert_thing_type(light),
        lambda: thing_type_table.insert_thing_type(heater),
        lambda: thing_type_table.insert_thing_type(sample_type("light")),
        lambda: thing_type_table.thing_type(SCOPE, light.name),
        lambda: thing_type_table.thing_type_for_share(SCOPE, heater.name),
        lambda: thing_type_table.thing_type(OTHER_SCOPE, light.name),
    )
    assert stored == [None, None, light, light, heater, None]

    deprecated = replace(light, properties=ThingTypeProperties(), deprecated_at=CREATED_AT)
    await write(store, lambda: thing_type_table.update_thing_type(deprecated))
    assert await store.read(lambda: thing_type_table.thing_type(SCOPE, light.name)) == deprecated
    await write(store, lambda: thing_type_table.delete_thing_type(light))
    assert await turned(store, 2, lambda page: thing_type_table.thing_types(SCOPE, None, page)) == [[heater]]


async def test_thing_types_are_listed_all_or_by_name(store: Store) -> None:
    types = [sample_type(name) for name in ("light", "heater", "fan")]
    await write(store, *(lambda each=each: thing_type_table.insert_thing_type(each) for each in types))

    assert await turned(store, 2, lambda page: thing_type_table.thing_types(SCOPE, None, page)) == [
        types[:2],
        types[2:],
    ]
    assert await turned(store, 2, lambda page: thing_type_table.thing_types(SCOPE, ThingTypeName("fan"), page)) == [
        [types[2]]
    ]
    assert await turned(store, 2, lambda page: thing_type_table.thing_types(OTHER_SCOPE, None, page)) == []


async def test_a_billing_group_comes_back_as_it_was_stored(store: Store) -> None:
    ward = replace(sample_billing_group("ward"), description="pays")
    stored = await write(
        store,
        lambda: billing_group_table.insert_billing_group(ward),
        lambda: billing_group_table.insert_billing_group(sample_billing_group("ward")),
        lambda: billing_group_table.billing_group(SCOPE, ward.name),
        lambda: billing_group_table.billing_group_for_share(SCOPE, ward.name),
        lambda: billing_group_table.billing_group(OTHER_SCOPE, ward.name),
    )
    assert stored == [None, ward, ward, ward, None]

    after = replace(ward, description="", version=2)
    await write(store, lambda: billing_group_table.update_billing_group(after))
    assert await store.read(lambda: billing_group_table.billing_group(SCOPE, ward.name)) == after
    await write(store, lambda: billing_group_table.delete_billing_group(ward))
    assert await store.read(lambda: billing_group_table.billing_group(SCOPE, ward.name)) is None


async def test_billing_groups_are_listed_in_the_order_of_their_names(store: Store) -> None:
    names = ["ward", "Ward", "w:1", "w_1", "w-1", "lab"]
    await write(
        store,
        *(lambda name=name: billing_group_table.insert_billing_group(sample_billing_group(name)) for name in names),
    )

    everything = await turned(store, 4, lambda page: billing_group_table.billing_groups(SCOPE, "", page))
    assert everything == [["Ward", "lab", "w-1", "w:1"], ["w_1", "ward"]]
    assert await turned(store, 9, lambda page: billing_group_table.billing_groups(SCOPE, "w", page)) == [
        ["w-1", "w:1", "w_1", "ward"]
    ]
