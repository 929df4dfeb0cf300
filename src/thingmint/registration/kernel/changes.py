"""Owns how a gateway hears that something which decides over its devices has changed; knows neither SQL nor MQTT.

A change notes the resources it touches in its own transaction (`mutation.Change.touched`), so there is no change
without its note and no note without its change. Whoever asks from the returned stamp on is told of every change that
was committed since, on any number of nodes: perhaps twice, never not at all.

`ChangeWatch` keeps track of what depends on which resource.
"""

from __future__ import annotations

from dataclasses import dataclass

from thingmint.records import changes as change_table
from thingmint.records.steps import Steps
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

    Raises ServiceUnavailable if the store cannot be asked: whoever keeps decisions should not trust them for long then.
    """

    def program() -> Steps[Changes]:
        asked = _FROM_NOW_ON if stamp is None else stamp
        following, resources = yield from change_table.changes_from(asked, MAX_RESOURCES + 1)
        # A stamp from the future is one of another history: the database was restored from a backup.
        unknown = stamp is None or following < stamp or len(resources) > MAX_RESOURCES
        return Changes(following, None if unknown else frozenset(resources))

    return await store.read(program)
