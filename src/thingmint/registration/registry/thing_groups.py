"""Owns the operations on static thing groups and their hierarchy. Independent of HTTP and SQL."""

from __future__ import annotations

from collections.abc import Mapping

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest, ResourceExists, ResourceNotFound
from thingmint.core.identifiers import ThingGroupName
from thingmint.core.paging import Page, PageRequest
from thingmint.core.registry.attributes import Attributes
from thingmint.core.registry.registry_event import EventOperation
from thingmint.core.registry.thing_group import (
    MAX_CHILDREN,
    GroupPath,
    GroupUpdate,
    ThingGroup,
    ensure_depth,
    ensure_group_version,
    ensure_room_for_child,
    updated_group,
)
from thingmint.records.paging import read_listed
from thingmint.records.registry import attachments as attachment_table
from thingmint.records.registry import tags as tag_table
from thingmint.records.registry import thing_groups as thing_group_table
from thingmint.records.registry.thing_groups import GroupFilter
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.kernel.registry_events import group_events
from thingmint.registration.kernel.tags import store_tags

_ONE = PageRequest(1, None, ascending=True)
_TOO_MANY_CHILDREN = PageRequest(MAX_CHILDREN + 1, None, ascending=True)
_ROOT = GroupPath(())


def found_group(group: ThingGroup | None, name: ThingGroupName) -> ThingGroup:
    """Return the thing group; raise ResourceNotFound if it is None."""
    if group is None:
        raise ResourceNotFound(f"Thing group {name} not found")
    return group


async def create(
    authority: RegistrationAuthority,
    caller: Caller,
    name: ThingGroupName,
    *,
    parent_name: ThingGroupName | None = None,
    description: str = "",
    attributes: Attributes,
    tags: Mapping[str, str],
) -> ThingGroup:
    """Create a thing group, below a parent if one is given; return the existing one if it has the same properties.

    Raises ResourceNotFound if there is no such parent, ResourceExists if a different group has the name, InvalidRequest
    if the hierarchy would be too deep or too wide or a tag is invalid.
    """
    now, group_id = authority.clock.now(), authority.new_generation_id()

    def program() -> Steps[Change[ThingGroup]]:
        # The parent is locked until the end, so that it is not deleted and gets no other children meanwhile.
        above = yield from _held_path(caller, parent_name)
        group = ThingGroup(caller.scope, name, group_id, now, above, description, attributes)
        present = yield from thing_group_table.insert_thing_group(group)
        if present is not None:
            return Change(_same_group(present, group), ())
        yield from _require_room(group)
        yield from store_tags(group.arn, tags)
        events = yield from group_events(authority, EventOperation.CREATED, group)
        return Change(group, (audit_entry(caller, now, "CreateThingGroup", group.arn),), (group.arn,), events)

    return await change(authority, program)


async def describe(authority: RegistrationAuthority, caller: Caller, name: ThingGroupName) -> ThingGroup:
    """Return the thing group; raise ResourceNotFound if there is none."""
    stored = await authority.store.read(lambda: thing_group_table.thing_group(caller.scope, name))
    return found_group(stored, name)


async def list_groups(
    authority: RegistrationAuthority,
    caller: Caller,
    request: PageRequest,
    *,
    parent_name: ThingGroupName | None,
    prefix: str,
    recursive: bool | None,
) -> Page[ThingGroupName]:
    """Return a page of the names that start with the prefix, below a parent or of the whole account.

    With a parent the list has its children, or all descendants if ``recursive``. Without one it has all groups, or only
    those without a parent if ``recursive`` is false. Raises ResourceNotFound if there is no such parent.
    """

    def program() -> Steps[Page[ThingGroupName]]:
        below = _ROOT if recursive is False else None
        if parent_name is not None:
            below = found_group((yield from thing_group_table.thing_group(caller.scope, parent_name)), parent_name).path
        wanted = GroupFilter(prefix, below, is_recursive=bool(recursive))
        return (
            yield from read_listed(request, lambda page: thing_group_table.thing_groups(caller.scope, wanted, page))
        )

    return await authority.store.read(program)


async def update(
    authority: RegistrationAuthority, caller: Caller, name: ThingGroupName, wanted: GroupUpdate
) -> ThingGroup:
    """Update the thing group and return it; raise ResourceNotFound, VersionMismatch or InvalidRequest."""
    now = authority.clock.now()

    def program() -> Steps[Change[ThingGroup]]:
        before = found_group((yield from thing_group_table.thing_group_for_update(caller.scope, name)), name)
        after = updated_group(before, wanted)
        yield from thing_group_table.update_thing_group(after)
        entry = audit_entry(caller, now, "UpdateThingGroup", after.arn, version=str(after.version))
        events = yield from group_events(authority, EventOperation.UPDATED, after)
        return Change(after, (entry,), (after.arn,), events)

    return await change(authority, program)


async def delete(
    authority: RegistrationAuthority, caller: Caller, name: ThingGroupName, expected_version: int | None
) -> None:
    """Delete the thing group, remove its members and detach its policies; do nothing if there is none.

    Raises VersionMismatch, and InvalidRequest if it has child groups.
    """
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        group = yield from thing_group_table.thing_group_for_update(caller.scope, name)
        if group is None:
            return Change(None, ())
        ensure_group_version(group, expected_version)
        if (yield from thing_group_table.thing_groups(caller.scope, GroupFilter(below=group.path), _ONE)):
            raise InvalidRequest(
                f"Cannot delete thing group : {name} when there are still child groups attached to it."
            )
        yield from attachment_table.detach_policies(caller.scope, group.arn)
        yield from thing_group_table.delete_thing_group(group)
        yield from tag_table.delete_tags(group.arn)
        events = yield from group_events(authority, EventOperation.DELETED, group)
        return Change(None, (audit_entry(caller, now, "DeleteThingGroup", group.arn),), (group.arn,), events)

    await change(authority, program)


def _held_path(caller: Caller, name: ThingGroupName | None) -> Steps[GroupPath]:
    if name is None:
        return _ROOT
    path = found_group((yield from thing_group_table.thing_group_for_update(caller.scope, name)), name).path
    ensure_depth(path)
    return path


def _require_room(group: ThingGroup) -> Steps[None]:
    if group.ancestors:
        siblings = GroupFilter(below=group.ancestors)
        # One of them is the group itself.
        found = yield from thing_group_table.thing_groups(group.scope, siblings, _TOO_MANY_CHILDREN)
        ensure_room_for_child(len(found) - 1)


def _same_group(present: ThingGroup, group: ThingGroup) -> ThingGroup:
    if not present.has_configuration_of(group):
        raise ResourceExists(
            f"Thing Group {group.name} already exists in current account with different properties",
            resource_id=present.group_id,
            resource_arn=present.arn,
        )
    return present
