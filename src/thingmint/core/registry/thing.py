"""Owns things, their attributes and their updates."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from thingmint.core.errors import InvalidRequest, VersionMismatch
from thingmint.core.identifiers import BillingGroupName, Scope, ThingName, ThingTypeName, thing_arn
from thingmint.core.registry.attributes import AttributePayload, Attributes

# AWS IoT's quotas: a thing with a type may have more attributes than one without.
MAX_ATTRIBUTES = 3
MAX_ATTRIBUTES_WITH_TYPE = 50
FIRST_VERSION = 1


class ThingPrincipalType(StrEnum):
    """Whether a principal belongs to this thing only or can belong to others too."""

    EXCLUSIVE_THING = "EXCLUSIVE_THING"
    NON_EXCLUSIVE_THING = "NON_EXCLUSIVE_THING"


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing in the registry. Its name never changes. Its version starts at one and counts its updates."""

    scope: Scope
    name: ThingName
    thing_id: str
    created_at: datetime
    type_name: ThingTypeName | None = None
    billing_group_name: BillingGroupName | None = None
    attributes: Attributes = field(default_factory=Attributes)
    version: int = FIRST_VERSION

    def __post_init__(self) -> None:
        """Raise InvalidRequest if the thing has more attributes than its type allows."""
        ensure_attribute_count(self.attributes, with_type=self.type_name is not None)

    @property
    def arn(self) -> str:
        """The thing's ARN."""
        return thing_arn(self.scope, self.name)

    @property
    def default_client_id(self) -> str:
        """The MQTT client ID that the thing is expected to connect with."""
        return self.name

    def has_configuration_of(self, other: "Thing") -> bool:
        """Return whether both have the same properties, so that a repeated creation changes nothing."""
        return (
            self.name == other.name
            and self.type_name == other.type_name
            and self.billing_group_name == other.billing_group_name
            and self.attributes == other.attributes
        )


@dataclass(frozen=True, slots=True)
class ThingUpdate:
    """The changes that UpdateThing requests. Values that are left out do not change."""

    type_name: ThingTypeName | None = None
    remove_type: bool = False
    payload: AttributePayload = field(default_factory=AttributePayload)
    expected_version: int | None = None

    def __post_init__(self) -> None:
        """Raise InvalidRequest if the update both sets and removes the type."""
        if self.remove_type and self.type_name is not None:
            raise InvalidRequest("thingTypeName and removeThingType exclude each other")


def updated(thing: Thing, update: ThingUpdate) -> Thing:
    """Return the thing after the update, one version later.

    Raises VersionMismatch if the caller expected another version, InvalidRequest if the thing would have too many
    attributes.
    """
    ensure_version(thing, update.expected_version)
    return replace(
        thing,
        type_name=None if update.remove_type else update.type_name or thing.type_name,
        attributes=update.payload.applied_to(thing.attributes),
        version=thing.version + 1,
    )


def ensure_version(thing: Thing, expected: int | None) -> None:
    """Raise VersionMismatch if the caller expects another version than the thing has."""
    if expected is not None and expected != thing.version:
        raise VersionMismatch(f"The thing {thing.name} has version {thing.version}, not {expected}")


def ensure_attribute_count(attributes: Attributes, *, with_type: bool) -> None:
    """Raise InvalidRequest if a thing, with a type or without, has too many attributes."""
    limit = MAX_ATTRIBUTES_WITH_TYPE if with_type else MAX_ATTRIBUTES
    if len(attributes) > limit:
        kind = "with a thing type" if with_type else "without a thing type"
        raise InvalidRequest(f"a thing {kind} has at most {limit} attributes, not {len(attributes)}")
