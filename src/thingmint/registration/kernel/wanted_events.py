"""Owns what a node knows of the events that accounts want; reads it from the store, and tells of no event.

Every change of things and groups asks. A second's memory makes that cheap, and lets a node hear within a second of
what was switched on another one; what is switched here is known at once.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from thingmint.core.identifiers import Scope
from thingmint.core.registry.event_configuration import EventType
from thingmint.records.registry import event_configurations as event_configuration_table
from thingmint.records.steps import Steps

KNOWN_FOR = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Known:
    turn: int
    at: datetime
    wanted: frozenset[EventType]


@dataclass(slots=True)
class WantedEvents:
    """Remembers for a second which types of events are on in a registry.

    Transactions ask in other threads than the one that forgets: what they remember is worth nothing if somebody has
    switched something since they began to read.
    """

    _turn: int = 0
    _known: dict[Scope, _Known] = field(default_factory=dict)

    def of(self, scope: Scope, now: datetime) -> Steps[frozenset[EventType]]:
        """Return the types that are on."""
        turn, known = self._turn, self._known.get(scope)
        # A clock that was set back makes what is known one of the future.
        if known is not None and known.turn == turn and known.at <= now < known.at + KNOWN_FOR:
            return known.wanted
        configurations = yield from event_configuration_table.event_configurations(scope)
        wanted = frozenset(each for each in EventType if configurations.is_enabled(each))
        self._known[scope] = _Known(turn, now, wanted)
        return wanted

    def forget(self) -> None:
        """Ask the store again."""
        self._turn += 1
