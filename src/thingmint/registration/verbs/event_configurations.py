"""Owns what a transaction does with event configurations; knows no SQL."""

from datetime import datetime
from typing import Protocol

from thingmint.core.identifiers import Scope
from thingmint.core.registry.event_configuration import EventConfigurations, EventType
from thingmint.records.steps import Steps


class EventConfigurationVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def event_configurations(self, scope: Scope) -> Steps[EventConfigurations]:
        """Return what the account has switched."""
        ...

    def switch_events(self, scope: Scope, event_type: EventType, *, enabled: bool, at: datetime) -> Steps[None]:
        """Store whether events of the type are wanted."""
        ...
