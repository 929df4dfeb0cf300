"""Owns how a gateway hears that something which decides over its devices has changed; knows neither SQL nor MQTT.

A change notes the resources it touches in its own transaction (`mutation.Change.touched`), so there is no change
without its note and no note without its change. A reader that asks from the returned stamp on gets every change
that was committed since, on any number of nodes: perhaps twice, never not at all.

`ChangeWatch` keeps track of what depends on which resource.
"""

from __future__ import annotations

from dataclasses import dataclass

from thingmint.records import changes as change_table
from thingmint.registration.kernel.ports import Store

# More than that at once is told as "anything": looking everything up again is then the cheaper answer.
MAX_RESOURCES = 10_000
_FROM_NOW_ON = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Changes:
    """From which stamp to ask next, and the ARNs of what changed; None where anything may have."""

    stamp: int
    resources: frozenset[str] | None


async def changes_from(store: Store, stamp: int | None) -> Changes:
    """Return what changed from the stamp on; without a stamp, the one to begin with.

    Raises ServiceUnavailable if the store cannot be asked: decisions should not be trusted for long then.
    """
    asked = _FROM_NOW_ON if stamp is None else stamp
    found = await store.read(lambda: change_table.changes_from(asked, MAX_RESOURCES + 1))
    if found.has_unplaced:
        await store.write(change_table.place_changes)
        found = await store.read(lambda: change_table.changes_from(asked, MAX_RESOURCES + 1))
    # A stamp from the future is one of another history: the database was restored from a backup.
    unknown = stamp is None or not found.oldest <= stamp <= found.following or len(found.resources) > MAX_RESOURCES
    return Changes(found.following, None if unknown else frozenset(found.resources))


async def prune_changes(store: Store) -> None:
    """Forget changes that every reader has had time to read; raise ServiceUnavailable or Throttled."""
    before = await store.read(change_table.prunable_changes)
    if before is not None:
        await store.write(lambda: change_table.prune_changes(before))
