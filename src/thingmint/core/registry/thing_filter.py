"""Owns the filters of lists of things: by their type, and by an attribute."""

from dataclasses import dataclass

from thingmint.core.identifiers import ThingTypeName


@dataclass(frozen=True, slots=True)
class AttributeFilter:
    """A filter of things by an attribute and its value or the prefix of its value."""

    name: str
    value: str
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class ThingFilter:
    """A filter of things. Without values it matches all things."""

    type_name: ThingTypeName | None = None
    attribute: AttributeFilter | None = None
