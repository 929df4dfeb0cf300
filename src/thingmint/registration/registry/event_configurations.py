"""Owns the event configurations of accounts. Does not publish events."""

from __future__ import annotations

from collections.abc import Mapping

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.identifiers import Scope, iot_arn
from thingmint.core.registry.event_configuration import EventConfigurations, EventType
from thingmint.records.registry import event_configurations as event_configuration_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.kernel.ports import Store


async def configurations(store: Store, scope: Scope) -> EventConfigurations:
    """Return the account's event configurations in the region; raise ServiceUnavailable if the store fails."""
    return await store.read(lambda: event_configuration_table.event_configurations(scope))


async def update(authority: RegistrationAuthority, caller: Caller, switched: Mapping[EventType, bool]) -> None:
    """Enable or disable these types. Other types do not change."""
    if not switched:
        return
    now, resource = authority.clock.now(), iot_arn(caller.scope, "eventconfigurations")
    detail = {event_type.value: "on" if enabled else "off" for event_type, enabled in switched.items()}

    def program() -> Steps[Change[None]]:
        # In a fixed order, because each statement locks its row and two updates must not deadlock.
        for event_type in sorted(switched):
            yield from event_configuration_table.switch_events(
                caller.scope, event_type, enabled=switched[event_type], at=now
            )
        return Change(None, (audit_entry(caller, now, "UpdateEventConfigurations", resource, **detail),))

    try:
        await change(authority, program)
    finally:
        # Also after an error, because it is unknown whether the transaction was committed.
        authority.wanted_events.forget()
