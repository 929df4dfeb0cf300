"""Owns the changes of the registry: one transaction with its audit entries, and the events after the commit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.registry.registry_event import RegistryEvent
from thingmint.records import audit as audit_table
from thingmint.records import changes as change_table
from thingmint.records.steps import Program, Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.ports import EventSink, Store
from thingmint.registration.kernel.registry_events import wanted_events

T = TypeVar("T")


class Change(Struct, Generic[T], frozen=True):
    """The result of a program, and an audit entry for each resource that it changed.

    ``touched`` has the ARNs of changed resources that decide what devices may do: certificates, things, thing groups,
    policies. `registration.kernel.changes` reports them to its readers. ``events`` are the events of things, types and
    groups of one registry. Its account gets the events that it has enabled.
    """

    result: T
    entries: tuple[AuditEntry, ...]
    touched: tuple[str, ...] = ()
    events: tuple[RegistryEvent, ...] = ()


async def change(authority: RegistrationAuthority, program: Program[Change[T]]) -> T:
    """Run the program, append its audit entries in the same transaction, and publish them after the commit.

    Raises what the program raises, after a rollback, and ServiceUnavailable if the store fails.
    """

    return await _changed(authority.store, authority.events, program, partial(_wanted, authority))


async def change_of_callers(store: Store, events: EventSink, program: Program[Change[T]]) -> T:
    """Do the same for a change outside of the registry, such as access keys. It has no registry events.

    Raises what `change` raises.
    """
    return await _changed(store, events, program, _nothing)


class _Unheard:
    """Ignores all events."""

    def recorded(self, entry: AuditEntry) -> None:
        """Do nothing."""

    def happened(self, event: RegistryEvent) -> None:
        """Do nothing."""

    def touched(self) -> None:
        """Do nothing."""


UNHEARD: EventSink = _Unheard()
"""For changes by commands that run beside a service and have no listeners."""


async def _changed(
    store: Store,
    events: EventSink,
    program: Program[Change[T]],
    wanted_of: Callable[[tuple[RegistryEvent, ...]], Steps[tuple[RegistryEvent, ...]]],
) -> T:
    def audited() -> Steps[Change[T]]:
        done = yield from program()
        for entry in done.entries:
            yield from audit_table.append_audit(entry)
        wanted = yield from wanted_of(done.events)
        for resource in sorted(set(done.touched)):
            yield from change_table.record_change(resource)
        return replace(done, events=wanted) if wanted != done.events else done

    done = await store.write(audited)
    for entry in done.entries:
        events.recorded(entry)
    for event in done.events:
        events.happened(event)
    if done.touched:
        events.touched()
    return done.result


def _nothing(events: tuple[RegistryEvent, ...]) -> Steps[tuple[RegistryEvent, ...]]:
    yield from ()
    return events


def _wanted(authority: RegistrationAuthority, events: tuple[RegistryEvent, ...]) -> Steps[tuple[RegistryEvent, ...]]:
    """Return the enabled events to publish after the commit. If there is an outbox, it stores them instead."""
    if not events:
        return ()
    names = yield from wanted_events(authority, events[0].scope)
    wanted = tuple([event for event in events if event.event_type in names])
    is_kept = bool(wanted) and (yield from authority.outbox.keep(wanted))
    return () if is_kept else wanted
