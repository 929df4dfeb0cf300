"""Owns the description of devices that one registry passes to another. Independent of file formats and of calls."""

from msgspec import Struct, field


class ThingTypeItem(Struct, frozen=True):
    """A thing type."""

    name: str
    description: str | None = None
    searchable: tuple[str, ...] = ()


class GroupItem(Struct, frozen=True):
    """A thing group, the name of its parent and the policies that are attached to it."""

    name: str
    parent: str | None = None
    policies: tuple[str, ...] = ()


class CertificateItem(Struct, frozen=True):
    """A certificate in PEM, its status and policies."""

    certificate_id: str
    pem: str
    status: str
    policies: tuple[str, ...] = ()


class ThingItem(Struct, frozen=True):
    """A thing, and the ids of its certificates."""

    name: str
    type: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()


class Fleet(Struct):
    """The whole description. ``policies`` maps names to documents; groups come after their parents.

    ``templates`` maps names of provisioning templates to the request that creates them.
    """

    policies: dict[str, str] = field(default_factory=dict)
    types: list[ThingTypeItem] = field(default_factory=list)
    groups: list[GroupItem] = field(default_factory=list)
    certificates: dict[str, CertificateItem] = field(default_factory=dict)
    things: list[ThingItem] = field(default_factory=list)
    templates: dict[str, dict[str, object]] = field(default_factory=dict)


def parents_first(groups: list[GroupItem]) -> list[GroupItem]:
    """Return the groups, each of them after its parent; groups whose parent is not in the list come first."""
    left, done = {group.name: group for group in groups}, list[GroupItem]()
    while left:
        free = [group for group in left.values() if group.parent not in left]
        # No registry has a cycle of parents; the groups of a cycle keep their order.
        for group in free or list(left.values()):
            done.append(left.pop(group.name))
    return done
