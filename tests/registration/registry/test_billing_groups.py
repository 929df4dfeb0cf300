"""Billing groups: created, changed, joined, deleted."""

import pytest
from tests.support.registration.registry import Registry, turned

from thingmint.core.errors import InvalidRequest, ResourceExists, ResourceNotFound, VersionMismatch
from thingmint.core.identifiers import BillingGroupName
from thingmint.core.registry.thing_group import BillingGroup, GroupUpdate
from thingmint.registration.registry import billing_groups

WARD = BillingGroupName("ward")


async def described(registry: Registry) -> BillingGroup:
    return await billing_groups.describe(registry.authority, registry.caller, WARD)


async def update(registry: Registry, wanted: GroupUpdate) -> BillingGroup:
    return await billing_groups.update(registry.authority, registry.caller, WARD, wanted)


async def test_a_group_is_created_once_in_the_same_words(registry: Registry) -> None:
    created = await registry.create_billing_group("ward", "pays")
    before = registry.tables.dump()

    assert await registry.create_billing_group("ward", "pays") == created == await described(registry)

    assert registry.tables.dump() == before
    with pytest.raises(ResourceExists, match="Billing group ward already exists") as refused:
        await registry.create_billing_group("ward", "pays not")
    assert (refused.value.resource_id, refused.value.resource_arn) == (created.group_id, created.arn)


async def test_what_does_not_exist_is_not_found(registry: Registry) -> None:
    await registry.create_thing("lamp")
    for refused in (
        described(registry),
        update(registry, GroupUpdate()),
        registry.billed("ward"),
        registry.bill("ward", "lamp"),
        registry.unbill("ward", "lamp"),
    ):
        with pytest.raises(ResourceNotFound, match=r"^Billing group ward not found$"):
            await refused


async def test_a_missing_thing_belongs_to_no_group(registry: Registry) -> None:
    await registry.create_billing_group("ward")
    for refused in (registry.bill("ward", "lamp"), registry.unbill("ward", "lamp")):
        with pytest.raises(ResourceNotFound, match=r"^Thing lamp not found$"):
            await refused


async def test_an_update_counts(registry: Registry) -> None:
    await registry.create_billing_group("ward", "pays")

    after = await update(registry, GroupUpdate("pays not", expected_version=1))

    assert (after.version, after.description) == (2, "pays not")
    assert after == await described(registry)


async def test_another_version_than_expected_is_neither_updated_nor_deleted(registry: Registry) -> None:
    await registry.create_billing_group("ward")
    before = registry.tables.dump()

    for refused in (update(registry, GroupUpdate(expected_version=2)), registry.delete_billing_group("ward", 2)):
        with pytest.raises(VersionMismatch, match="The group ward has version 1, not 2"):
            await refused

    assert registry.tables.dump() == before


async def test_a_thing_belongs_to_one_group_and_its_version_counts_that(registry: Registry) -> None:
    await registry.create_billing_group("ward")
    await registry.create_billing_group("lab")
    await registry.create_thing("lamp", colour="red")

    await registry.bill("ward", "lamp")
    await registry.bill("ward", "lamp")

    assert await registry.billed("ward") == ["lamp"]
    stored = await registry.thing("lamp")
    assert (stored.billing_group_name, stored.version, stored.attributes.as_dict()) == ("ward", 2, {"colour": "red"})
    with pytest.raises(InvalidRequest, match="Thing lamp belongs to the billing group ward already"):
        await registry.bill("lab", "lamp")
    await registry.unbill("lab", "lamp")
    await registry.unbill("ward", "lamp")
    stored = await registry.thing("lamp")
    assert (stored.billing_group_name, stored.version) == (None, 3)
    assert registry.actions[3:] == ["AddThingToBillingGroup", "RemoveThingFromBillingGroup"]


async def test_a_group_with_things_is_not_deleted(registry: Registry) -> None:
    await registry.create_billing_group("ward")
    await registry.create_thing("lamp", billing="ward")

    with pytest.raises(InvalidRequest, match="things still belong to the billing group ward"):
        await registry.delete_billing_group("ward")

    await registry.delete_thing("lamp")
    await registry.delete_billing_group("ward", 1)
    await registry.delete_billing_group("ward", 1)
    with pytest.raises(ResourceNotFound):
        await described(registry)


async def test_groups_are_listed_by_how_their_names_start(registry: Registry) -> None:
    for name in ("ward", "Ward", "w", "lab", "x"):
        await registry.create_billing_group(name)

    async def names(prefix: str) -> list[list[BillingGroupName]]:
        return await turned(
            2, lambda page: billing_groups.list_billing_groups(registry.authority, registry.caller, prefix, page)
        )

    assert await names("") == [["Ward", "lab"], ["w", "ward"], ["x"]]
    assert await names("w") == [["w", "ward"]]
