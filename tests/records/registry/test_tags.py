"""Tags on both engines, and conflicting changes of them at the same time."""

import asyncio

from tests.support.registration.registry import Registry, registry_on

from thingmint.core.errors import LimitExceeded, ResourceNotFound
from thingmint.core.registry.tag import TaggableKind, taggable
from thingmint.records.registry import tags as tag_table
from thingmint.registration.kernel import tags
from thingmint.registration.kernel.ports import Store

OURS = "arn:aws:iot:eu-west-1:123456789012"
GROUP = f"{OURS}:billinggroup/hall"


async def tag(registry: Registry, *keys: str, value: str = "") -> None:
    await tags.tag(registry.authority, registry.caller, GROUP, dict.fromkeys(keys, value))


async def tags_of(registry: Registry) -> dict[str, str]:
    return dict(await tags.list_tags(registry.authority, registry.caller, GROUP))


async def test_tags_are_in_the_order_of_their_keys_whatever_the_language(store: Store) -> None:
    registry = registry_on(store)
    await registry.create_billing_group("hall", tags={"b": "1", "ä": "2", "B": "3", "_": "4", "a b": "5"})
    await tag(registry, "b", value="6")

    assert list((await tags_of(registry)).items()) == [("B", "3"), ("_", "4"), ("a b", "5"), ("b", "6"), ("ä", "2")]


async def test_a_resource_of_each_kind_can_be_looked_for_and_held(store: Store) -> None:
    scope = registry_on(store).caller.scope
    for kind in TaggableKind:
        resource = taggable(scope, f"{OURS}:{kind}/none")
        assert resource is not None
        assert not await store.read(lambda: tag_table.has_taggable(resource))  # noqa: B023  awaited here
        assert not await store.write(lambda: tag_table.hold_taggable(resource))  # noqa: B023  awaited here


async def test_two_that_fill_the_last_place_do_not_both_succeed(store: Store) -> None:
    registry = registry_on(store)
    await registry.create_billing_group("hall", tags={f"key-{number}": "" for number in range(49)})

    outcomes = await asyncio.gather(*(tag(registry, f"new-{number}") for number in range(4)), return_exceptions=True)

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LimitExceeded"] * 3 + ["NoneType"]
    assert any(isinstance(outcome, LimitExceeded) for outcome in outcomes)
    assert len(await tags_of(registry)) == 50


async def test_a_resource_deleted_while_it_is_tagged_leaves_no_tag(store: Store) -> None:
    registry = registry_on(store)
    for _ in range(8):
        await registry.create_billing_group("hall")
        outcomes = await asyncio.gather(
            tag(registry, "a"), registry.delete_billing_group("hall"), tag(registry, "b"), return_exceptions=True
        )
        assert all(outcome is None or isinstance(outcome, ResourceNotFound) for outcome in outcomes)
        assert await tags.stored_tags(store, GROUP) == {}
