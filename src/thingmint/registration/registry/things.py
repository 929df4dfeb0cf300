"""Owns the operations on things, without principals and groups. Independent of HTTP and SQL.

A function that returns `Steps` is a step, which other programs can include.
"""

from __future__ import annotations

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest, ResourceExists, ResourceNotFound
from thingmint.core.identifiers import BillingGroupName, ThingName, ThingTypeName
from thingmint.core.paging import Page, PageRequest
from thingmint.core.registry.attributes import Attributes
from thingmint.core.registry.registry_event import creation_of_thing, update_of_thing
from thingmint.core.registry.thing import Thing, ThingUpdate, ensure_version, updated
from thingmint.core.registry.thing_filter import ThingFilter
from thingmint.core.registry.thing_type import ensure_assignable
from thingmint.records.paging import read_listed
from thingmint.records.registry import thing_group_members as thing_group_member_table
from thingmint.records.registry import thing_principals as thing_principal_table
from thingmint.records.registry import thing_types as thing_type_table
from thingmint.records.registry import things as thing_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.kernel.registry_events import deletion_events
from thingmint.registration.registry.billing_groups import require_billing_group
from thingmint.registration.registry.thing_types import found_type

_ONE = PageRequest(1, None, ascending=True)
_NO_ATTRIBUTES = Attributes()


def new_thing(
    authority: RegistrationAuthority,
    caller: Caller,
    name: ThingName,
    *,
    type_name: ThingTypeName | None = None,
    billing_group_name: BillingGroupName | None = None,
    attributes: Attributes = _NO_ATTRIBUTES,
) -> Thing:
    """Return a new thing, not stored yet; raise InvalidRequest if it has too many attributes."""
    thing_id, now = authority.new_generation_id(), authority.clock.now()
    return Thing(caller.scope, name, thing_id, now, type_name, billing_group_name, attributes)


def store_thing(thing: Thing) -> Steps[Thing]:
    """Store a new thing and return it; return the existing one if it has the same properties.

    Raises ResourceExists if a different thing has the name, ResourceNotFound if there is no such type or billing group,
    InvalidRequest if the type is deprecated.
    """
    present = yield from thing_table.insert_thing(thing)
    if present is None:
        yield from _require_type(thing)
        if thing.billing_group_name is not None:
            yield from require_billing_group(thing.scope, thing.billing_group_name)
        return thing
    if not present.has_configuration_of(thing):
        raise ResourceExists(
            f"Thing {thing.name} already exists in account with different attributes",
            resource_id=present.thing_id,
            resource_arn=present.arn,
        )
    return present


def change_thing(caller: Caller, name: ThingName, update: ThingUpdate) -> Steps[tuple[Thing, Thing]]:
    """Update the thing and return its earlier and its new state.

    Raises ResourceNotFound for the thing or its new type, VersionMismatch, and InvalidRequest for a deprecated type or
    too many attributes.
    """
    before = yield from thing_for_update(caller, name)
    after = updated(before, update)
    if after.type_name != before.type_name:
        yield from _require_type(after)
    yield from thing_table.update_thing(after)
    return before, after


def thing_for_update(caller: Caller, name: ThingName) -> Steps[Thing]:
    """Return the thing, locked by the transaction; raise ResourceNotFound if there is none."""
    return found_thing((yield from thing_table.thing_for_update(caller.scope, name)), name)


def found_thing(thing: Thing | None, name: ThingName) -> Thing:
    """Return the thing; raise ResourceNotFound if it is None."""
    if thing is None:
        raise ResourceNotFound(f"Thing {name} not found")
    return thing


async def create(authority: RegistrationAuthority, caller: Caller, thing: Thing) -> Thing:
    """Store a new thing; raise what `store_thing` raises."""
    entry = audit_entry(caller, thing.created_at, "CreateThing", thing.arn, thing_id=thing.thing_id)

    def program() -> Steps[Change[Thing]]:
        stored = yield from store_thing(thing)
        if stored is not thing:
            return Change(stored, ())
        return Change(stored, (entry,), (thing.arn,), creation_of_thing(thing))

    return await change(authority, program)


async def describe(authority: RegistrationAuthority, caller: Caller, name: ThingName) -> Thing:
    """Return the thing; raise ResourceNotFound if there is none."""
    return found_thing(await authority.store.read(lambda: thing_table.thing(caller.scope, name)), name)


async def list_things(
    authority: RegistrationAuthority, caller: Caller, wanted: ThingFilter, request: PageRequest
) -> Page[Thing]:
    """Return a page of the account's things, oldest first; if ``wanted`` has a value's prefix, ordered by the value."""

    def program() -> Steps[Page[Thing]]:
        return read_listed(request, lambda page: thing_table.things(caller.scope, wanted, page))

    return await authority.store.read(program)


async def update(authority: RegistrationAuthority, caller: Caller, name: ThingName, wanted: ThingUpdate) -> None:
    """Update the thing; raise what `change_thing` raises."""
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        before, after = yield from change_thing(caller, name, wanted)
        entry = audit_entry(caller, now, "UpdateThing", after.arn, version=str(after.version))
        return Change(None, (entry,), (after.arn,), update_of_thing(before, after))

    await change(authority, program)


async def delete(
    authority: RegistrationAuthority, caller: Caller, name: ThingName, expected_version: int | None = None
) -> None:
    """Delete the thing and remove it from its groups; do nothing if there is none.

    Raises VersionMismatch, and InvalidRequest if a principal is attached to it.
    """
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        thing = yield from thing_table.thing_for_update(caller.scope, name)
        if thing is None:
            return Change(None, ())
        ensure_version(thing, expected_version)
        if (yield from thing_principal_table.principals_of_thing(caller.scope, name, _ONE)):
            raise InvalidRequest(f"Cannot delete. Thing {name} is still attached to one or more principals")
        events = yield from deletion_events(authority, thing)
        yield from thing_group_member_table.remove_thing_from_groups(caller.scope, name)
        yield from thing_table.delete_thing(thing)
        entry = audit_entry(caller, now, "DeleteThing", thing.arn, thing_id=thing.thing_id)
        return Change(None, (entry,), (thing.arn,), events)

    await change(authority, program)


def _require_type(thing: Thing) -> Steps[None]:
    if thing.type_name is not None:
        stored = yield from thing_type_table.thing_type_for_share(thing.scope, thing.type_name)
        ensure_assignable(found_type(stored, thing.type_name))
