"""Owns what a transaction does with thing types; knows no SQL."""

from collections.abc import Sequence
from typing import Protocol

from thingmint.core.identifiers import Scope, ThingTypeName
from thingmint.core.registry.thing_type import ThingType
from thingmint.records.paging import Listed, PageRequest
from thingmint.records.steps import Steps


class ThingTypeVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def thing_type(self, scope: Scope, name: ThingTypeName) -> Steps[ThingType | None]:
        """Return the thing type, or None."""
        ...

    def thing_type_for_share(self, scope: Scope, name: ThingTypeName) -> Steps[ThingType | None]:
        """Return the thing type and keep it as it is until this transaction ends; others may do the same."""
        ...

    def thing_type_for_update(self, scope: Scope, name: ThingTypeName) -> Steps[ThingType | None]:
        """Return the thing type and keep others from changing or giving it until this transaction ends."""
        ...

    def insert_thing_type(self, thing_type: ThingType) -> Steps[ThingType | None]:
        """Store a new thing type; if its name is taken, change nothing and return the one that has it, for update."""
        ...

    def update_thing_type(self, thing_type: ThingType) -> Steps[None]:
        """Store properties and deprecation of a thing type that this transaction holds for update."""
        ...

    def delete_thing_type(self, thing_type: ThingType) -> Steps[None]:
        """Delete a thing type that this transaction holds for update."""
        ...

    def thing_types(
        self, scope: Scope, name: ThingTypeName | None, page: PageRequest
    ) -> Steps[Sequence[Listed[ThingType]]]:
        """Return up to ``page.size`` thing types, oldest first: those of this name, or all."""
        ...
