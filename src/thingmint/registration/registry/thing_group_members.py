"""Owns the membership of things in thing groups. Independent of HTTP and SQL.

A function that returns `Steps` is a step, which other programs can include.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.identifiers import ThingGroupName, ThingName
from thingmint.core.paging import Page, PageRequest
from thingmint.core.registry.registry_event import EventOperation, GroupMembershipEvent
from thingmint.core.registry.thing import Thing
from thingmint.core.registry.thing_group import MAX_GROUPS_OF_A_THING, ThingGroup, ensure_may_join
from thingmint.records.paging import read_listed
from thingmint.records.registry import thing_group_members as thing_group_member_table
from thingmint.records.registry import thing_groups as thing_group_table
from thingmint.records.registry import things as thing_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.registry.thing_groups import found_group
from thingmint.registration.registry.things import found_thing, thing_for_update

_ALL_GROUPS = PageRequest(MAX_GROUPS_OF_A_THING, None, ascending=True)


def join_group(thing: Thing, name: ThingGroupName) -> Steps[GroupMembershipEvent | None]:
    """Add the thing, locked by the transaction, to the group; return the event, None if it is in the group already.

    Raises ResourceNotFound if there is no such group, InvalidRequest if the thing is in the maximum number of groups,
    or in another group of the same hierarchy.
    """
    group = yield from _kept_group(thing, name)
    memberships = yield from thing_group_member_table.groups_of_thing(thing.scope, thing.name, _ALL_GROUPS)
    ensure_may_join([membership.item for membership in memberships], group.path)
    has_joined = yield from thing_group_member_table.add_thing_to_group(thing.scope, thing.name, group.path)
    return GroupMembershipEvent(EventOperation.ADDED, group, thing) if has_joined else None


def leave_group(thing: Thing, name: ThingGroupName) -> Steps[GroupMembershipEvent | None]:
    """Remove the thing, locked by the transaction, from the group; return the event, None if it is not in the group.

    Raises ResourceNotFound if there is no such group.
    """
    group = yield from _kept_group(thing, name)
    has_left = yield from thing_group_member_table.remove_thing_from_group(thing.scope, thing.name, group.path)
    return GroupMembershipEvent(EventOperation.REMOVED, group, thing) if has_left else None


def each_group(
    step: Callable[[Thing, ThingGroupName], Steps[GroupMembershipEvent | None]],
    thing: Thing,
    names: Sequence[ThingGroupName],
) -> Steps[list[GroupMembershipEvent]]:
    """Run the step, `join_group` or `leave_group`, for each of the groups; return the events."""
    happened: list[GroupMembershipEvent] = []
    for name in names:
        event = yield from step(thing, name)
        happened += [] if event is None else [event]
    return happened


async def add_thing(
    authority: RegistrationAuthority, caller: Caller, name: ThingGroupName, thing_name: ThingName
) -> None:
    """Add the thing to the group; raise what `join_group` raises, and ResourceNotFound for the thing."""
    await _move(authority, caller, "AddThingToThingGroup", thing_name, add=(name,))


async def remove_thing(
    authority: RegistrationAuthority, caller: Caller, name: ThingGroupName, thing_name: ThingName
) -> None:
    """Remove the thing from the group; do nothing if it is not in it.

    Raises ResourceNotFound if the thing or the group does not exist.
    """
    await _move(authority, caller, "RemoveThingFromThingGroup", thing_name, remove=(name,))


async def update_groups(
    authority: RegistrationAuthority,
    caller: Caller,
    thing_name: ThingName,
    *,
    add: Sequence[ThingGroupName],
    remove: Sequence[ThingGroupName],
) -> None:
    """Remove the thing from groups, then add it to others, in one transaction; raise what `join_group` raises."""
    await _move(authority, caller, "UpdateThingGroupsForThing", thing_name, add=add, remove=remove)


async def list_groups(
    authority: RegistrationAuthority, caller: Caller, name: ThingName, request: PageRequest
) -> Page[ThingGroupName]:
    """Return a page of the thing's groups in the order in which it joined; raise ResourceNotFound for the thing."""

    def program() -> Steps[Page[ThingGroupName]]:
        found_thing((yield from thing_table.thing(caller.scope, name)), name)
        page = yield from read_listed(
            request, lambda page: thing_group_member_table.groups_of_thing(caller.scope, name, page)
        )
        return Page(tuple([path[-1] for path in page.items]), page.next)

    return await authority.store.read(program)


async def list_things(
    authority: RegistrationAuthority, caller: Caller, name: ThingGroupName, request: PageRequest, *, recursive: bool
) -> Page[ThingName]:
    """Return a page of the things in the group, or also in those below it; raise ResourceNotFound for the group."""

    def program() -> Steps[Page[ThingName]]:
        path = found_group((yield from thing_group_table.thing_group(caller.scope, name)), name).path
        return (
            yield from read_listed(
                request,
                lambda page: thing_group_member_table.things_in_group(caller.scope, path, page, recursive=recursive),
            )
        )

    return await authority.store.read(program)


async def _move(
    authority: RegistrationAuthority,
    caller: Caller,
    action: str,
    thing_name: ThingName,
    *,
    add: Sequence[ThingGroupName] = (),
    remove: Sequence[ThingGroupName] = (),
) -> None:
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        thing = yield from thing_for_update(caller, thing_name)
        left = yield from each_group(leave_group, thing, remove)
        joined = yield from each_group(join_group, thing, add)
        if not left and not joined:
            return Change(None, ())
        detail = {"joined": _names(joined), "left": _names(left)}
        entry = audit_entry(caller, now, action, thing.arn, **{name: text for name, text in detail.items() if text})
        return Change(None, (entry,), (thing.arn,), (*left, *joined))

    await change(authority, program)


def _names(events: Sequence[GroupMembershipEvent]) -> str:
    return ",".join([event.group.name for event in events])


def _kept_group(thing: Thing, name: ThingGroupName) -> Steps[ThingGroup]:
    return found_group((yield from thing_group_table.thing_group_for_share(thing.scope, name)), name)
