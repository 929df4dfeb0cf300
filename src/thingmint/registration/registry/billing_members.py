"""Owns the billing group of a thing. Independent of HTTP and SQL."""

from __future__ import annotations

from dataclasses import replace

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import BillingGroupName, ThingName
from thingmint.core.paging import Page, PageRequest
from thingmint.core.registry.registry_event import update_of_thing
from thingmint.core.registry.thing import Thing
from thingmint.records.paging import read_listed
from thingmint.records.registry import billing_groups as billing_group_table
from thingmint.records.registry import things as thing_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.registry.billing_groups import found_billing_group, require_billing_group
from thingmint.registration.registry.things import thing_for_update


def bill_thing(thing: Thing, name: BillingGroupName) -> Steps[Thing]:
    """Return the thing, locked by the transaction, with the billing group set.

    Raises ResourceNotFound if there is no such group, InvalidRequest if the thing belongs to another one.
    """
    yield from require_billing_group(thing.scope, name)
    if thing.billing_group_name == name:
        return thing
    # AWS IoT's quota: one billing group for a thing.
    if thing.billing_group_name is not None:
        raise InvalidRequest(f"Thing {thing.name} belongs to the billing group {thing.billing_group_name} already")
    return (yield from _moved(thing, name))


async def add_thing(
    authority: RegistrationAuthority, caller: Caller, name: BillingGroupName, thing_name: ThingName
) -> None:
    """Add the thing to the billing group; raise what `bill_thing` raises, and ResourceNotFound for the thing."""
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        before = yield from thing_for_update(caller, thing_name)
        after = yield from bill_thing(before, name)
        if after is before:
            return Change(None, ())
        entry = audit_entry(caller, now, "AddThingToBillingGroup", after.arn, billing_group=name)
        return Change(None, (entry,), (after.arn,), update_of_thing(before, after))

    await change(authority, program)


async def remove_thing(
    authority: RegistrationAuthority, caller: Caller, name: BillingGroupName, thing_name: ThingName
) -> None:
    """Remove the thing from the billing group; do nothing if it is not in it.

    Raises ResourceNotFound if the thing or the group does not exist.
    """
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        thing = yield from thing_for_update(caller, thing_name)
        yield from require_billing_group(caller.scope, name)
        if thing.billing_group_name != name:
            return Change(None, ())
        after = yield from _moved(thing, None)
        entry = audit_entry(caller, now, "RemoveThingFromBillingGroup", after.arn, billing_group=name)
        return Change(None, (entry,), (after.arn,), update_of_thing(thing, after))

    await change(authority, program)


async def list_things(
    authority: RegistrationAuthority, caller: Caller, name: BillingGroupName, request: PageRequest
) -> Page[ThingName]:
    """Return a page of the billing group's things, oldest first; raise ResourceNotFound if there is no such group."""

    def program() -> Steps[Page[ThingName]]:
        found_billing_group((yield from billing_group_table.billing_group(caller.scope, name)), name)
        return (
            yield from read_listed(request, lambda page: thing_table.things_in_billing_group(caller.scope, name, page))
        )

    return await authority.store.read(program)


def _moved(thing: Thing, to: BillingGroupName | None) -> Steps[Thing]:
    # The result of DescribeThing changes, so the thing's version must change.
    after = replace(thing, billing_group_name=to, version=thing.version + 1)
    yield from thing_table.update_thing(after)
    return after
