"""Owns which events of the registry an account wants to be told of; tells of none itself."""

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
    """Return which events the account wants in the region; raise ServiceUnavailable if that cannot be read."""
    return await store.read(lambda: event_configuration_table.event_configurations(scope))


async def update(authority: RegistrationAuthority, caller: Caller, switched: Mapping[EventType, bool]) -> None:
    """Switch these types on or off; the others stay as they are."""
    if not switched:
        return
    now, resource = authority.clock.now(), iot_arn(caller.scope, "eventconfigurations")
    detail = {event_type.value: "on" if enabled else "off" for event_type, enabled in switched.items()}

    def program() -> Steps[Change[None]]:
        # In one order: each locks its row, and two updates must not wait for each other.
        for event_type in sorted(switched):
            yield from event_configuration_table.switch_events(
                caller.scope, event_type, enabled=switched[event_type], at=now
            )
        return Change(None, (audit_entry(caller, now, "UpdateEventConfigurations", resource, **detail),))

    try:
        await change(authority, program)
    finally:
        # Even if it failed: nobody may know whether it was committed.
        authority.wanted_events.forget()
