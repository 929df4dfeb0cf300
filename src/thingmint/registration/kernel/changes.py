"""Owns how a gateway learns of changes that affect its devices. Independent of SQL and MQTT.

A change records its resources in its own transaction (`mutation.Change.touched`), so a change and its record are always
committed together. A reader that continues from the returned stamp gets every change that any node has committed since,
at least once.

`ChangeWatch` maps resources to the decisions that depend on them.
"""

from __future__ import annotations

from functools import partial

from msgspec import Struct

from thingmint.records import changes as change_table
from thingmint.registration.kernel.ports import Store

# More changes than this are reported as "anything may have changed", because reading everything again is cheaper.
MAX_RESOURCES = 10_000
_FROM_NOW_ON = 2**63 - 1


class Changes(Struct, frozen=True):
    """The stamp and server of the next call, and the ARNs of changed resources; None if anything may have changed."""

    stamp: int
    server: int
    resources: frozenset[str] | None


async def changes_from(store: Store, stamp: int | None, server: int | None = None) -> Changes:
    """Return the changes from the stamp on; without a stamp, only the stamp to start with.

    With the server that returned the stamp, anything may have changed if another one answers now.
    Raises ServiceUnavailable if the store cannot be read. Cached decisions should then expire soon.
    """
    asked = _FROM_NOW_ON if stamp is None else stamp
    found = await store.read(lambda: change_table.changes_from(asked, MAX_RESOURCES + 1))
    if found.has_unplaced:
        while await store.write(change_table.place_changes):
            pass
        found = await store.read(lambda: change_table.changes_from(asked, MAX_RESOURCES + 1))
    # A stamp from the future means that the database was restored from a backup.
    unknown = stamp is None or not found.oldest <= stamp <= found.following or len(found.resources) > MAX_RESOURCES
    # A standby that was promoted may lack changes that this reader has seen, and have others at their positions.
    unknown |= server is not None and server != found.server
    return Changes(found.following, found.server, None if unknown else frozenset(found.resources))


async def prune_changes(store: Store) -> None:
    """Delete changes that every reader has had time to read; raise ServiceUnavailable or Throttled."""
    while (before := await store.read(change_table.prunable_changes)) is not None:
        await store.write(partial(change_table.prune_changes, before))
