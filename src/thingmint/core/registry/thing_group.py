"""Owns thing groups and billing groups, and which groups a thing may join."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NewType

from thingmint.core.errors import InvalidRequest, VersionMismatch
from thingmint.core.identifiers import BillingGroupName, Scope, ThingGroupName, billing_group_arn, thing_group_arn
from thingmint.core.registry.attributes import AttributePayload, Attributes
from thingmint.core.registry.description import ensure_description

# AWS IoT's quotas for thing groups.
MAX_GROUP_ATTRIBUTES = 50
MAX_DEPTH = 7
MAX_CHILDREN = 100
MAX_GROUPS_OF_A_THING = 10
FIRST_VERSION = 1

GroupPath = NewType("GroupPath", tuple[ThingGroupName, ...])
"""The names from the root of a hierarchy down to a group."""


@dataclass(frozen=True, slots=True)
class ThingGroup:
    """A static thing group in the registry. ``ancestors`` from the root to its parent never change."""

    scope: Scope
    name: ThingGroupName
    group_id: str
    created_at: datetime
    ancestors: GroupPath = GroupPath(())
    description: str = ""
    attributes: Attributes = field(default_factory=Attributes)
    version: int = FIRST_VERSION

    def __post_init__(self) -> None:
        """Raise InvalidRequest for an invalid description or too many attributes."""
        ensure_description(self.description)
        if len(self.attributes) > MAX_GROUP_ATTRIBUTES:
            raise InvalidRequest(
                f"a thing group has at most {MAX_GROUP_ATTRIBUTES} attributes, not {len(self.attributes)}"
            )

    @property
    def arn(self) -> str:
        """The group's ARN."""
        return thing_group_arn(self.scope, self.name)

    @property
    def parent_name(self) -> ThingGroupName | None:
        """The group directly above, None at the root."""
        return self.ancestors[-1] if self.ancestors else None

    @property
    def path(self) -> GroupPath:
        """The names from the root down to the group itself."""
        return GroupPath((*self.ancestors, self.name))

    def has_configuration_of(self, other: "ThingGroup") -> bool:
        """Return whether both have the same properties, so that a repeated creation changes nothing."""
        return self.path == other.path and self.description == other.description and self.attributes == other.attributes


@dataclass(frozen=True, slots=True)
class BillingGroup:
    """A billing group in the registry."""

    scope: Scope
    name: BillingGroupName
    group_id: str
    created_at: datetime
    description: str = ""
    version: int = FIRST_VERSION

    def __post_init__(self) -> None:
        """Raise InvalidRequest for an invalid description."""
        ensure_description(self.description)

    @property
    def arn(self) -> str:
        """The group's ARN."""
        return billing_group_arn(self.scope, self.name)

    def has_configuration_of(self, other: "BillingGroup") -> bool:
        """Return whether both have the same properties, so that a repeated creation changes nothing."""
        return self.name == other.name and self.description == other.description


@dataclass(frozen=True, slots=True)
class GroupUpdate:
    """The changes that UpdateThingGroup and UpdateBillingGroup request. Values that are left out do not change."""

    description: str | None = None
    payload: AttributePayload = field(default_factory=AttributePayload)
    expected_version: int | None = None


def updated_group(group: ThingGroup, update: GroupUpdate) -> ThingGroup:
    """Return the group after an update, one version later; raise VersionMismatch or InvalidRequest."""
    ensure_group_version(group, update.expected_version)
    return replace(
        group,
        description=group.description if update.description is None else update.description,
        attributes=update.payload.applied_to(group.attributes),
        version=group.version + 1,
    )


def updated_billing_group(group: BillingGroup, update: GroupUpdate) -> BillingGroup:
    """Return the group after an update, one version later; raise VersionMismatch or InvalidRequest."""
    ensure_group_version(group, update.expected_version)
    description = group.description if update.description is None else update.description
    return replace(group, description=description, version=group.version + 1)


def ensure_group_version(group: ThingGroup | BillingGroup, expected: int | None) -> None:
    """Raise VersionMismatch if the caller expects another version than the group has."""
    if expected is not None and expected != group.version:
        raise VersionMismatch(f"The group {group.name} has version {group.version}, not {expected}")


def ensure_depth(parent: GroupPath) -> None:
    """Raise InvalidRequest if a group below this one would be too deep."""
    if len(parent) >= MAX_DEPTH:
        raise InvalidRequest(f"a hierarchy of thing groups is at most {MAX_DEPTH} levels deep")


def ensure_room_for_child(children: int) -> None:
    """Raise InvalidRequest if a group has the maximum number of children."""
    if children >= MAX_CHILDREN:
        raise InvalidRequest(f"a thing group has at most {MAX_CHILDREN} direct child groups")


def ensure_may_join(memberships: Collection[GroupPath], group: GroupPath) -> None:
    """Raise InvalidRequest if a thing in these groups may not join this group. It may join the same group again."""
    if group in memberships:
        return
    if len(memberships) >= MAX_GROUPS_OF_A_THING:
        raise InvalidRequest(f"a thing belongs to at most {MAX_GROUPS_OF_A_THING} thing groups")
    for path in memberships:
        # AWS's developer guide, "Static thing groups": not to two groups that share a common parent.
        if path[0] == group[0]:
            raise InvalidRequest(f"the thing belongs to the thing group {path[-1]} of the same hierarchy")
