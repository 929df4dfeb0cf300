"""Owns what a transaction does with thing groups and with the things in them; knows no SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from thingmint.core.identifiers import Scope, ThingGroupName, ThingName
from thingmint.core.registry.thing_group import GroupPath, ThingGroup
from thingmint.records.paging import Listed, PageRequest
from thingmint.records.steps import Steps


@dataclass(frozen=True, slots=True)
class GroupFilter:
    """Which groups a list holds: those whose names start so, anywhere, directly below a group, or at any depth.

    ``below`` is the empty path for what has no parent, and None for anywhere.
    """

    prefix: str = ""
    below: GroupPath | None = None
    is_recursive: bool = False


class ThingGroupVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def thing_group(self, scope: Scope, name: ThingGroupName) -> Steps[ThingGroup | None]:
        """Return the thing group, or None."""
        ...

    def thing_group_for_share(self, scope: Scope, name: ThingGroupName) -> Steps[ThingGroup | None]:
        """Return the thing group and keep it as it is until this transaction ends; others may do the same."""
        ...

    def thing_group_for_update(self, scope: Scope, name: ThingGroupName) -> Steps[ThingGroup | None]:
        """Return the thing group and keep others from changing or joining it until this transaction ends."""
        ...

    def insert_thing_group(self, group: ThingGroup) -> Steps[ThingGroup | None]:
        """Store a new group; if its name is taken, change nothing and return the group that has it, for update."""
        ...

    def update_thing_group(self, group: ThingGroup) -> Steps[None]:
        """Store description, attributes and version of a group that this transaction holds for update."""
        ...

    def delete_thing_group(self, group: ThingGroup) -> Steps[None]:
        """Delete a group that this transaction holds for update, and let the things in it go."""
        ...

    def thing_groups(
        self, scope: Scope, wanted: GroupFilter, page: PageRequest
    ) -> Steps[Sequence[Listed[ThingGroupName]]]:
        """Return the names of up to ``page.size`` groups in their order; at any depth, in the order of the paths."""
        ...

    def groups_of_thing(self, scope: Scope, name: ThingName, page: PageRequest) -> Steps[Sequence[Listed[GroupPath]]]:
        """Return the paths of up to ``page.size`` groups that the thing is in, in the order in which it joined."""
        ...

    def things_in_group(
        self, scope: Scope, path: GroupPath, page: PageRequest, *, recursive: bool
    ) -> Steps[Sequence[Listed[ThingName]]]:
        """Return the names of up to ``page.size`` things in the group, or also in those below it, group by group."""
        ...

    def add_thing_to_group(self, scope: Scope, name: ThingName, path: GroupPath) -> Steps[bool]:
        """Put a thing that this transaction holds into a group that it holds; say whether that changed anything."""
        ...

    def remove_thing_from_group(self, scope: Scope, name: ThingName, path: GroupPath) -> Steps[bool]:
        """Take the thing out of the group; say whether it was in it."""
        ...

    def remove_thing_from_groups(self, scope: Scope, name: ThingName) -> Steps[None]:
        """Take the thing out of every group."""
        ...
