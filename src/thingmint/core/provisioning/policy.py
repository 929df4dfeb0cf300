"""Owns policies whose text depends on the device: the results of a template's functions inside a PolicyDocument.

A device's values are put inside JSON strings only, and only where they name something: in resources and in the values
of conditions. They have no character with a meaning in policies, topics or JSON, and are never empty, so that no value
can widen what the template's author wrote. Texts of the template itself, its section Mappings included, are trusted.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from thingmint.core.errors import InvalidParameters, MalformedPolicy
from thingmint.core.policies.iot_policy import parse_iot_policy
from thingmint.core.provisioning.values import (
    FindInMap,
    Items,
    ListValue,
    Literal,
    Placeholder,
    Reference,
    Resolution,
    Select,
    Split,
    Substitution,
    TextValue,
)
from thingmint.core.strict_json import Entry, Members, Node, Value, written

# What names of things and policies have in common; no wildcard, no MQTT wildcard or level separator, nothing of JSON.
_NAMING = re.compile(r"[A-Za-z0-9_.:=@,-]+")
_MEANING = "letters, digits and any of _.:=@,-"


class NotAPolicy(InvalidParameters):
    """With these values the document is not a policy."""


class Document(Protocol):
    """The document of a policy in a template."""

    def text(self, resolution: Resolution) -> str:
        """Return the document for one device; raise InvalidParameters if its values make none."""
        ...


@dataclass(frozen=True, slots=True)
class FixedDocument:
    """A document that is the same for every device; it was found to be a policy."""

    document: str

    def text(self, resolution: Resolution) -> str:
        """Return the document."""
        resolution.spend(len(self.document))
        return self.document


@dataclass(frozen=True, slots=True)
class ChosenDocument:
    """A document that the template has as a whole, in its section Mappings for instance, and chooses for a device."""

    path: str
    value: TextValue

    def text(self, resolution: Resolution) -> str:
        """Return the document that is chosen."""
        return _policy(self.path, self.value.text(resolution))


@dataclass(frozen=True, slots=True)
class Put:
    """A function in place of a text or, where its value is a list, of a list of texts."""

    path: str
    value: TextValue | Split


@dataclass(frozen=True, slots=True)
class Object:
    """An object of a document, its keys in order; keys depend on nothing."""

    entries: tuple[tuple[str, "Part"], ...]


Part: TypeAlias = "Node | Object | tuple[Part, ...] | Put"
"""What a document is made of: JSON as it stands, objects and lists of parts, and functions."""


@dataclass(frozen=True, slots=True)
class ComposedDocument:
    """A document with functions inside."""

    path: str
    root: Part

    def text(self, resolution: Resolution) -> str:
        """Return the document with the functions' texts put in, compact."""
        return _policy(self.path, written(_composed(self.root, resolution)))


def is_given(value: TextValue | ListValue) -> bool:
    """Return whether a device's values become a part of the text, and not only choose among the template's own."""
    match value:
        case Literal() | FindInMap():
            return False
        case Items(elements):
            return any(is_given(element) for element in elements)
        case Select(_, items):
            return is_given(items)
        case Split(_, source):
            return is_given(source)
        case Substitution(parts, own):
            values = dict(own)
            names = [part.name for part in parts if isinstance(part, Placeholder)]
            return any(name not in values or is_given(values[name]) for name in names)
        case _:
            return True


def names_given(value: TextValue | ListValue) -> Iterator[str]:
    """Yield the parameters whose values become a part of the text as they are."""
    match value:
        case Reference(name):
            yield name
        case Substitution(parts, own):
            values = dict(own)
            for part in parts:
                if isinstance(part, Placeholder):
                    yield from names_given(values[part.name]) if part.name in values else (part.name,)
        case _:
            return


def is_naming(text: str) -> bool:
    """Return whether a text may be put into a policy for a device."""
    return _NAMING.fullmatch(text) is not None


def _composed(part: Part, resolution: Resolution) -> Node:
    match part:
        case Node():
            return part
        case Object(entries):
            return _node(Members(tuple([Entry(key, 0, _composed(each, resolution)) for key, each in entries])))
        case Put(path, value):
            return _put(path, value, resolution)
        case elements:
            return _node(tuple([_composed(element, resolution) for element in elements]))


def _put(path: str, value: TextValue | Split, resolution: Resolution) -> Node:
    match value:
        case Split():
            texts = value.texts(resolution)
            return _node(
                tuple([_node(_checked(path, "each part", text) if is_given(value) else text) for text in texts])
            )
        case FindInMap():
            found = value.found(resolution)
            return _node(found if isinstance(found, str) else tuple([_node(text) for text in found]))
        case Substitution(parts, own):
            values = {name: _text(f"{path}.{name}", each, resolution) for name, each in own}
            return _node(resolution.joined("", tuple(_substituted(path, parts, values, resolution))))
        case _:
            return _node(_text(path, value, resolution))


def _substituted(
    path: str, parts: tuple[str | Placeholder, ...], values: dict[str, str], resolution: Resolution
) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif part.name in values:
            yield values[part.name]
        else:
            yield _checked(path, f"the value of {part.name}", resolution.parameter(part.name))


def _text(path: str, value: TextValue, resolution: Resolution) -> str:
    if isinstance(value, Substitution):
        node = _put(path, value, resolution)
        assert isinstance(node.value, str), "a substitution results in a text"
        return node.value
    text = value.text(resolution)
    what = f"the value of {value.name}" if isinstance(value, Reference) else "what is selected"
    return _checked(path, what, text) if is_given(value) else text


def _checked(path: str, what: str, text: str) -> str:
    if not is_naming(text):
        # The value is not repeated: it may be long, and secret.
        raise InvalidParameters(f"{path}: {what} is put into a policy and must be {_MEANING}, one or more")
    return text


def _policy(path: str, document: str) -> str:
    try:
        parse_iot_policy(document)
    except MalformedPolicy as error:
        raise NotAPolicy(f"{path}: {error.message}") from error
    return document


def _node(value: Value) -> Node:
    return Node(0, value)
