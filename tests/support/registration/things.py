"""Owns sample things, types and groups for tests; knows no engine."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from tests.support.databases.stores import CREATED_AT, SCOPE

from thingmint.core.identifiers import BillingGroupName, Scope, ThingGroupName, ThingName, ThingTypeName
from thingmint.core.paging import Listed, PageKey, PageRequest
from thingmint.core.registry.attributes import Attributes
from thingmint.core.registry.thing import Thing
from thingmint.core.registry.thing_group import BillingGroup, GroupPath, ThingGroup
from thingmint.core.registry.thing_type import ThingType, ThingTypeProperties
from thingmint.records.steps import Program, Steps
from thingmint.registration.kernel.ports import Store

T = TypeVar("T")


def sample_thing(
    name: str, type_name: str | None = None, *, billing: str | None = None, scope: Scope = SCOPE, **attributes: str
) -> Thing:
    """Return a thing in its first version."""
    return Thing(
        scope,
        ThingName(name),
        f"id-of-{name}",
        CREATED_AT,
        None if type_name is None else ThingTypeName(type_name),
        None if billing is None else BillingGroupName(billing),
        Attributes.of(attributes),
    )


def sample_type(name: str, properties: ThingTypeProperties | None = None, *, scope: Scope = SCOPE) -> ThingType:
    """Return a thing type that things may get."""
    return ThingType(scope, ThingTypeName(name), f"id-of-{name}", properties or ThingTypeProperties(), CREATED_AT)


def sample_group(*path: str, scope: Scope = SCOPE) -> ThingGroup:
    """Return the group at the end of the path."""
    *ancestors, name = group_path(*path)
    return ThingGroup(scope, name, f"id-of-{name}", CREATED_AT, GroupPath(tuple(ancestors)))


def sample_billing_group(name: str, *, scope: Scope = SCOPE) -> BillingGroup:
    """Return a billing group in its first version."""
    return BillingGroup(scope, BillingGroupName(name), f"id-of-{name}", CREATED_AT)


def group_path(*names: str) -> GroupPath:
    """Return the names as a path."""
    return GroupPath(tuple(ThingGroupName(name) for name in names))


def next_version(thing: Thing, **attributes: str) -> Thing:
    """Return the thing one version later with these attributes."""
    return replace(thing, attributes=Attributes.of(attributes), version=thing.version + 1)


async def turned(
    store: Store, size: int, entries: Callable[[PageRequest], Steps[Sequence[Listed[T]]]]
) -> list[list[T]]:
    """Return all pages of a list; fail if one is longer than asked for."""

    def page(after: PageKey | None) -> Program[Sequence[Listed[T]]]:
        return lambda: entries(PageRequest(size, after, ascending=True))

    pages: list[list[T]] = []
    after: PageKey | None = None
    while found := await store.read(page(after)):
        assert len(found) <= size
        pages.append([entry.item for entry in found])
        after = found[-1].key
    return pages


async def write(store: Store, *steps: Program[object]) -> list[object]:
    """Run the steps in one transaction and return what each returned."""

    def program() -> Steps[list[object]]:
        results: list[object] = []
        for step in steps:
            results += [(yield from step())]
        return results

    return await store.write(program)
