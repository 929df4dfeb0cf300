"""Owns the node's cache of the event types that accounts have enabled. Does not publish events.

Every change of things and groups reads it. Entries live for one second, so a node learns within a second of a setting
that another node changed. Settings that this node changes apply at once.
"""

from datetime import datetime, timedelta

from msgspec import Struct, field

from thingmint.core.identifiers import Scope
from thingmint.core.registry.event_configuration import EventType
from thingmint.records.registry import event_configurations as event_configuration_table
from thingmint.records.steps import Steps

KNOWN_FOR = timedelta(seconds=1)


class _Known(Struct, frozen=True):
    turn: int
    at: datetime
    wanted: frozenset[EventType]


class WantedEvents(Struct):
    """Caches for a second the enabled types of events of a registry.

    Transactions read in other threads than the one that calls `forget`. They must not store a result if a setting has
    changed since they began to read.
    """

    _turn: int = 0
    _known: dict[Scope, _Known] = field(default_factory=dict)

    def of(self, scope: Scope, now: datetime) -> Steps[frozenset[EventType]]:
        """Return the enabled types."""
        turn, known = self._turn, self._known.get(scope)
        # If the clock was set back, the cached entry is from the future.
        if known is not None and known.turn == turn and known.at <= now < known.at + KNOWN_FOR:
            return known.wanted
        configurations = yield from event_configuration_table.event_configurations(scope)
        wanted = frozenset(each for each in EventType if configurations.is_enabled(each))
        self._known[scope] = _Known(turn, now, wanted)
        return wanted

    def forget(self) -> None:
        """Read the store again at the next call."""
        self._turn += 1
