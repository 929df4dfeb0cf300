"""Thing types: created, changed, deprecated and deleted."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from msgspec import structs
from tests.support.registration.authority import NOW
from tests.support.registration.registry import Registry, turned

from thingmint.core.errors import InvalidRequest, ResourceExists, ResourceNotFound
from thingmint.core.identifiers import ThingTypeName
from thingmint.core.registry.thing_type import PropagatingAttribute, ThingType, ThingTypeUpdate
from thingmint.registration.registry import thing_types

LIGHT = ThingTypeName("light")


class LaterClock:
    """A clock that stands still at a later time."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return NOW + self._by


def after(registry: Registry, **by: float) -> Registry:
    return Registry(structs.replace(registry.authority, clock=LaterClock(timedelta(**by))), registry.caller)


async def described(registry: Registry) -> ThingType:
    return await thing_types.describe(registry.authority, registry.caller, LIGHT)


async def update(registry: Registry, requested: ThingTypeUpdate) -> None:
    await thing_types.update(registry.authority, registry.caller, LIGHT, requested)


async def test_a_type_is_created_once_in_the_same_words(registry: Registry) -> None:
    created = await registry.create_type("light", "wattage")
    before = registry.tables.dump()

    assert await registry.create_type("light", "wattage") == created == await described(registry)

    assert registry.tables.dump() == before
    assert registry.actions == ["CreateThingType"]


async def test_a_name_is_taken_by_a_type_with_other_properties(registry: Registry) -> None:
    created = await registry.create_type("light", "wattage")

    with pytest.raises(ResourceExists, match="Thing type light already exists") as refused:
        await registry.create_type("light", "colour")

    assert (refused.value.resource_id, refused.value.resource_arn) == (created.type_id, created.arn)


async def test_what_does_not_exist_is_not_found(registry: Registry) -> None:
    for refused in (
        described(registry),
        update(registry, ThingTypeUpdate()),
        registry.deprecate_type("light"),
        registry.delete_type("light"),
    ):
        with pytest.raises(ResourceNotFound, match=r"^Thing type light not found$"):
            await refused


async def test_an_update_changes_the_propagating_attributes_and_nothing_else(registry: Registry) -> None:
    await registry.create_type("light", "wattage", "colour")
    before = (await described(registry)).properties
    propagating = (PropagatingAttribute("w", thing_attribute="wattage"),)

    await update(registry, ThingTypeUpdate(propagating_attributes=propagating))
    for same in (
        ThingTypeUpdate(),
        ThingTypeUpdate(description=before.description),
        ThingTypeUpdate(searchable_attributes=("colour", "wattage")),
    ):
        await update(registry, same)

    assert (await described(registry)).properties == replace(before, propagating_attributes=propagating)
    assert registry.actions == ["CreateThingType", "UpdateThingType"]
    for other in (
        ThingTypeUpdate(description="another"),
        ThingTypeUpdate(searchable_attributes=("colour",)),
        ThingTypeUpdate(searchable_attributes=()),
        ThingTypeUpdate("another", propagating_attributes=()),
    ):
        with pytest.raises(InvalidRequest, match=r"^Can only update mqtt5Configuration\.$"):
            await update(registry, other)
    assert (await described(registry)).properties.propagating_attributes == propagating
    await update(registry, ThingTypeUpdate(propagating_attributes=()))
    assert (await described(registry)).properties == before


async def test_a_deprecation_keeps_its_date_and_can_be_undone(registry: Registry) -> None:
    await registry.create_type("light")

    await registry.deprecate_type("light")
    await after(registry, days=1).deprecate_type("light")
    assert (await described(registry)).deprecated_at == NOW
    await registry.deprecate_type("light", undo=True)
    await registry.deprecate_type("light", undo=True)

    assert (await described(registry)).deprecated_at is None
    assert registry.actions == ["CreateThingType", "DeprecateThingType", "DeprecateThingType"]


async def test_a_type_is_deleted_five_minutes_after_its_deprecation(registry: Registry) -> None:
    await registry.create_type("light")
    with pytest.raises(InvalidRequest, match="must be deprecated before deletion"):
        await registry.delete_type("light")
    await registry.deprecate_type("light")
    with pytest.raises(InvalidRequest, match="Please wait for 5 minutes after deprecation and then retry"):
        await after(registry, seconds=299).delete_type("light")

    await after(registry, seconds=300).delete_type("light")

    with pytest.raises(ResourceNotFound):
        await described(registry)
    assert registry.actions[-1] == "DeleteThingType"


async def test_the_wait_before_deletion_is_the_operators_choice(registry: Registry) -> None:
    impatient = Registry(structs.replace(registry.authority, thing_type_deletable_after=timedelta(0)), registry.caller)
    await impatient.create_type("light")
    await impatient.deprecate_type("light")

    await impatient.delete_type("light")

    with pytest.raises(ResourceNotFound):
        await described(impatient)


async def test_a_type_that_a_thing_has_is_not_deleted(registry: Registry) -> None:
    await registry.create_type("light")
    await registry.create_thing("lamp", "light")
    await registry.deprecate_type("light")
    later = after(registry, hours=1)

    with pytest.raises(InvalidRequest, match="Thing type light is still associated with one or more things"):
        await later.delete_type("light")

    await registry.update_thing("lamp", remove_type=True)
    await later.delete_type("light")


async def test_types_are_listed_all_or_by_name(registry: Registry) -> None:
    for name in ("light", "heater", "fan"):
        await registry.create_type(name)

    async def names(wanted: ThingTypeName | None) -> list[list[str]]:
        pages = await turned(
            2, lambda page: thing_types.list_thing_types(registry.authority, registry.caller, wanted, page)
        )
        return [[thing_type.name for thing_type in page] for page in pages]

    assert await names(None) == [["light", "heater"], ["fan"]]
    assert await names(LIGHT) == [["light"]]
    assert await names(ThingTypeName("none")) == [[]]
