"""The tables of things, on both engines."""

from collections.abc import Sequence

import pytest
from tests.support.databases.stores import OTHER_SCOPE, SCOPE
from tests.support.registration.things import next_version, sample_thing, turned, write

from thingmint.core.identifiers import BillingGroupName, Scope, ThingName, ThingTypeName
from thingmint.core.registry.thing import Thing
from thingmint.core.registry.thing_filter import AttributeFilter, ThingFilter
from thingmint.records.registry import things as thing_table
from thingmint.registration.kernel.ports import Store

LAMP = sample_thing("lamp", "light", billing="ward", colour="red", wattage="60")


async def insert(store: Store, *things: Thing) -> None:
    await write(store, *(lambda thing=thing: thing_table.insert_thing(thing) for thing in things))


async def fetch(store: Store, name: str, scope: Scope = SCOPE) -> Thing | None:
    return await store.read(lambda: thing_table.thing(scope, ThingName(name)))


async def listed(store: Store, wanted: ThingFilter, size: int = 2, scope: Scope = SCOPE) -> list[list[str]]:
    pages = await turned(store, size, lambda page: thing_table.things(scope, wanted, page))
    return [[thing.name for thing in page] for page in pages]


def of_type(name: str) -> ThingFilter:
    return ThingFilter(ThingTypeName(name))


def with_attribute(name: str, value: str, type_name: str | None = None, *, is_prefix: bool = False) -> ThingFilter:
    return ThingFilter(None if type_name is None else ThingTypeName(type_name), AttributeFilter(name, value, is_prefix))


@pytest.mark.parametrize("thing", [LAMP, sample_thing("bare")], ids=["full", "bare"])
async def test_a_thing_comes_back_as_it_was_stored(store: Store, thing: Thing) -> None:
    await insert(store, thing)

    assert await fetch(store, thing.name) == thing
    assert (await write(store, lambda: thing_table.thing_for_update(SCOPE, thing.name))) == [thing]
    assert await fetch(store, thing.name, OTHER_SCOPE) is None


async def test_a_taken_name_changes_nothing_and_tells_who_has_it(store: Store) -> None:
    other = sample_thing("lamp", colour="blue")

    assert await write(store, lambda: thing_table.insert_thing(LAMP), lambda: thing_table.insert_thing(other)) == [
        None,
        LAMP,
    ]

    assert await fetch(store, "lamp") == LAMP
    assert await listed(store, with_attribute("colour", "blue")) == []


async def test_a_name_is_free_in_another_region(store: Store) -> None:
    elsewhere = sample_thing("lamp", scope=OTHER_SCOPE)
    await insert(store, LAMP, elsewhere)

    assert await fetch(store, "lamp", OTHER_SCOPE) == elsewhere
    assert await listed(store, ThingFilter(), scope=OTHER_SCOPE) == [["lamp"]]
    assert await listed(store, with_attribute("colour", "red"), scope=OTHER_SCOPE) == []


async def test_an_updated_thing_is_found_by_what_it_has_now(store: Store) -> None:
    await insert(store, LAMP)

    await write(store, lambda: thing_table.update_thing(next_version(LAMP, colour="blue")))

    assert await fetch(store, "lamp") == next_version(LAMP, colour="blue")
    assert await listed(store, with_attribute("colour", "red")) == []
    assert await listed(store, with_attribute("wattage", "60")) == []
    assert await listed(store, with_attribute("colour", "blue", "light")) == [["lamp"]]


async def test_a_deleted_thing_is_found_by_nothing(store: Store) -> None:
    await insert(store, LAMP, sample_thing("other", "light", colour="red"))

    await write(store, lambda: thing_table.delete_thing(LAMP))

    assert await fetch(store, "lamp") is None
    for wanted in (ThingFilter(), of_type("light"), with_attribute("colour", "red")):
        assert await listed(store, wanted) == [["other"]]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ThingFilter(), [["a", "b"], ["c", "d"], ["e"]]),
        (of_type("light"), [["a", "c"], ["e"]]),
        (of_type("Light"), []),
        (with_attribute("colour", "red"), [["a", "b"], ["c"]]),
        (with_attribute("colour", "red", "light"), [["a", "c"]]),
        (with_attribute("colour", "re"), []),
        (with_attribute("colour", "red", "heater"), [["b"]]),
        (with_attribute("colour", "re", is_prefix=True), [["a", "b"], ["c", "d"]]),
        (with_attribute("colour", "re", "light", is_prefix=True), [["a", "c"]]),
        # An upper-case letter stands before a lower-case one: the order is that of bytes in every database.
        (with_attribute("colour", "", is_prefix=True), [["e", "a"], ["b", "c"], ["d"]]),
        (with_attribute("colour", "", "light", is_prefix=True), [["e", "a"], ["c"]]),
        (with_attribute("Colour", "", is_prefix=True), []),
    ],
)
async def test_lists_hold_what_their_filters_say(store: Store, wanted: ThingFilter, expected: Sequence[object]) -> None:
    await insert(
        store,
        sample_thing("a", "light", colour="red"),
        sample_thing("b", "heater", colour="red"),
        sample_thing("c", "light", colour="red"),
        sample_thing("d", colour="reddish"),
        sample_thing("e", "light", colour="Red"),
        sample_thing("f", scope=OTHER_SCOPE, colour="red"),
    )

    assert await listed(store, wanted) == expected


async def test_a_billing_group_lists_its_things(store: Store) -> None:
    await insert(store, *(sample_thing(name, billing=name[:1]) for name in ("a1", "b1", "a2", "a3")))

    pages = await turned(store, 2, lambda page: thing_table.things_in_billing_group(SCOPE, BillingGroupName("a"), page))

    assert pages == [["a1", "a2"], ["a3"]]
