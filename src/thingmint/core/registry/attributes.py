"""Owns the attributes of things and thing groups: valid names and values, and updates.

Does not limit their number, which depends on the thing's type: see `core.registry.thing`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from thingmint.core.errors import InvalidRequest

# Patterns and lengths are those of AttributeName and AttributeValue in the service model.
_NAME = re.compile(r"[a-zA-Z0-9_.,@/:#-]{1,128}")
_VALUE = re.compile(r"[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}")


def ensure_attribute_name(name: str) -> None:
    """Raise InvalidRequest unless the name is valid for an attribute."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"the name of an attribute matches {_NAME.pattern}; {name!r} does not")


@dataclass(frozen=True, slots=True)
class Attributes:
    """Valid names and values in the order of the names; no name appears twice."""

    pairs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Raise InvalidRequest if a name or a value breaks its pattern."""
        for name, value in self.pairs:
            ensure_attribute_name(name)
            if not _VALUE.fullmatch(value):
                raise InvalidRequest(f"the attribute {name!r} matches {_VALUE.pattern}; {value!r} does not")

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "Attributes":
        """Return the attributes; raise InvalidRequest if one of them is not valid."""
        return cls(tuple(sorted(values.items())))

    def as_dict(self) -> dict[str, str]:
        """Return the attributes by name."""
        return dict(self.pairs)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.pairs)


@dataclass(frozen=True, slots=True)
class AttributePayload:
    """The attributes of an update. Without ``attributes`` nothing changes."""

    attributes: Attributes | None = None
    merge: bool = False

    def applied_to(self, current: Attributes) -> Attributes:
        """Return the attributes after the update, which are merged with the current ones or replace them."""
        if self.attributes is None:
            return current
        start = current.as_dict() if self.merge else {}
        changed = start | self.attributes.as_dict()
        # AttributePayload in the service model: an update with an empty value removes the attribute.
        removed = {name for name, value in self.attributes.pairs if not value}
        return Attributes.of({name: value for name, value in changed.items() if name not in removed})
