"""Owns how the registry changes: one transaction with its audit entries, and the news of it after the commit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.registry.registry_event import RegistryEvent
from thingmint.records import audit as audit_table
from thingmint.records import changes as change_table
from thingmint.records.steps import Program, Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.registry_events import wanted_events

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """What a program returns: its result, and an audit entry for each thing that it changed.

    ``touched`` holds the ARNs of the resources whose change may change what devices may do: certificates, things, thing
    groups, policies. `registration.kernel.changes` tells its followers of them. ``events`` is what happened to things,
    types and groups of one registry; its account is told of what it wants.
    """

    result: T
    entries: tuple[AuditEntry, ...]
    touched: tuple[str, ...] = ()
    events: tuple[RegistryEvent, ...] = ()


async def change(authority: RegistrationAuthority, program: Program[Change[T]]) -> T:
    """Run the program, append its audit entries in the same transaction, and tell of them once they are durable.

    Raises what the program raises, which undoes all of it, and ServiceUnavailable if nothing can be stored.
    """

    def audited() -> Steps[Change[T]]:
        done = yield from program()
        for entry in done.entries:
            yield from audit_table.append_audit(entry)
        wanted = yield from _wanted(authority, done.events)
        # Last, and in one order: notes lock their rows, and two changes must not wait for each other.
        for resource in sorted(set(done.touched)):
            yield from change_table.note_change(resource)
        return replace(done, events=wanted)

    done = await authority.store.write(audited)
    for entry in done.entries:
        authority.events.recorded(entry)
    for event in done.events:
        authority.events.happened(event)
    return done.result


def _wanted(authority: RegistrationAuthority, events: tuple[RegistryEvent, ...]) -> Steps[tuple[RegistryEvent, ...]]:
    if not events:
        return ()
    wanted = yield from wanted_events(authority, events[0].scope)
    return tuple([event for event in events if event.event_type in wanted])
