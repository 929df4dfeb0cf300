"""Which decisions a change makes untrue: all that depend on it and no other, even if it comes while one is read."""

from collections.abc import Callable
from typing import TypeVar

import pytest
from tests.support.databases.memory_store import MemoryStore

from thingmint.core.errors import ServiceUnavailable
from thingmint.records import changes as change_table
from thingmint.records.steps import Program
from thingmint.registration.kernel.change_watch import ChangeWatch
from thingmint.registration.kernel.changes import changes_from

T = TypeVar("T")

WATCHED = frozenset({"certificate", "group"})


async def started(store: MemoryStore) -> ChangeWatch[str]:
    watch = ChangeWatch[str](store)
    assert await watch.changed_keys() == frozenset()
    return watch


async def change(store: MemoryStore, *resources: str) -> None:
    for resource in resources:
        await store.write(lambda resource=resource: change_table.record_change(resource))  # type: ignore[misc]  # mypy cannot infer a lambda with a default


async def watched(watch: ChangeWatch[str], key: str, resources: frozenset[str] = WATCHED) -> None:
    async def reading() -> tuple[str, frozenset[str]]:
        return f"read for {key}", resources

    assert await watch.read(key, reading) == f"read for {key}"


async def test_a_change_is_told_for_all_that_depends_on_it_once(store: MemoryStore) -> None:
    watch = await started(store)
    await watched(watch, "a")
    await watched(watch, "b", frozenset({"group"}))
    await watched(watch, "c", frozenset({"other"}))
    await change(store, "group", "unwatched")
    assert await watch.changed_keys() == {"a", "b"}
    assert await watch.changed_keys() == frozenset()
    await change(store, "certificate", "other")
    assert await watch.changed_keys() == {"a", "c"}


async def test_what_is_read_anew_depends_on_what_it_names_now(store: MemoryStore) -> None:
    watch = await started(store)
    await watched(watch, "a")
    await watched(watch, "a", frozenset({"certificate", "policy"}))
    await change(store, "group")
    assert await watch.changed_keys() == frozenset()
    await change(store, "policy")
    assert await watch.changed_keys() == {"a"}


async def test_what_is_forgotten_is_told_no_more(store: MemoryStore) -> None:
    watch = await started(store)
    await watched(watch, "a")
    await watched(watch, "b", frozenset({"group"}))
    watch.forget("a")
    watch.forget("never known")
    await change(store, *WATCHED)
    assert await watch.changed_keys() == {"b"}


async def test_the_first_answer_is_all_that_was_read_before_it(store: MemoryStore) -> None:
    watch = ChangeWatch[str](store)
    await watched(watch, "a")
    assert await watch.changed_keys() == {"a"}
    assert not watch.knows_changes


async def test_a_watch_that_begins_anew_tells_of_everything_once(store: MemoryStore) -> None:
    watch = await started(store)
    await watched(watch, "a")
    assert await watch.changed_keys() == frozenset()
    known = [watch.knows_changes]
    watch.begin_anew()
    assert await watch.changed_keys() == {"a"}
    assert [*known, watch.knows_changes] == [True, False]
    assert await watch.changed_keys() == frozenset()


class Interrupted(MemoryStore):
    """A store during whose reads something happens."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], None] = lambda: None

    async def read(self, program: Program[T]) -> T:
        found = await super().read(program)
        self.meanwhile()
        return found


async def test_a_new_beginning_during_a_look_is_not_lost_nor_one_that_fails() -> None:
    store = Interrupted()
    watch = await started(store)
    await watched(watch, "a")
    store.meanwhile = watch.begin_anew
    assert await watch.changed_keys() == frozenset()
    store.refuse_with = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await watch.changed_keys()
    store.refuse_with, store.meanwhile = None, lambda: None
    assert await watch.changed_keys() == {"a"}
    assert await watch.changed_keys() == frozenset()


async def test_a_stamp_of_another_server_is_worth_nothing(store: MemoryStore) -> None:
    first = await changes_from(store, None)
    assert (await changes_from(store, first.stamp, first.server)).resources == frozenset()
    assert (await changes_from(store, first.stamp, first.server + 1)).resources is None


async def test_what_comes_to_light_while_something_is_read_is_read_again(store: MemoryStore) -> None:
    watch = await started(store)
    reads: list[int] = []

    async def reading() -> tuple[int, frozenset[str]]:
        reads.append(len(reads))
        if len(reads) == 1:
            # The snapshot is taken; now the change is made, and the feed is asked before this read is remembered.
            await change(store, "group")
            assert await watch.changed_keys() == frozenset()
        return reads[-1], WATCHED

    assert await watch.read("a", reading) == 1


async def test_a_read_is_not_repeated_while_nothing_changes(store: MemoryStore) -> None:
    watch = await started(store)

    async def reading() -> tuple[int, frozenset[str]]:
        assert await watch.changed_keys() == frozenset()
        return 1, WATCHED

    assert await watch.read("a", reading) == 1


async def test_a_store_that_was_away_misses_nothing(store: MemoryStore) -> None:
    watch = await started(store)
    await watched(watch, "a")
    await change(store, "group")
    store.refuse_with = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await watch.changed_keys()
    store.refuse_with = None
    assert await watch.changed_keys() == {"a"}


async def test_a_restored_backup_is_told_for_everything(store: MemoryStore) -> None:
    await change(store, "group")
    watch = await started(store)
    await watched(watch, "a")
    store.execute("DELETE FROM registry_change")
    assert await watch.changed_keys() == {"a"}


async def test_what_few_depend_on_comes_first(store: MemoryStore) -> None:
    watch = await started(store)
    for number in range(20):
        await watched(watch, f"device {number}", frozenset({f"certificate {number}", "policy"}))
    await change(store, "policy", "certificate 13")
    changed = list(await watch.changed_keys())
    assert changed[0] == "device 13"
    assert len(changed) == 20
