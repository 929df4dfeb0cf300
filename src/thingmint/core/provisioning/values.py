"""Owns the values of provisioning templates: texts, references to parameters and functions, and their results.

Independent of resources. Every value is computed once, and the results of one template have a maximum size, which
limits the growth of nested functions.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from thingmint.core.errors import InvalidParameters

# Thirty times the longest template, and twice the largest MQTT message.
MAX_CHARACTERS = 262_144

Mappings: TypeAlias = Mapping[str, Mapping[str, Mapping[str, "str | tuple[str, ...]"]]]

_INDEX = re.compile(r"[0-9]{1,6}")


class Resolution:
    """The values of one template's parameters, and how many characters of results are still allowed."""

    def __init__(self, parameters: Mapping[str, str], mappings: Mappings) -> None:
        self._parameters = parameters
        self._mappings = mappings
        self._left = MAX_CHARACTERS

    def parameter(self, name: str) -> str:
        """Return the value of a parameter; raise InvalidParameters if it has none."""
        value = self._parameters.get(name)
        if value is None:
            raise unresolved(name)
        self.spend(len(value))
        return value

    def mapped(self, name: str, key: str, field: str) -> str | tuple[str, ...]:
        """Return the value in a mapping; raise InvalidParameters if it has no such key."""
        found = self._mappings.get(name, {}).get(key, {}).get(field)
        if found is None:
            raise InvalidParameters(f"Fn::FindInMap found nothing in {name} under {key} and {field}")
        self.spend(sum(map(len, found)))
        return found

    def joined(self, delimiter: str, texts: tuple[str, ...]) -> str:
        """Return the texts with the delimiter between them; raise InvalidParameters if the result is too long."""
        self.spend(sum(map(len, texts)) + len(delimiter) * max(0, len(texts) - 1))
        return delimiter.join(texts)

    def spend(self, characters: int) -> None:
        """Count the characters of a result; raise InvalidParameters above the limit."""
        self._left -= characters
        if self._left < 0:
            raise InvalidParameters(f"the template's values have more than {MAX_CHARACTERS} characters")


class TextValue(Protocol):
    """A value whose result is one text."""

    def text(self, resolution: Resolution) -> str:
        """Return the text; raise InvalidParameters if the parameters do not give it."""


class ListValue(Protocol):
    """A value whose result is a list of texts."""

    def texts(self, resolution: Resolution) -> tuple[str, ...]:
        """Return the texts; raise InvalidParameters if the parameters do not give them."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A fixed text."""

    value: str

    def text(self, resolution: Resolution) -> str:
        """Return the text."""
        resolution.spend(len(self.value))
        return self.value


@dataclass(frozen=True, slots=True)
class Reference:
    """``Ref``: the value of a parameter."""

    name: str

    def text(self, resolution: Resolution) -> str:
        """Return the parameter's value."""
        return resolution.parameter(self.name)


@dataclass(frozen=True, slots=True)
class Join:
    """``Fn::Join``: a list joined to one text."""

    delimiter: str
    items: ListValue

    def text(self, resolution: Resolution) -> str:
        """Return the list's texts with the delimiter between them."""
        return resolution.joined(self.delimiter, self.items.texts(resolution))


@dataclass(frozen=True, slots=True)
class Select:
    """``Fn::Select``: one element of a list, counted from zero."""

    index: TextValue
    items: ListValue

    def text(self, resolution: Resolution) -> str:
        """Return the element; raise InvalidParameters if the list has none at the index."""
        index, items = self.index.text(resolution), self.items.texts(resolution)
        if not _INDEX.fullmatch(index) or int(index) >= len(items):
            raise InvalidParameters(f"Fn::Select has no element {index} in a list of {len(items)}")
        return items[int(index)]


@dataclass(frozen=True, slots=True)
class FindInMap:
    """``Fn::FindInMap``: the text or list that the section Mappings has under two keys."""

    mapping: TextValue
    key: TextValue
    field: TextValue

    def text(self, resolution: Resolution) -> str:
        """Return the text; raise InvalidParameters if there is none."""
        found = self.found(resolution)
        if not isinstance(found, str):
            raise InvalidParameters("Fn::FindInMap found a list where a text is expected")
        return found

    def texts(self, resolution: Resolution) -> tuple[str, ...]:
        """Return the list; raise InvalidParameters if there is none."""
        found = self.found(resolution)
        if isinstance(found, str):
            raise InvalidParameters("Fn::FindInMap found a text where a list is expected")
        return found

    def found(self, resolution: Resolution) -> str | tuple[str, ...]:
        """Return the text or the list; raise InvalidParameters if there is neither."""
        name, key, field = (each.text(resolution) for each in (self.mapping, self.key, self.field))
        return resolution.mapped(name, key, field)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """``${Name}`` inside a text."""

    name: str


@dataclass(frozen=True, slots=True)
class Substitution:
    """``Fn::Sub``: a text in which the values of its own names and of parameters replace the names."""

    parts: tuple[str | Placeholder, ...]
    own: tuple[tuple[str, TextValue], ...]

    def text(self, resolution: Resolution) -> str:
        """Return the text with its names replaced."""
        own = {name: value.text(resolution) for name, value in self.own}
        texts = []
        for part in self.parts:
            if isinstance(part, str):
                texts.append(part)
            else:
                texts.append(own[part.name] if part.name in own else resolution.parameter(part.name))
        return resolution.joined("", tuple(texts))


@dataclass(frozen=True, slots=True)
class Items:
    """A list whose elements are values."""

    elements: tuple[TextValue, ...]

    def texts(self, resolution: Resolution) -> tuple[str, ...]:
        """Return the elements."""
        return tuple(element.text(resolution) for element in self.elements)


@dataclass(frozen=True, slots=True)
class Split:
    """``Fn::Split``: a text split to a list."""

    delimiter: str
    source: TextValue

    def texts(self, resolution: Resolution) -> tuple[str, ...]:
        """Return the parts of the text."""
        return tuple(self.source.text(resolution).split(self.delimiter))


def unresolved(name: str) -> InvalidParameters:
    """Return the error for an unknown name, with AWS's text."""
    return InvalidParameters(f"Cannot resolve reference value: {name}")
