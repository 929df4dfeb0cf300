"""Tags of what is registered: set with it, changed beside it, gone with it."""

import pytest
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import Listener
from tests.support.registration.registry import Registry, registry_on

from thingmint.core.errors import InvalidRequest, LimitExceeded, ResourceNotFound, ServiceUnavailable
from thingmint.registration.kernel import tags
from thingmint.registration.kernel.tags import stored_tags

OURS = "arn:aws:iot:eu-west-1:123456789012"
GROUP = f"{OURS}:billinggroup/hall"
FULL = {f"key-{number}": str(number) for number in range(50)}


@pytest.fixture
def registry(store: MemoryStore) -> Registry:
    return registry_on(store)


async def tags_of(registry: Registry, arn: str = GROUP) -> dict[str, str]:
    return dict(await tags.list_tags(registry.authority, registry.caller, arn))


async def tag(registry: Registry, values: dict[str, str], arn: str = GROUP) -> None:
    await tags.tag(registry.authority, registry.caller, arn, values)


async def untag(registry: Registry, *keys: str, arn: str = GROUP) -> None:
    await tags.untag(registry.authority, registry.caller, arn, keys)


async def test_tags_are_added_changed_and_taken_away(registry: Registry) -> None:
    await registry.create_billing_group("hall", tags={"b": "1", "a": "2"})
    assert list((await tags_of(registry)).items()) == [("a", "2"), ("b", "1")]

    await tag(registry, {"b": "3", "c": ""})
    assert await tags_of(registry) == {"a": "2", "b": "3", "c": ""}

    await untag(registry, "a", "b", "unknown")
    assert await tags_of(registry) == {"c": ""}
    assert await stored_tags(registry.store, GROUP) == {"c": ""}


async def test_every_change_is_in_the_audit_trail_without_values(registry: Registry, store: MemoryStore) -> None:
    await registry.create_billing_group("hall")
    await tag(registry, {"line": "7", "hall": "B"})
    await untag(registry, "line")

    assert [(entry.action, entry.resource, entry.detail) for entry in store.tables.audit[1:]] == [
        ("TagResource", GROUP, {"keys": "line,hall"}),
        ("UntagResource", GROUP, {"keys": "line"}),
    ]
    assert isinstance(registry.authority.events, Listener)
    assert registry.authority.events.entries == store.tables.audit


async def test_what_is_created_again_in_the_same_words_keeps_its_tags(registry: Registry) -> None:
    await registry.create_billing_group("hall", tags={"line": "7"})
    await registry.create_billing_group("hall", tags={"line": "8"})
    await registry.create_type("lamp", tags={"line": "7"})
    await registry.create_type("lamp", tags={"line": "8"})

    assert await tags_of(registry) == {"line": "7"}
    assert await tags_of(registry, f"{OURS}:thingtype/lamp") == {"line": "7"}


async def test_what_is_deleted_takes_its_tags_with_it(registry: Registry, store: MemoryStore) -> None:
    await registry.create_billing_group("hall", tags={"line": "7"})
    await registry.create_group("hall", tags={"line": "7"})
    await registry.create_group("other", tags={"line": "9"})
    await registry.delete_billing_group("hall")
    await registry.delete_group("hall")

    assert [tuple(row) for row in store.tables.rows("tag")] == [(f"{OURS}:thinggroup/other", "line", "9")]


async def test_a_resource_has_at_most_fifty_tags(registry: Registry) -> None:
    await registry.create_billing_group("hall", tags=FULL)
    await tag(registry, {"key-0": "changed"})
    with pytest.raises(LimitExceeded):
        await tag(registry, {"key-0": "again", "one-more": ""})
    assert await tags_of(registry) == {**FULL, "key-0": "changed"}

    with pytest.raises(InvalidRequest):
        await registry.create_billing_group("other", tags={**FULL, "one-more": ""})
    with pytest.raises(ResourceNotFound):
        await tags_of(registry, f"{OURS}:billinggroup/other")


@pytest.mark.parametrize(
    "arn",
    [
        f"{OURS}:billinggroup/none",
        f"{OURS}:cacert/{'ab' * 32}",
        "arn:aws:iot:eu-west-1:210987654321:billinggroup/hall",
        "arn:aws:iot:eu-west-2:123456789012:billinggroup/hall",
    ],
)
async def test_what_the_registry_does_not_hold_has_no_tags(registry: Registry, store: MemoryStore, arn: str) -> None:
    await registry.create_billing_group("hall")
    before = store.tables.dump()
    for call in (tag(registry, {"a": ""}, arn), untag(registry, "a", arn=arn)):
        with pytest.raises(ResourceNotFound):
            await call
    with pytest.raises(ResourceNotFound):
        await tags_of(registry, arn)
    assert store.tables.dump() == before


async def test_things_and_certificates_cannot_be_tagged(registry: Registry) -> None:
    await registry.create_thing("lamp")
    for arn in (f"{OURS}:thing/lamp", (await registry.certificate()).arn):
        with pytest.raises(InvalidRequest, match="has no tags"):
            await tag(registry, {"a": ""}, arn)


async def test_a_lost_commit_changes_no_tag(registry: Registry, store: MemoryStore) -> None:
    await registry.create_billing_group("hall", tags={"a": "1"})
    before, store.lose_commit_with = store.tables.dump(), ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await tag(registry, {"a": "2"})
    with pytest.raises(ServiceUnavailable):
        await untag(registry, "a")
    assert store.tables.dump() == before
