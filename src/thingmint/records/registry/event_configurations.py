"""Owns the table of event configurations. Independent of the database engine."""

from datetime import datetime

from thingmint.core.identifiers import Scope
from thingmint.core.registry.event_configuration import EventConfigurations, EventType
from thingmint.records.columns import column_of_time, time_of_column
from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps

EVENT_CONFIGURATIONS = (
    "SELECT event_type, enabled, created_at, modified_at FROM event_configuration WHERE account = $1 AND region = $2"
)

# The time of creation does not change after the first row.
SWITCH_EVENTS = (
    "INSERT INTO event_configuration (account, region, event_type, enabled, created_at, modified_at) "
    "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account, region, event_type) "
    "DO UPDATE SET enabled = excluded.enabled, modified_at = excluded.modified_at"
)


def event_configurations(scope: Scope) -> Steps[EventConfigurations]:
    """Return the event configurations of the account."""
    rows = yield from rows_of(EVENT_CONFIGURATIONS, scope.account, scope.region)
    if not rows:
        return EventConfigurations()
    return EventConfigurations(
        {EventType(event_type): bool(enabled) for event_type, enabled, _, _ in rows},
        time_of_column(min(created_at for _, _, created_at, _ in rows)),
        time_of_column(max(modified_at for _, _, _, modified_at in rows)),
    )


def switch_events(scope: Scope, event_type: EventType, *, enabled: bool, at: datetime) -> Steps[None]:
    """Store whether events of the type are enabled."""
    time = column_of_time(at)
    yield from rows_of(SWITCH_EVENTS, scope.account, scope.region, event_type.value, int(enabled), time, time)
