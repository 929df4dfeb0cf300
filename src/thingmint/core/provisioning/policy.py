"""Owns policies whose text depends on the device: PolicyDocuments with functions of the template inside.

A device's values go into JSON strings only, and only where a policy names something: in resources and in values of
conditions. They contain no character with a meaning in policies, topics or JSON and are never empty. So no value can
extend the permissions that the template's author wrote. Texts of the template and its section Mappings are trusted.
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

# Valid in names of things and of policies: no wildcard, no MQTT wildcard or level separator, no character of JSON.
_NAMING = re.compile(r"[A-Za-z0-9_.:=@,-]+")
_MEANING = "letters, digits and any of _.:=@,-"


class NotAPolicy(InvalidParameters):
    """The document with these values is not a policy."""


class Document(Protocol):
    """The document of a policy in a template."""

    def text(self, resolution: Resolution) -> str:
        """Return the document for one device; raise InvalidParameters if the values do not result in a policy."""
        ...


@dataclass(frozen=True, slots=True)
class FixedDocument:
    """A document that is the same for every device. The reader has checked that it is a policy."""

    document: str

    def text(self, resolution: Resolution) -> str:
        """Return the document."""
        resolution.spend(len(self.document))
        return self.document


@dataclass(frozen=True, slots=True)
class ChosenDocument:
    """A whole document of the template, for instance in its section Mappings, that is selected for a device."""

    path: str
    value: TextValue

    def text(self, resolution: Resolution) -> str:
        """Return the selected document."""
        return _policy(self.path, self.value.text(resolution))


@dataclass(frozen=True, slots=True)
class Put:
    """A function whose result is a text or, if its value is a list, a list of texts."""

    path: str
    value: TextValue | Split


@dataclass(frozen=True, slots=True)
class Object:
    """An object of a document with its keys in order. Keys do not depend on the device."""

    entries: tuple[tuple[str, "Part"], ...]


Part: TypeAlias = "Node | Object | tuple[Part, ...] | Put"
"""A part of a document: fixed JSON, an object or list of parts, or a function."""


@dataclass(frozen=True, slots=True)
class ComposedDocument:
    """A document with functions inside."""

    path: str
    root: Part

    def text(self, resolution: Resolution) -> str:
        """Return the document as compact JSON, with functions replaced by their results."""
        return _policy(self.path, written(_composed(self.root, resolution)))


def is_given(value: TextValue | ListValue) -> bool:
    """Return whether a device's values become part of the text, instead of only selecting texts of the template."""
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
    """Yield the parameters whose values become part of the text unchanged."""
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
    """Return whether a value of a device is allowed in its policy."""
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
        # The message leaves the value out, which may be long or secret.
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
