"""Owns the operations on thing types. Independent of HTTP and SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest, ResourceExists, ResourceNotFound
from thingmint.core.identifiers import ThingTypeName
from thingmint.core.paging import Page, PageRequest
from thingmint.core.registry.registry_event import EventOperation, ThingTypeEvent
from thingmint.core.registry.thing_filter import ThingFilter
from thingmint.core.registry.thing_type import (
    ThingType,
    ThingTypeProperties,
    ThingTypeUpdate,
    deprecated,
    ensure_type_deletable,
    reinstated,
    updated_type,
)
from thingmint.records.paging import read_listed
from thingmint.records.registry import tags as tag_table
from thingmint.records.registry import thing_types as thing_type_table
from thingmint.records.registry import things as thing_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.kernel.tags import store_tags

_ONE = PageRequest(1, None, ascending=True)


def found_type(thing_type: ThingType | None, name: ThingTypeName) -> ThingType:
    """Return the thing type; raise ResourceNotFound if it is None."""
    if thing_type is None:
        raise ResourceNotFound(f"Thing type {name} not found")
    return thing_type


async def create(
    authority: RegistrationAuthority,
    caller: Caller,
    name: ThingTypeName,
    properties: ThingTypeProperties,
    tags: Mapping[str, str],
) -> ThingType:
    """Create a thing type; return the existing one if it has the same properties.

    Raises ResourceExists if a type with the name has other properties, InvalidRequest for invalid tags.
    """
    now = authority.clock.now()
    thing_type = ThingType(caller.scope, name, authority.new_generation_id(), properties, now)

    def program() -> Steps[Change[ThingType]]:
        present = yield from thing_type_table.insert_thing_type(thing_type)
        if present is None:
            yield from store_tags(thing_type.arn, tags)
            entry = audit_entry(caller, now, "CreateThingType", thing_type.arn)
            return Change(thing_type, (entry,), events=(ThingTypeEvent(EventOperation.CREATED, thing_type),))
        if not present.has_configuration_of(thing_type):
            raise ResourceExists(
                f"Thing type {name} already exists in account with different properties",
                resource_id=present.type_id,
                resource_arn=present.arn,
            )
        return Change(present, ())

    return await change(authority, program)


async def describe(authority: RegistrationAuthority, caller: Caller, name: ThingTypeName) -> ThingType:
    """Return the thing type; raise ResourceNotFound if there is none."""
    return found_type(await authority.store.read(lambda: thing_type_table.thing_type(caller.scope, name)), name)


async def list_thing_types(
    authority: RegistrationAuthority, caller: Caller, name: ThingTypeName | None, request: PageRequest
) -> Page[ThingType]:
    """Return a page of the account's thing types, oldest first, or the one of this name."""

    def program() -> Steps[Page[ThingType]]:
        return read_listed(request, lambda page: thing_type_table.thing_types(caller.scope, name, page))

    return await authority.store.read(program)


async def update(
    authority: RegistrationAuthority, caller: Caller, name: ThingTypeName, requested: ThingTypeUpdate
) -> None:
    """Set the propagating attributes of the thing type; do nothing if nothing changes.

    Raises ResourceNotFound, and InvalidRequest if the description or the searchable attributes would change.
    """
    await _change(authority, caller, name, "UpdateThingType", lambda before: updated_type(before, requested))


async def deprecate(authority: RegistrationAuthority, caller: Caller, name: ThingTypeName, *, undo: bool) -> None:
    """Deprecate the type or undo that; do nothing if nothing changes. Raises ResourceNotFound."""
    at = authority.clock.now()
    to = reinstated if undo else lambda before: deprecated(before, at)
    await _change(authority, caller, name, "DeprecateThingType", to)


async def delete(authority: RegistrationAuthority, caller: Caller, name: ThingTypeName) -> None:
    """Delete the thing type.

    Raises ResourceNotFound, and InvalidRequest unless it has been deprecated for long enough and no thing has it.
    """
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        thing_type = found_type((yield from thing_type_table.thing_type_for_update(caller.scope, name)), name)
        ensure_type_deletable(thing_type, now, authority.thing_type_deletable_after)
        if (yield from thing_table.things(caller.scope, ThingFilter(type_name=name), _ONE)):
            raise InvalidRequest(f"Cannot delete. Thing type {name} is still associated with one or more things")
        yield from thing_type_table.delete_thing_type(thing_type)
        yield from tag_table.delete_tags(thing_type.arn)
        entry = audit_entry(caller, now, "DeleteThingType", thing_type.arn)
        return Change(None, (entry,), events=(ThingTypeEvent(EventOperation.DELETED, thing_type),))

    await change(authority, program)


async def _change(
    authority: RegistrationAuthority,
    caller: Caller,
    name: ThingTypeName,
    action: str,
    to: Callable[[ThingType], ThingType],
) -> None:
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        before = found_type((yield from thing_type_table.thing_type_for_update(caller.scope, name)), name)
        after = to(before)
        if after == before:
            return Change(None, ())
        yield from thing_type_table.update_thing_type(after)
        entry = audit_entry(caller, now, action, after.arn, deprecated=str(after.is_deprecated).lower())
        return Change(None, (entry,), events=(ThingTypeEvent(EventOperation.UPDATED, after),))

    await change(authority, program)
