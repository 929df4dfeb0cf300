"""Things: what is recorded, what is refused, and what is left alone then."""

from dataclasses import replace

import pytest
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW, Listener
from tests.support.registration.registry import Registry, turned

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.errors import InvalidRequest, ResourceExists, ResourceNotFound, ServiceUnavailable, VersionMismatch
from thingmint.core.identifiers import Region, ThingName, ThingTypeName
from thingmint.core.registry.thing_filter import AttributeFilter, ThingFilter
from thingmint.registration.registry import things

ARN = "arn:aws:iot:eu-west-1:123456789012:thing/lamp"


def heard(registry: Registry) -> list[AuditEntry]:
    assert isinstance(registry.authority.events, Listener)
    return registry.authority.events.entries


def touched(registry: Registry) -> set[object]:
    return {resource for (resource,) in registry.tables.rows("registry_change", "resource")}


async def test_a_created_thing_is_recorded_and_told_of(registry: Registry) -> None:
    created = await registry.create_thing("lamp", colour="red")

    assert created == await registry.thing("lamp")
    assert (created.arn, created.version, created.created_at) == (ARN, 1, NOW)
    assert [(entry.action, entry.resource) for entry in registry.tables.audit] == [("CreateThing", ARN)]
    assert heard(registry) == registry.tables.audit
    assert touched(registry) == {ARN}


async def test_creating_a_thing_again_in_the_same_words_changes_nothing(registry: Registry) -> None:
    created = await registry.create_thing("lamp", colour="red")
    before = registry.tables.dump()

    assert await registry.create_thing("lamp", colour="red") == created

    assert registry.tables.dump() == before


async def test_a_name_is_taken_by_a_thing_with_other_attributes(registry: Registry) -> None:
    created = await registry.create_thing("lamp", colour="red")
    before = registry.tables.dump()

    with pytest.raises(ResourceExists, match=r"^Thing lamp already exists in account with different attributes$") as e:
        await registry.create_thing("lamp", colour="blue")

    assert (e.value.resource_id, e.value.resource_arn) == (created.thing_id, ARN)
    assert registry.tables.dump() == before


async def test_a_thing_may_be_created_with_a_type_and_a_billing_group(registry: Registry) -> None:
    await registry.create_type("light")
    await registry.create_billing_group("ward")

    await registry.create_thing("lamp", "light", billing="ward")

    stored = await registry.thing("lamp")
    assert (stored.type_name, stored.billing_group_name) == ("light", "ward")


async def test_a_type_and_a_billing_group_must_exist(registry: Registry) -> None:
    before = registry.tables.dump()

    with pytest.raises(ResourceNotFound, match="Thing type light not found"):
        await registry.create_thing("lamp", "light")
    with pytest.raises(ResourceNotFound, match="Billing group ward not found"):
        await registry.create_thing("lamp", billing="ward")

    assert registry.tables.dump() == before


async def test_no_new_thing_has_a_deprecated_type(registry: Registry) -> None:
    await registry.create_type("light")
    await registry.create_thing("old", "light")
    await registry.create_thing("bare")
    await registry.deprecate_type("light")

    for refused in (registry.create_thing("lamp", "light"), registry.update_thing("bare", "light")):
        with pytest.raises(InvalidRequest, match="deprecated thing type light"):
            await refused
    # What had it before keeps it, is updated, and may be asked for again.
    await registry.create_thing("old", "light")
    await registry.update_thing("old", "light", colour="red")
    assert (await registry.thing("old")).type_name == "light"


async def test_attributes_without_a_type_are_three_at_most(registry: Registry) -> None:
    four = {f"a{number}": "1" for number in range(4)}
    await registry.create_type("light")

    with pytest.raises(InvalidRequest, match="without a thing type has at most 3 attributes"):
        await registry.create_thing("lamp", attributes=four)
    await registry.create_thing("lamp", "light", attributes=four)
    with pytest.raises(InvalidRequest, match="without a thing type has at most 3 attributes"):
        await registry.update_thing("lamp", remove_type=True)

    assert (await registry.thing("lamp")).type_name == "light"


async def test_a_missing_thing_is_not_found(registry: Registry) -> None:
    for refused in (registry.thing("lamp"), registry.update_thing("lamp")):
        with pytest.raises(ResourceNotFound, match=r"^Thing lamp not found$"):
            await refused


async def test_a_thing_of_another_region_is_not_found(registry: Registry) -> None:
    await registry.create_thing("lamp")
    elsewhere = Registry(registry.authority, replace(registry.caller, region=Region("us-east-1")))

    with pytest.raises(ResourceNotFound):
        await elsewhere.thing("lamp")
    await elsewhere.delete_thing("lamp")

    assert (await registry.thing("lamp")).name == "lamp"


async def test_updates_count_versions_and_are_recorded(registry: Registry) -> None:
    await registry.create_thing("lamp", colour="red")

    await registry.update_thing("lamp", expected=1, wattage="60")
    await registry.update_thing("lamp", expected=2, colour="")

    stored = await registry.thing("lamp")
    assert (stored.version, stored.attributes.as_dict()) == (3, {"wattage": "60"})
    assert [(entry.action, entry.detail) for entry in heard(registry)[1:]] == [
        ("UpdateThing", {"version": "2"}),
        ("UpdateThing", {"version": "3"}),
    ]


async def test_another_version_than_expected_is_neither_updated_nor_deleted(registry: Registry) -> None:
    await registry.create_thing("lamp")
    before = registry.tables.dump()

    for refused in (registry.update_thing("lamp", expected=2), registry.delete_thing("lamp", 2)):
        with pytest.raises(VersionMismatch, match="The thing lamp has version 1, not 2"):
            await refused

    assert registry.tables.dump() == before


async def test_a_deleted_thing_leaves_nothing_behind(registry: Registry) -> None:
    await registry.create_group("lamps")
    await registry.create_thing("lamp", colour="red")
    await registry.join("lamps", "lamp")

    await registry.delete_thing("lamp", 1)

    assert await registry.members("lamps") == []
    tables = registry.tables
    assert [tables.rows(table) for table in ("thing", "thing_attribute", "thing_group_member")] == [[], [], []]
    assert heard(registry)[-1].action == "DeleteThing"


async def test_deleting_what_does_not_exist_changes_nothing(registry: Registry) -> None:
    before = registry.tables.dump()

    await registry.delete_thing("lamp", 7)

    assert registry.tables.dump() == before


async def test_a_thing_with_a_principal_is_not_deleted(registry: Registry) -> None:
    await registry.create_thing("lamp")
    certificate = await registry.certificate()
    await registry.attach("lamp", certificate.arn)

    with pytest.raises(
        InvalidRequest, match=r"^Cannot delete. Thing lamp is still attached to one or more principals$"
    ):
        await registry.delete_thing("lamp")

    await registry.detach("lamp", certificate.arn)
    await registry.delete_thing("lamp")


async def test_things_are_listed_by_type_and_attribute(registry: Registry) -> None:
    await registry.create_type("light")
    for number in range(3):
        await registry.create_thing(f"lamp-{number}", "light", colour="red")
    await registry.create_thing("other", colour="reddish")
    red = AttributeFilter("colour", "red", is_prefix=True)

    async def names(wanted: ThingFilter) -> list[list[ThingName]]:
        pages = await turned(2, lambda page: things.list_things(registry.authority, registry.caller, wanted, page))
        return [[thing.name for thing in page] for page in pages]

    assert await names(ThingFilter()) == [["lamp-0", "lamp-1"], ["lamp-2", "other"]]
    assert await names(ThingFilter(attribute=red)) == [["lamp-0", "lamp-1"], ["lamp-2", "other"]]
    assert await names(ThingFilter(ThingTypeName("light"), red)) == [["lamp-0", "lamp-1"], ["lamp-2"]]


async def test_a_thing_whose_commit_is_lost_was_never_told_of(registry: Registry) -> None:
    assert isinstance(registry.store, MemoryStore)
    registry.store.lose_commit_with = ServiceUnavailable()

    with pytest.raises(ServiceUnavailable):
        await registry.create_thing("lamp")

    assert heard(registry) == []
    assert registry.tables.rows("thing") == []
