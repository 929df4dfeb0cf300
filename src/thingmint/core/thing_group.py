"""Owns what thing groups and billing groups are, and which group a thing may join; knows no things."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NewType

from thingmint.core.attributes import AttributePayload, Attributes
from thingmint.core.description import ensure_description
from thingmint.core.errors import InvalidRequest, VersionMismatch
from thingmint.core.identifiers import BillingGroupName, Scope, ThingGroupName, billing_group_arn, thing_group_arn

# AWS IoT's quotas for thing groups.
MAX_GROUP_ATTRIBUTES = 50
MAX_DEPTH = 7
MAX_GROUPS_OF_A_THING = 10
FIRST_VERSION = 1

GroupPath = NewType("GroupPath", tuple[ThingGroupName, ...])
"""The names from the root of a hierarchy down to a group."""


@dataclass(frozen=True, slots=True)
class ThingGroup:
    """A static thing group in the registry."""

    scope: Scope
    name: ThingGroupName
    group_id: str
    created_at: datetime
    parent_name: ThingGroupName | None = None
    description: str = ""
    attributes: Attributes = field(default_factory=Attributes)
    version: int = FIRST_VERSION

    def __post_init__(self) -> None:
        """Raise InvalidRequest if the description cannot be or the attributes are too many."""
        ensure_description(self.description)
        if len(self.attributes) > MAX_GROUP_ATTRIBUTES:
            raise InvalidRequest(
                f"a thing group has at most {MAX_GROUP_ATTRIBUTES} attributes, not {len(self.attributes)}"
            )

    @property
    def arn(self) -> str:
        """The group's ARN."""
        return thing_group_arn(self.scope, self.name)


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
        """Raise InvalidRequest if the description cannot be."""
        ensure_description(self.description)

    @property
    def arn(self) -> str:
        """The group's ARN."""
        return billing_group_arn(self.scope, self.name)


def updated_group(
    group: ThingGroup, description: str, payload: AttributePayload, expected_version: int | None = None
) -> ThingGroup:
    """Return the group after an update, one version later; raise VersionMismatch or InvalidRequest."""
    ensure_group_version(group, expected_version)
    attributes = payload.applied_to(group.attributes)
    return replace(group, description=description, attributes=attributes, version=group.version + 1)


def ensure_group_version(group: ThingGroup | BillingGroup, expected: int | None) -> None:
    """Raise VersionMismatch if the caller expects another version than the group has."""
    if expected is not None and expected != group.version:
        raise VersionMismatch(f"The group {group.name} has version {group.version}, not {expected}")


def ensure_depth(parent: GroupPath) -> None:
    """Raise InvalidRequest if no group may stand below this one."""
    if len(parent) >= MAX_DEPTH:
        raise InvalidRequest(f"a hierarchy of thing groups is at most {MAX_DEPTH} levels deep")


def ensure_may_join(memberships: Collection[GroupPath], group: GroupPath) -> None:
    """Raise InvalidRequest if a thing in these groups may not join another one; joining again is no change."""
    if group in memberships:
        return
    if len(memberships) >= MAX_GROUPS_OF_A_THING:
        raise InvalidRequest(f"a thing belongs to at most {MAX_GROUPS_OF_A_THING} thing groups")
    for path in memberships:
        # AWS's developer guide, "Static thing groups": not to two groups that share a common parent.
        if path[0] == group[0]:
            raise InvalidRequest(f"the thing belongs to the thing group {path[-1]} of the same hierarchy")
