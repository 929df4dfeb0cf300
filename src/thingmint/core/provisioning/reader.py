"""Owns the reading of values in provisioning templates. Every error names the place and the reason.

Independent of resources and their properties.
"""

from collections.abc import Callable, Mapping

from thingmint.core.errors import InvalidRequest
from thingmint.core.provisioning.values import (
    FindInMap,
    Items,
    Join,
    ListValue,
    Literal,
    Mappings,
    Placeholder,
    Reference,
    Select,
    Split,
    Substitution,
    TextValue,
    unresolved,
)
from thingmint.core.strict_json import Entry, JSONNumber, Members, Node

JOIN = "Fn::Join"
# The prefixes of policy variables in AWS IoT policies.
_VARIABLES = frozenset({"iot", "aws"})


def refused(path: str, reason: str) -> InvalidRequest:
    """Return the error for a place in a template."""
    return InvalidRequest(f"{path}: {reason}")


def members(node: Node, path: str, known: frozenset[str] | None = None) -> dict[str, Entry]:
    """Return an object's entries by key; raise InvalidRequest if it is not an object or has an unknown key."""
    if not isinstance(node.value, Members):
        raise refused(path, "an object is expected")
    for entry in node.value.entries:
        if known is not None and entry.key not in known:
            raise refused(path, f"{entry.key!r} is not known here; {', '.join(sorted(known))} are")
    return {entry.key: entry for entry in node.value.entries}


def plain_text(node: Node, path: str) -> str:
    """Return a text without functions. Numbers and booleans become texts. Raise InvalidRequest for other values."""
    match node.value:
        case str() as text:
            return text
        case JSONNumber(text):
            return text
        case bool() as truth:
            return "true" if truth else "false"
        case _:
            raise refused(path, "a text is expected")


def read_mappings(node: Node, path: str) -> Mappings:
    """Return the section Mappings, which has no functions; raise InvalidRequest if it is malformed."""
    return {
        name: {
            key: {
                field: _leaf(leaf.node, f"{path}.{name}.{key}.{field}")
                for field, leaf in members(fields.node, f"{path}.{name}.{key}").items()
            }
            for key, fields in members(keys.node, f"{path}.{name}").items()
        }
        for name, keys in members(node, path).items()
    }


def _leaf(node: Node, path: str) -> str | tuple[str, ...]:
    if isinstance(node.value, tuple):
        return tuple(plain_text(element, f"{path}[{index}]") for index, element in enumerate(node.value))
    return plain_text(node, path)


class ValueReader:
    """Reads values that refer to these parameters and mappings and use all functions except those in ``without``."""

    def __init__(self, names: frozenset[str], mappings: Mappings, without: frozenset[str] = frozenset()) -> None:
        self._names = names
        self._mappings = mappings
        functions: Mapping[str, Callable[[Node, str], TextValue]] = {
            "Ref": self._reference,
            JOIN: self._join,
            "Fn::Select": self._select,
            "Fn::FindInMap": self._find_in_map,
            "Fn::Sub": self._substitution,
        }
        self._texts = {name: read for name, read in functions.items() if name not in without}
        self._lists: Mapping[str, Callable[[Node, str], ListValue]] = {
            "Fn::Split": self._split,
            "Fn::FindInMap": self._find_in_map,
        }

    def text(self, node: Node, path: str) -> TextValue:
        """Return a value whose result is one text; raise InvalidRequest if it is malformed."""
        if not isinstance(node.value, Members):
            return Literal(plain_text(node, path))
        name, argument = _function(node.value, path)
        read = self._texts.get(name)
        if read is None:
            raise refused(path, f"{name!r} is no function that gives a text here; {', '.join(self._texts)} are")
        return read(argument, f"{path}.{name}")

    def listing(self, node: Node, path: str) -> ListValue:
        """Return a value whose result is a list of texts; raise InvalidRequest if it is malformed."""
        if isinstance(node.value, tuple):
            return Items(tuple(self.text(each, f"{path}[{index}]") for index, each in enumerate(node.value)))
        if not isinstance(node.value, Members):
            raise refused(path, "a list is expected")
        name, argument = _function(node.value, path)
        read = self._lists.get(name)
        if read is None:
            raise refused(path, f"{name!r} is no function that gives a list; {', '.join(self._lists)} are")
        return read(argument, f"{path}.{name}")

    def _reference(self, node: Node, path: str) -> Reference:
        if not isinstance(node.value, str):
            raise refused(path, "the name of a parameter is expected")
        self._ensure_known(node.value, path)
        return Reference(node.value)

    def _join(self, node: Node, path: str) -> Join:
        delimiter, items = _arguments(node, path, "a delimiter and a list")
        return Join(plain_text(delimiter, f"{path}[0]"), self.listing(items, f"{path}[1]"))

    def _select(self, node: Node, path: str) -> Select:
        index, items = _arguments(node, path, "an index and a list")
        return Select(self.text(index, f"{path}[0]"), self.listing(items, f"{path}[1]"))

    def _split(self, node: Node, path: str) -> Split:
        delimiter, source = _arguments(node, path, "a delimiter and a text")
        separator = plain_text(delimiter, f"{path}[0]")
        if not separator:
            raise refused(f"{path}[0]", "the delimiter must not be empty")
        return Split(separator, self.text(source, f"{path}[1]"))

    def _find_in_map(self, node: Node, path: str) -> FindInMap:
        match node.value:
            case (first, second, third):
                mapping = self.text(first, f"{path}[0]")
                key, field = self.text(second, f"{path}[1]"), self.text(third, f"{path}[2]")
            case _:
                raise refused(path, "the name of a mapping and two keys are expected")
        if isinstance(mapping, Literal) and mapping.value not in self._mappings:
            raise refused(f"{path}[0]", f"there is no mapping {mapping.value!r}")
        return FindInMap(mapping, key, field)

    def substituted_text(self, node: Node, path: str) -> tuple[str, dict[str, TextValue], str]:
        """Return the text of a Fn::Sub, its own names and the text's place; raise InvalidRequest if it is malformed."""
        if isinstance(node.value, str):
            return node.value, {}, path
        first, second = _arguments(node, path, "a text, or a text and an object,")
        if not isinstance(first.value, str):
            raise refused(f"{path}[0]", "a text is expected")
        own = {
            name: self.text(entry.node, f"{path}[1].{name}") for name, entry in members(second, f"{path}[1]").items()
        }
        return first.value, own, f"{path}[0]"

    def substitution(self, text: str, own: Mapping[str, TextValue], path: str) -> Substitution:
        """Return the text with its names marked; raise InvalidRequest for an unknown name."""
        parts = _placeholders(text, path)
        for part in parts:
            if isinstance(part, Placeholder) and part.name not in own:
                self._ensure_known(part.name, path)
        return Substitution(parts, tuple(own.items()))

    def _substitution(self, node: Node, path: str) -> Substitution:
        text, own, _ = self.substituted_text(node, path)
        return self.substitution(text, own, path)

    def _ensure_known(self, name: str, path: str) -> None:
        if name not in self._names:
            raise refused(path, unresolved(name).message + self._hint(name))

    def _hint(self, name: str) -> str:
        """Return a hint about an unknown name: other letter case, extra blanks, or a policy variable."""
        meant = [each for each in sorted(self._names) if each.strip().casefold() == name.strip().casefold()]
        if meant:
            return f"; declared is {meant[0]!r}"
        if name.partition(":")[0] in _VARIABLES:
            return f"; the policy variable is written ${{!{name}}} here"
        return ""


def is_function(value: Members) -> bool:
    """Return whether an object is a function: one key, which is Ref or begins with Fn::."""
    keys = [entry.key for entry in value.entries]
    return len(keys) == 1 and (keys[0] == "Ref" or keys[0].startswith("Fn::"))


def _function(value: Members, path: str) -> tuple[str, Node]:
    if len(value.entries) != 1:
        raise refused(path, "a text or a function, which is an object with one key, is expected")
    (entry,) = value.entries
    return entry.key, entry.node


def _arguments(node: Node, path: str, expected: str) -> tuple[Node, Node]:
    match node.value:
        case (first, second):
            return first, second
        case _:
            raise refused(path, f"{expected} are expected")


def _placeholders(text: str, path: str) -> tuple[str | Placeholder, ...]:
    parts: list[str | Placeholder] = []
    head, *pieces = text.split("${")
    parts.append(head)
    for piece in pieces:
        name, brace, tail = piece.partition("}")
        if not brace or not name:
            raise refused(path, "${ is followed by a name and }")
        # ${!Name} stands for the text ${Name}.
        parts.append("${" + name[1:] + "}" if name.startswith("!") else Placeholder(name))
        parts.append(tail)
    return tuple(part for part in parts if part != "")
