"""When a node declares another one lost: only after it has watched it without a pause."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.databases.stores import Timings
from tests.support.services.logged import capture_logs

from thingmint.host.service_log import service_log
from thingmint.registration.kernel.ports import Store
from thingmint.service.nodes.membership import (
    BEAT_SECONDS,
    CROSSES_NOT,
    LOST_AFTER_SECONDS,
    Membership,
    NodeDescription,
)
from thingmint.storage import open_store


@dataclass
class Stopwatch:
    """A clock that the test sets; ``step`` is how far it goes on whenever it is asked."""

    seconds: float = 0.0
    step: float = 0.0

    def __call__(self) -> float:
        self.seconds += self.step
        return self.seconds


@dataclass
class Member:
    """One node."""

    membership: Membership
    watch: Stopwatch
    counts: list[int] = field(default_factory=list)

    async def beat_for(self, seconds: float) -> bool:
        """Heartbeat each second, and return whether this node removed another one."""
        removed = False
        for _ in range(int(seconds / BEAT_SECONDS)):
            self.watch.seconds += BEAT_SECONDS
            await self.membership.heartbeat(0)
            removed = await self.membership.remove_lost() or removed
        return removed


@pytest.fixture
async def store(migrated_postgresql_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(migrated_postgresql_url, tmp_path, observe=Timings())
    yield opened
    await opened.close()


async def joined(store: Store, name: str, settings: str = "{}", data_plane: str = "local") -> Member:
    """Return a node that has joined, and did not wait long for the others to notice."""
    watch, counts = Stopwatch(step=1.0), list[int]()
    description = NodeDescription(name, "1", data_plane, settings)
    membership = Membership(store, description, lambda: name, service_log, counts.append, watch)
    await membership.join()
    # What it has seen while it joined counts for nothing.
    watch.step, watch.seconds = 0.0, watch.seconds + 60
    return Member(membership, watch, counts)


async def test_a_silent_node_is_removed_by_one_that_has_watched_it_for_long_enough(store: Store) -> None:
    await joined(store, "silent")
    one = await joined(store, "one")
    assert not await one.beat_for(LOST_AFTER_SECONDS)
    assert [each.name for each in one.membership.others] == ["silent"]
    with capture_logs() as logged:
        assert await one.beat_for(2 * BEAT_SECONDS)
    assert [(each["event"], each["node"]) for each in logged] == [
        ("another node is lost: its connections are given up", "silent")
    ]
    await one.beat_for(BEAT_SECONDS)
    assert one.membership.others == ()
    assert one.counts[-1] == 1


async def test_a_pause_makes_worthless_what_was_seen_before(store: Store) -> None:
    silent = await joined(store, "silent")
    one = await joined(store, "one")
    await one.beat_for(LOST_AFTER_SECONDS)
    # The database was away, or this node was frozen: the others may have been, too.
    one.watch.seconds += 60
    assert not await one.beat_for(LOST_AFTER_SECONDS)
    await silent.beat_for(BEAT_SECONDS)
    assert not await one.beat_for(LOST_AFTER_SECONDS)
    assert (await silent.membership.heartbeat(0)).is_member


async def test_a_node_that_was_removed_learns_it_and_joins_again(store: Store) -> None:
    lost = await joined(store, "lost")
    one = await joined(store, "one")
    assert await one.beat_for(LOST_AFTER_SECONDS + 2 * BEAT_SECONDS)
    assert not (await lost.membership.heartbeat(0)).is_member
    lost.watch.step = 1.0
    await lost.membership.join()
    found = await lost.membership.heartbeat(0)
    assert (found.is_member, found.is_marked, len(found.nodes)) == (True, True, 2)
    await lost.membership.leave()
    await one.beat_for(BEAT_SECONDS)
    assert one.membership.others == ()


async def test_what_differs_and_what_does_not_cross_is_told_once(store: Store) -> None:
    await joined(store, "other", '{"account": "1", "region": "a"}')
    with capture_logs() as logged:
        one = await joined(store, "one", '{"account": "2", "region": "a"}')
        await one.beat_for(3 * BEAT_SECONDS)
    told = [(each["event"].partition(":")[0], each.get("settings")) for each in logged]
    assert told == [
        ("another node serves this database", None),
        (CROSSES_NOT.partition(":")[0], None),
        ("a node has other settings than this one", ["account"]),
    ]


async def test_nodes_before_one_broker_do_not_warn_of_messages(store: Store) -> None:
    await joined(store, "other", data_plane="tcp:localhost:1883")
    with capture_logs() as logged:
        await joined(store, "one", data_plane="tcp:localhost:1883")
    assert [each["event"] for each in logged] == ["another node serves this database"]
