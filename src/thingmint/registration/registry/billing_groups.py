"""Owns the operations on billing groups; their things are in `billing_members`. Independent of HTTP and SQL."""

from __future__ import annotations

from collections.abc import Mapping

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest, ResourceExists, ResourceNotFound
from thingmint.core.identifiers import BillingGroupName, Scope
from thingmint.core.paging import Page, PageRequest
from thingmint.core.registry.thing_group import BillingGroup, GroupUpdate, ensure_group_version, updated_billing_group
from thingmint.records.paging import read_listed
from thingmint.records.registry import billing_groups as billing_group_table
from thingmint.records.registry import tags as tag_table
from thingmint.records.registry import things as thing_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.kernel.tags import store_tags

_ONE = PageRequest(1, None, ascending=True)


def require_billing_group(scope: Scope, name: BillingGroupName) -> Steps[BillingGroup]:
    """Return the billing group, locked by the transaction; raise ResourceNotFound if there is none."""
    return found_billing_group((yield from billing_group_table.billing_group_for_share(scope, name)), name)


def found_billing_group(group: BillingGroup | None, name: BillingGroupName) -> BillingGroup:
    """Return the billing group; raise ResourceNotFound if it is None."""
    if group is None:
        raise ResourceNotFound(f"Billing group {name} not found")
    return group


async def create(
    authority: RegistrationAuthority, caller: Caller, name: BillingGroupName, description: str, tags: Mapping[str, str]
) -> BillingGroup:
    """Create a billing group; return the existing one if it has the same properties.

    Raises ResourceExists if a different group has the name, InvalidRequest for invalid tags.
    """
    now = authority.clock.now()
    group = BillingGroup(caller.scope, name, authority.new_generation_id(), now, description)

    def program() -> Steps[Change[BillingGroup]]:
        present = yield from billing_group_table.insert_billing_group(group)
        if present is None:
            yield from store_tags(group.arn, tags)
            return Change(group, (audit_entry(caller, now, "CreateBillingGroup", group.arn),))
        if not present.has_configuration_of(group):
            raise ResourceExists(
                f"Billing group {name} already exists in account with different properties",
                resource_id=present.group_id,
                resource_arn=present.arn,
            )
        return Change(present, ())

    return await change(authority, program)


async def describe(authority: RegistrationAuthority, caller: Caller, name: BillingGroupName) -> BillingGroup:
    """Return the billing group; raise ResourceNotFound if there is none."""
    stored = await authority.store.read(lambda: billing_group_table.billing_group(caller.scope, name))
    return found_billing_group(stored, name)


async def list_billing_groups(
    authority: RegistrationAuthority, caller: Caller, prefix: str, request: PageRequest
) -> Page[BillingGroupName]:
    """Return a page of the names that start with the prefix, in their order."""

    def program() -> Steps[Page[BillingGroupName]]:
        return read_listed(request, lambda page: billing_group_table.billing_groups(caller.scope, prefix, page))

    return await authority.store.read(program)


async def update(
    authority: RegistrationAuthority, caller: Caller, name: BillingGroupName, wanted: GroupUpdate
) -> BillingGroup:
    """Update the billing group and return it; raise ResourceNotFound or VersionMismatch."""
    now = authority.clock.now()

    def program() -> Steps[Change[BillingGroup]]:
        before = found_billing_group(
            (yield from billing_group_table.billing_group_for_update(caller.scope, name)), name
        )
        after = updated_billing_group(before, wanted)
        yield from billing_group_table.update_billing_group(after)
        entry = audit_entry(caller, now, "UpdateBillingGroup", after.arn, version=str(after.version))
        return Change(after, (entry,))

    return await change(authority, program)


async def delete(
    authority: RegistrationAuthority, caller: Caller, name: BillingGroupName, expected_version: int | None
) -> None:
    """Delete the billing group; do nothing if there is none.

    Raises VersionMismatch, and InvalidRequest if things belong to it.
    """
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        group = yield from billing_group_table.billing_group_for_update(caller.scope, name)
        if group is None:
            return Change(None, ())
        ensure_group_version(group, expected_version)
        if (yield from thing_table.things_in_billing_group(caller.scope, name, _ONE)):
            raise InvalidRequest(f"Cannot delete. One or more things still belong to the billing group {name}")
        yield from billing_group_table.delete_billing_group(group)
        yield from tag_table.delete_tags(group.arn)
        return Change(None, (audit_entry(caller, now, "DeleteBillingGroup", group.arn),))

    await change(authority, program)
