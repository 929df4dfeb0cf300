"""Owns a reference of the registry's rules: plain dictionaries, no store, no transactions, none of its code.

Each method does what an operation should do, or raises what the operation should raise and changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from thingmint.core.errors import InvalidRequest, ResourceExists, ResourceNotFound, VersionMismatch


@dataclass
class ModelThing:
    """A thing as a user would note it."""

    type_name: str | None
    billing: str | None
    attributes: dict[str, str]
    version: int = 1


@dataclass
class RegistryModel:
    """Everything of one account."""

    types: dict[str, bool] = field(default_factory=dict)
    billing: set[str] = field(default_factory=set)
    things: dict[str, ModelThing] = field(default_factory=dict)
    parents: dict[str, str | None] = field(default_factory=dict)
    groups_of: dict[str, list[str]] = field(default_factory=dict)
    certificates: set[str] = field(default_factory=set)
    attached: dict[tuple[str, str], bool] = field(default_factory=dict)

    def create_type(self, name: str) -> None:
        """Types have no properties here, so that a second creation is always in the same words."""
        self.types.setdefault(name, False)

    def deprecate_type(self, name: str, *, undo: bool) -> None:
        """The dictionary's value says whether the type is deprecated."""
        _require(name in self.types, ResourceNotFound)
        self.types[name] = not undo

    def delete_type(self, name: str) -> None:
        """Without any wait: the clock of the tests stands still."""
        _require(name in self.types, ResourceNotFound)
        _require(self.types[name], InvalidRequest)
        _require(all(thing.type_name != name for thing in self.things.values()), InvalidRequest)
        del self.types[name]

    def create_thing(self, name: str, type_name: str | None, billing: str | None, attributes: dict[str, str]) -> None:
        """The same words again are no error."""
        _require(len(attributes) <= _limit(type_name), InvalidRequest)
        present = self.things.get(name)
        if present is not None:
            wanted = (type_name, billing, attributes)
            _require((present.type_name, present.billing, present.attributes) == wanted, ResourceExists)
            return
        self._require_assignable(type_name)
        _require(billing is None or billing in self.billing, ResourceNotFound)
        self.things[name] = ModelThing(type_name, billing, attributes)
        self.groups_of[name] = []

    def update_thing(
        self, name: str, type_name: str | None, *, remove_type: bool, attributes: dict[str, str], expected: int | None
    ) -> None:
        """Attributes are merged; an empty one is removed."""
        _require(not (remove_type and type_name), InvalidRequest)
        _require(name in self.things, ResourceNotFound)
        thing = self.things[name]
        _require(expected in (None, thing.version), VersionMismatch)
        new_type = None if remove_type else type_name or thing.type_name
        merged = {key: value for key, value in (thing.attributes | attributes).items() if value}
        _require(len(merged) <= _limit(new_type), InvalidRequest)
        if new_type != thing.type_name:
            self._require_assignable(new_type)
        self.things[name] = ModelThing(new_type, thing.billing, merged, thing.version + 1)

    def delete_thing(self, name: str, expected: int | None) -> None:
        """What does not exist is deleted without complaint."""
        if name not in self.things:
            return
        _require(expected in (None, self.things[name].version), VersionMismatch)
        _require(not self.principals(name), InvalidRequest)
        del self.things[name], self.groups_of[name]

    def create_group(self, name: str, parent: str | None) -> None:
        """Groups have no properties here but their place."""
        _require(parent is None or parent in self.parents, ResourceNotFound)
        _require(parent is None or len(self.path(parent)) < 7, InvalidRequest)
        if name in self.parents:
            _require(self.parents[name] == parent, ResourceExists)
            return
        self.parents[name] = parent

    def delete_group(self, name: str) -> None:
        """Its things leave it."""
        _require(name not in self.parents.values(), InvalidRequest)
        if name in self.parents:
            del self.parents[name]
            for groups in self.groups_of.values():
                if name in groups:
                    groups.remove(name)

    def join(self, group: str, thing: str) -> None:
        """One group of a hierarchy."""
        _require(thing in self.things and group in self.parents, ResourceNotFound)
        groups = self.groups_of[thing]
        if group not in groups:
            _require(len(groups) < 10, InvalidRequest)
            _require(all(self.path(other)[0] != self.path(group)[0] for other in groups), InvalidRequest)
            groups.append(group)

    def leave(self, group: str, thing: str) -> None:
        """Leaving twice is no error."""
        _require(thing in self.things and group in self.parents, ResourceNotFound)
        if group in self.groups_of[thing]:
            self.groups_of[thing].remove(group)

    def create_billing_group(self, name: str) -> None:
        """Billing groups have no properties here."""
        self.billing.add(name)

    def delete_billing_group(self, name: str) -> None:
        """Only an empty one."""
        _require(all(thing.billing != name for thing in self.things.values()), InvalidRequest)
        self.billing.discard(name)

    def bill(self, group: str, thing: str) -> None:
        """One billing group for a thing."""
        _require(thing in self.things and group in self.billing, ResourceNotFound)
        _require(self.things[thing].billing in (None, group), InvalidRequest)
        self._move(thing, group)

    def unbill(self, group: str, thing: str) -> None:
        """From another group than the thing's, nothing happens."""
        _require(thing in self.things and group in self.billing, ResourceNotFound)
        if self.things[thing].billing == group:
            self._move(thing, None)

    def attach(self, thing: str, principal: str, exclusive: bool | None) -> None:
        """The dictionary's value says whether the attachment is exclusive."""
        _require(thing in self.things and principal in self.certificates, ResourceNotFound)
        present = self.attached.get((thing, principal))
        if present is not None:
            _require(exclusive in (None, present), InvalidRequest)
            return
        others = [kind for (_, certificate), kind in self.attached.items() if certificate == principal]
        _require(not others or not (exclusive or any(others)), InvalidRequest)
        self.attached[thing, principal] = bool(exclusive)

    def detach(self, thing: str, principal: str) -> None:
        """Detaching twice is no error."""
        _require(thing in self.things and principal in self.certificates, ResourceNotFound)
        self.attached.pop((thing, principal), None)

    def path(self, group: str) -> list[str]:
        """Return the names from the root down."""
        parent = self.parents[group]
        return [*([] if parent is None else self.path(parent)), group]

    def principals(self, thing: str) -> list[str]:
        """Return what is attached, in the order of attachment."""
        return [principal for name, principal in self.attached if name == thing]

    def members(self, group: str) -> set[str]:
        """Return the things in the group and below it."""
        return {
            thing for thing, groups in self.groups_of.items() if any(group in self.path(member) for member in groups)
        }

    def _move(self, thing: str, group: str | None) -> None:
        before = self.things[thing]
        if before.billing != group:
            self.things[thing] = ModelThing(before.type_name, group, before.attributes, before.version + 1)

    def _require_assignable(self, type_name: str | None) -> None:
        if type_name is not None:
            _require(type_name in self.types, ResourceNotFound)
            _require(not self.types[type_name], InvalidRequest)


def _limit(type_name: str | None) -> int:
    return 3 if type_name is None else 50


def _require(holds: bool, error: Callable[[str], Exception]) -> None:
    if not holds:
        raise error("the model refuses")
