"""Owns the deletion of old audit entries in whole bundles after they were archived. The hashes of their leaves stay.

The three steps are `prunable`, `archived_lines` and `prune`. An interruption before the third has deleted nothing.
After an interruption in the third, another call continues there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.errors import DeletionRefused
from thingmint.core.transparency.leaf import LoggedEntry, leaf_of, salt_of
from thingmint.core.transparency.merkle import leaf_hash
from thingmint.core.transparency.tiles import TILE_WIDTH, split_hashes
from thingmint.records import audit as audit_table
from thingmint.records.log.entries import delete_entry
from thingmint.records.log.state import log_state_for_update, set_pruned
from thingmint.records.log.tiles import tile
from thingmint.records.steps import Steps
from thingmint.registration.kernel.ports import Store
from thingmint.registration.log.exported import line_of_entry
from thingmint.registration.log.reading import entries_of_bundle, present_state


async def prunable(store: Store, before: int) -> range:
    """Return the numbers of the bundles whose entries are all older than this time, oldest first.

    The time is in microseconds since 1970. Raises ResourceNotFound if there is no log.
    """
    state = await store.read(present_state)
    first, end = state.pruned // TILE_WIDTH, state.size // TILE_WIDTH
    number = first
    while number < end:
        entries = await store.read(lambda: entries_of_bundle(number))  # noqa: B023  run before the next turn
        if any(entry is not None and entry.at >= before for entry in entries):
            break
        number += 1
    return range(first, number)


async def archived_lines(store: Store, secret: bytes, bundles: range) -> AsyncIterator[str]:
    """Yield the exported line of each entry of the bundles.

    Raises DeletionRefused if an entry differs from the logged one, so that no changed entry is archived.
    """
    for number in bundles:
        entries, hashes = await store.read(lambda: _bundle(number))  # noqa: B023  run before the next turn
        for offset, entry in enumerate(entries):
            index = number * TILE_WIDTH + offset
            if entry is None or leaf_hash(leaf_of(entry, salt_of(secret, entry.position))) != hashes[offset]:
                raise DeletionRefused(f"The entry of leaf {index} is not the one that was logged: run `log verify`")
            yield line_of_entry(index, entry, secret)


async def prune(store: Store, bundles: range, record: AuditEntry) -> None:
    """Delete the entries of the bundles, one transaction for each bundle. The first one also stores the record."""
    for number in bundles:

        def program(number: int = number) -> Steps[None]:
            state = yield from log_state_for_update()
            # Another command may have deleted them first.
            if state is None or state.pruned != number * TILE_WIDTH:
                return
            if number == bundles.start:
                yield from audit_table.append_audit(record)
            for entry in (yield from entries_of_bundle(number)):
                if entry is not None:
                    yield from delete_entry(entry)
            yield from set_pruned((number + 1) * TILE_WIDTH)

        await store.write(program)


def _bundle(number: int) -> Steps[tuple[list[LoggedEntry | None], list[bytes]]]:
    entries = yield from entries_of_bundle(number)
    return list(entries), split_hashes((yield from tile(0, number)) or b"")
