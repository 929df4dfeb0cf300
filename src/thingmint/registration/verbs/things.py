"""Owns what a transaction does with things; knows no SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from thingmint.core.identifiers import BillingGroupName, Scope, ThingName, ThingTypeName
from thingmint.core.registry.thing import Thing
from thingmint.records.paging import Listed, PageRequest
from thingmint.records.steps import Steps


@dataclass(frozen=True, slots=True)
class AttributeFilter:
    """Things with this attribute, whose value is this one or starts with it."""

    name: str
    value: str
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class ThingFilter:
    """Which things a list holds; without any, all of them."""

    type_name: ThingTypeName | None = None
    attribute: AttributeFilter | None = None


class ThingVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def thing(self, scope: Scope, name: ThingName) -> Steps[Thing | None]:
        """Return the thing, or None."""
        ...

    def thing_for_update(self, scope: Scope, name: ThingName) -> Steps[Thing | None]:
        """Return the thing and keep others from changing it, or what belongs to it, until this transaction ends."""
        ...

    def insert_thing(self, thing: Thing) -> Steps[Thing | None]:
        """Store a new thing; if its name is taken, change nothing and return the thing that has it, for update."""
        ...

    def update_thing(self, thing: Thing) -> Steps[None]:
        """Store type, billing group, attributes and version of a thing that this transaction holds for update."""
        ...

    def delete_thing(self, thing: Thing) -> Steps[None]:
        """Delete a thing that this transaction holds for update; what belongs to it is deleted by verbs of its own."""
        ...

    def things(self, scope: Scope, wanted: ThingFilter, page: PageRequest) -> Steps[Sequence[Listed[Thing]]]:
        """Return up to ``page.size`` things, oldest first; by the attribute's value first if that is a prefix."""
        ...

    def things_in_billing_group(
        self, scope: Scope, name: BillingGroupName, page: PageRequest
    ) -> Steps[Sequence[Listed[ThingName]]]:
        """Return the names of up to ``page.size`` things of a billing group, oldest thing first."""
        ...
