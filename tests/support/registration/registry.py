"""Owns a registry for tests: the functions of things, groups and principals with the arguments that rarely matter."""

import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from msgspec import structs
from tests.support.databases.memory_store import MemoryStore, Tables
from tests.support.databases.stores import insert, sample_certificate
from tests.support.registration.authority import caller_with, new_authority

from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate
from thingmint.core.identifiers import BillingGroupName, ThingGroupName, ThingName, ThingTypeName
from thingmint.core.paging import Page, PageRequest
from thingmint.core.registry.attributes import AttributePayload, Attributes
from thingmint.core.registry.thing import Thing, ThingPrincipalType, ThingUpdate
from thingmint.core.registry.thing_group import BillingGroup, ThingGroup
from thingmint.core.registry.thing_type import ThingType, ThingTypeProperties
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.ports import Store
from thingmint.registration.registry import (
    billing_groups,
    billing_members,
    thing_group_members,
    thing_groups,
    thing_principals,
    thing_types,
    things,
)

T = TypeVar("T")

ALL = PageRequest(1000, None, ascending=True)


@dataclass
class Registry:
    """One account's registry on a store."""

    authority: RegistrationAuthority = field(default_factory=new_authority)
    caller: Caller = field(default_factory=caller_with)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def store(self) -> Store:
        """Where it is stored."""
        return self.authority.store

    @property
    def tables(self) -> Tables:
        """What its store in memory has."""
        assert isinstance(self.store, MemoryStore)
        return self.store.tables

    @property
    def actions(self) -> list[str]:
        """The actions in its audit trail."""
        return [entry.action for entry in self.tables.audit]

    async def create_thing(
        self,
        name: str,
        type_name: str | None = None,
        *,
        billing: str | None = None,
        attributes: Mapping[str, str] = MappingProxyType({}),
        **others: str,
    ) -> Thing:
        """Create a thing."""
        thing = things.new_thing(
            self.authority,
            self.caller,
            ThingName(name),
            type_name=None if type_name is None else ThingTypeName(type_name),
            billing_group_name=None if billing is None else BillingGroupName(billing),
            attributes=Attributes.of({**attributes, **others}),
        )
        return await things.create(self.authority, self.caller, thing)

    async def thing(self, name: str) -> Thing:
        """Return the thing."""
        return await things.describe(self.authority, self.caller, ThingName(name))

    async def update_thing(
        self,
        name: str,
        type_name: str | None = None,
        *,
        expected: int | None = None,
        remove_type: bool = False,
        attributes: Mapping[str, str] = MappingProxyType({}),
        **others: str,
    ) -> None:
        """Give the thing a type, or these attributes besides those it has."""
        update = ThingUpdate(
            None if type_name is None else ThingTypeName(type_name),
            remove_type,
            AttributePayload(Attributes.of({**attributes, **others}), merge=True),
            expected,
        )
        await things.update(self.authority, self.caller, ThingName(name), update)

    async def delete_thing(self, name: str, expected: int | None = None) -> None:
        """Delete the thing."""
        await things.delete(self.authority, self.caller, ThingName(name), expected)

    async def create_type(self, name: str, *searchable: str, tags: dict[str, str] | None = None) -> ThingType:
        """Create a thing type."""
        properties = ThingTypeProperties("", searchable)
        return await thing_types.create(self.authority, self.caller, ThingTypeName(name), properties, tags or {})

    async def deprecate_type(self, name: str, *, undo: bool = False) -> None:
        """Deprecate the type."""
        await thing_types.deprecate(self.authority, self.caller, ThingTypeName(name), undo=undo)

    async def delete_type(self, name: str) -> None:
        """Delete the type."""
        await thing_types.delete(self.authority, self.caller, ThingTypeName(name))

    async def create_group(
        self,
        name: str,
        parent: str | None = None,
        *,
        description: str = "",
        tags: dict[str, str] | None = None,
        **attributes: str,
    ) -> ThingGroup:
        """Create a thing group."""
        return await thing_groups.create(
            self.authority,
            self.caller,
            ThingGroupName(name),
            parent_name=None if parent is None else ThingGroupName(parent),
            description=description,
            attributes=Attributes.of(attributes),
            tags=tags or {},
        )

    async def delete_group(self, name: str, expected: int | None = None) -> None:
        """Delete the group."""
        await thing_groups.delete(self.authority, self.caller, ThingGroupName(name), expected)

    async def groups(self, parent: str | None = None, prefix: str = "", *, recursive: bool | None = None) -> list[str]:
        """Return the names of the groups."""
        page = await thing_groups.list_groups(
            self.authority,
            self.caller,
            ALL,
            parent_name=None if parent is None else ThingGroupName(parent),
            prefix=prefix,
            recursive=recursive,
        )
        return list(page.items)

    async def join(self, group: str, thing: str) -> None:
        """Put the thing into the group."""
        await thing_group_members.add_thing(self.authority, self.caller, ThingGroupName(group), ThingName(thing))

    async def leave(self, group: str, thing: str) -> None:
        """Take the thing out of the group."""
        await thing_group_members.remove_thing(self.authority, self.caller, ThingGroupName(group), ThingName(thing))

    async def move(self, thing: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Take the thing out of groups and put it into others."""
        await thing_group_members.update_groups(
            self.authority,
            self.caller,
            ThingName(thing),
            add=[ThingGroupName(name) for name in add],
            remove=[ThingGroupName(name) for name in remove],
        )

    async def groups_of(self, thing: str) -> list[str]:
        """Return the names of the thing's groups."""
        page = await thing_group_members.list_groups(self.authority, self.caller, ThingName(thing), ALL)
        return list(page.items)

    async def members(self, group: str, *, recursive: bool = False) -> list[str]:
        """Return the names of the things in the group."""
        name = ThingGroupName(group)
        page = await thing_group_members.list_things(self.authority, self.caller, name, ALL, recursive=recursive)
        return list(page.items)

    async def create_billing_group(
        self, name: str, description: str = "", *, tags: dict[str, str] | None = None
    ) -> BillingGroup:
        """Create a billing group."""
        name_ = BillingGroupName(name)
        return await billing_groups.create(self.authority, self.caller, name_, description, tags or {})

    async def delete_billing_group(self, name: str, expected: int | None = None) -> None:
        """Delete the billing group."""
        await billing_groups.delete(self.authority, self.caller, BillingGroupName(name), expected)

    async def bill(self, group: str, thing: str) -> None:
        """Let the thing belong to the billing group."""
        await billing_members.add_thing(self.authority, self.caller, BillingGroupName(group), ThingName(thing))

    async def unbill(self, group: str, thing: str) -> None:
        """Let the thing belong to no billing group."""
        await billing_members.remove_thing(self.authority, self.caller, BillingGroupName(group), ThingName(thing))

    async def billed(self, group: str) -> list[str]:
        """Return the names of the billing group's things."""
        page = await billing_members.list_things(self.authority, self.caller, BillingGroupName(group), ALL)
        return list(page.items)

    async def certificate(self, **changes: object) -> Certificate:
        """Store a certificate that no other call stored."""
        certificate = sample_certificate(next(self.numbers), scope=self.caller.scope)
        certificate = replace(certificate, **changes)  # type: ignore[arg-type]  # any of its members
        await insert(self.store, certificate)
        return certificate

    async def attach(self, thing: str, principal: str, type_: ThingPrincipalType | None = None) -> None:
        """Attach the principal to the thing."""
        await thing_principals.attach(self.authority, self.caller, ThingName(thing), principal, type_)

    async def detach(self, thing: str, principal: str) -> None:
        """Detach the principal from the thing."""
        await thing_principals.detach(self.authority, self.caller, ThingName(thing), principal)

    async def principals(self, thing: str, type_: ThingPrincipalType | None = None) -> list[str]:
        """Return what is attached to the thing."""
        page = await thing_principals.list_principals(self.authority, self.caller, ThingName(thing), ALL, type_)
        return [attachment.principal for attachment in page.items]

    async def things_of(self, principal: str, type_: ThingPrincipalType | None = None) -> list[str]:
        """Return the things that the principal is attached to."""
        page = await thing_principals.list_things(self.authority, self.caller, principal, ALL, type_)
        return [attachment.thing_name for attachment in page.items]


def registry_on(store: Store) -> Registry:
    """Return a registry on this store."""
    return Registry(structs.replace(new_authority(), store=store))


async def turned(
    size: int, page_of: Callable[[PageRequest], Awaitable[Page[T]]], *, ascending: bool = True
) -> list[list[T]]:
    """Return all pages of a list of a registration function."""
    pages, request = [], PageRequest(size, None, ascending)
    while True:
        page = await page_of(request)
        pages.append(list(page.items))
        if page.next is None:
            return pages
        request = replace(request, after=page.next)
