"""Owns thing types, and when a type can be given to a thing or deleted."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import Scope, ThingTypeName, thing_type_arn
from thingmint.core.registry.attributes import ensure_attribute_name
from thingmint.core.registry.description import ensure_description

# AWS's developer guide, "Thing types": at most three searchable attributes, which cannot be changed, and five minutes
# between deprecation and deletion.
MAX_SEARCHABLE_ATTRIBUTES = 3
# Not documented by AWS. A page of a list has up to 250 types with all of their attributes; a thing has 50 at most.
MAX_PROPAGATING_ATTRIBUTES = 50
DELETABLE_AFTER = timedelta(minutes=5)
# AWS's text, for any length of the wait: Terraform's provider waits and tries again when it reads it.
WAIT_BEFORE_DELETION = "Please wait for 5 minutes after deprecation and then retry deleting the thing type"

_USER_PROPERTY_KEY = re.compile(r"[a-zA-Z0-9:$.]{1,128}")
_CONNECTION_ATTRIBUTE = re.compile(r"[a-zA-Z0-9:.]{1,128}")


@dataclass(frozen=True, slots=True)
class PropagatingAttribute:
    """An attribute of the thing or of its connection that MQTT 5 messages carry as a user property."""

    user_property_key: str
    thing_attribute: str | None = None
    connection_attribute: str | None = None

    def __post_init__(self) -> None:
        """Raise InvalidRequest unless it has exactly one source and matches its patterns."""
        if not _USER_PROPERTY_KEY.fullmatch(self.user_property_key):
            raise InvalidRequest(
                f"a userPropertyKey matches {_USER_PROPERTY_KEY.pattern}; {self.user_property_key!r} does not"
            )
        if (self.thing_attribute is None) is (self.connection_attribute is None):
            raise InvalidRequest("a propagating attribute has one of thingAttribute and connectionAttribute")
        if self.thing_attribute is not None:
            ensure_attribute_name(self.thing_attribute)
        elif not _CONNECTION_ATTRIBUTE.fullmatch(self.connection_attribute or ""):
            raise InvalidRequest(
                f"a connectionAttribute matches {_CONNECTION_ATTRIBUTE.pattern}; {self.connection_attribute!r} does not"
            )


def ensure_few_propagating_attributes(count: int) -> None:
    """Raise InvalidRequest if a request gives a thing type more propagating attributes than it may have.

    A type that an earlier version stored may have more.
    """
    if count > MAX_PROPAGATING_ATTRIBUTES:
        raise InvalidRequest(f"a thing type has at most {MAX_PROPAGATING_ATTRIBUTES} propagating attributes")


@dataclass(frozen=True, slots=True)
class ThingTypeProperties:
    """The properties of a new thing type."""

    description: str = ""
    searchable_attributes: tuple[str, ...] = ()
    propagating_attributes: tuple[PropagatingAttribute, ...] = ()

    def __post_init__(self) -> None:
        """Raise InvalidRequest for an invalid description or invalid searchable attributes."""
        ensure_description(self.description)
        if len(self.searchable_attributes) > MAX_SEARCHABLE_ATTRIBUTES:
            raise InvalidRequest(f"a thing type has at most {MAX_SEARCHABLE_ATTRIBUTES} searchable attributes")
        for name in self.searchable_attributes:
            ensure_attribute_name(name)

    def are_those_of(self, other: "ThingTypeProperties") -> bool:
        """Return whether both are equal. The order of their attributes does not matter."""
        return (
            self.description == other.description
            and set(self.searchable_attributes) == set(other.searchable_attributes)
            and set(self.propagating_attributes) == set(other.propagating_attributes)
        )


@dataclass(frozen=True, slots=True)
class ThingType:
    """A thing type in the registry. From ``deprecated_at`` on no further thing can get it."""

    scope: Scope
    name: ThingTypeName
    type_id: str
    properties: ThingTypeProperties
    created_at: datetime
    deprecated_at: datetime | None = None

    @property
    def arn(self) -> str:
        """The thing type's ARN."""
        return thing_type_arn(self.scope, self.name)

    @property
    def is_deprecated(self) -> bool:
        """Whether the type is deprecated: no further thing can get it."""
        return self.deprecated_at is not None

    def has_configuration_of(self, other: "ThingType") -> bool:
        """Return whether both have the same name and properties, so that a repeated creation changes nothing."""
        return self.name == other.name and self.properties.are_those_of(other.properties)


@dataclass(frozen=True, slots=True)
class ThingTypeUpdate:
    """The changes that UpdateThingType requests. None changes nothing."""

    description: str | None = None
    searchable_attributes: tuple[str, ...] | None = None
    propagating_attributes: tuple[PropagatingAttribute, ...] | None = None


def updated_type(thing_type: ThingType, update: ThingTypeUpdate) -> ThingType:
    """Return the type with these propagating attributes; raise InvalidRequest if anything else would change."""
    before = thing_type.properties
    description = before.description if update.description is None else update.description
    searchable = before.searchable_attributes if update.searchable_attributes is None else update.searchable_attributes
    if description != before.description or set(searchable) != set(before.searchable_attributes):
        # AWS's text, from an answer to a user of its command line.
        raise InvalidRequest("Can only update mqtt5Configuration.")
    if update.propagating_attributes is None:
        return thing_type
    return replace(thing_type, properties=replace(before, propagating_attributes=update.propagating_attributes))


def deprecated(thing_type: ThingType, at: datetime) -> ThingType:
    """Return the type as deprecated. A type that is deprecated already keeps its date."""
    return thing_type if thing_type.is_deprecated else replace(thing_type, deprecated_at=at)


def reinstated(thing_type: ThingType) -> ThingType:
    """Return the type as no longer deprecated."""
    return replace(thing_type, deprecated_at=None)


def ensure_assignable(thing_type: ThingType) -> None:
    """Raise InvalidRequest if the type is deprecated."""
    if thing_type.is_deprecated:
        raise InvalidRequest(f"Can not associate a thing with the deprecated thing type {thing_type.name}")


def ensure_type_deletable(thing_type: ThingType, at: datetime, wait: timedelta = DELETABLE_AFTER) -> None:
    """Raise InvalidRequest unless the type has been deprecated for long enough."""
    if thing_type.deprecated_at is None:
        raise InvalidRequest(f"The thing type {thing_type.name} must be deprecated before deletion")
    if at < thing_type.deprecated_at + wait:
        raise InvalidRequest(WAIT_BEFORE_DELETION)
