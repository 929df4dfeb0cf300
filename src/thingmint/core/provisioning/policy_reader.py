"""Owns the reading of a template's PolicyDocument: a text or an object, with or without functions inside.

It checks the document with sample values when the template is created, before any device uses it.
"""

import re
from collections.abc import Mapping

from thingmint.core.errors import InvalidParameters, MalformedPolicy
from thingmint.core.policies.iot_policy import parse_iot_policy
from thingmint.core.provisioning.policy import (
    ChosenDocument,
    ComposedDocument,
    Document,
    FixedDocument,
    NotAPolicy,
    Object,
    Part,
    Put,
    is_given,
    is_naming,
    names_given,
)
from thingmint.core.provisioning.reader import ValueReader, members, refused
from thingmint.core.provisioning.values import Mappings, Placeholder, Resolution, Split, Substitution, TextValue
from thingmint.core.strict_json import Malformed, Members, Node, position, read_json, written

# A document's own depth (six) and that of functions inside functions.
_MAX_DEPTH = 24
_SUB = "Fn::Sub"
_SPLIT = "Fn::Split"
# A device's value can name something. It must not decide which actions the policy allows or denies.
_NOT_FOR_DEVICES = frozenset({"Version", "Effect", "Action", "NotAction", "Principal", "NotPrincipal"})
_SAMPLE = "A"
_PLACEHOLDER = re.compile(r"\$\{(!?)([^}]*)\}")


class PolicyReader:
    """Reads documents that may refer to these parameters, with their defaults, and to these mappings."""

    def __init__(self, values: ValueReader, defaults: Mapping[str, str | None], mappings: Mappings) -> None:
        self._values = values
        self._defaults = defaults
        self._mappings = mappings

    def document(self, node: Node, path: str) -> Document:
        """Return the document; raise InvalidRequest naming the place and the reason if it can never be a policy."""
        if isinstance(node.value, str):
            return FixedDocument(_policy(path, node.value))
        function = _function(node, path)
        if function == _SUB:
            return self._substituted(members(node, path)[_SUB].node, f"{path}.{_SUB}")
        if function is not None:
            return self._chosen(node, path)
        root = self._part(node, path, None)
        if isinstance(root, Node):
            return FixedDocument(_policy(path, written(root)))
        document = ComposedDocument(path, root)
        self._try(document, path)
        return document

    def _chosen(self, node: Node, path: str) -> Document:
        value = self._values.text(node, path)
        if is_given(value):
            raise refused(path, f"what a device gives cannot be a policy; put it into the document with {_SUB}")
        document = ChosenDocument(path, value)
        self._try(document, path)
        return document

    def _substituted(self, node: Node, path: str) -> Document:
        text, own, place = self._values.substituted_text(node, path)
        try:
            content = read_json(text, _MAX_DEPTH)
        except Malformed as error:
            raise refused(place, f"{position(text, error.offset)}: {error.reason}") from error
        document = ComposedDocument(place, self._substituted_part(content, own, place, None))
        self._try(document, place, text)
        return document

    def _substituted_part(self, node: Node, own: Mapping[str, TextValue], path: str, key: str | None) -> Part:
        """Return the part with the names in its strings marked, as Fn::Sub finds them in a text."""
        match node.value:
            case str() as text:
                value = self._values.substitution(text, own, path)
                return self._put(value, path, key) if _has_names(value) else Node(0, _plain(value))
            case Members(entries):
                return Object(
                    tuple(
                        [
                            (
                                self._key(each.key, own, path),
                                self._substituted_part(each.node, own, path, _place(key, each.key)),
                            )
                            for each in entries
                        ]
                    )
                )
            case tuple() as elements:
                return tuple([self._substituted_part(element, own, path, key) for element in elements])
            case _:
                return node

    def _key(self, key: str, own: Mapping[str, TextValue], path: str) -> str:
        value = self._values.substitution(key, own, path)
        if _has_names(value):
            raise refused(path, f"the key {key!r} has a name to replace; only texts can have")
        return _plain(value)

    def _part(self, node: Node, path: str, key: str | None) -> Part:
        function = _function(node, path)
        if function is not None:
            if function != _SPLIT:
                return self._put(self._values.text(node, path), path, key)
            split = self._values.listing(node, path)
            assert isinstance(split, Split), "that is what the function gives"
            return self._put(split, path, key)
        match node.value:
            case Members(entries):
                parts = tuple(
                    [(each.key, self._part(each.node, f"{path}.{each.key}", _place(key, each.key))) for each in entries]
                )
                return node if all(isinstance(part, Node) for _, part in parts) else Object(parts)
            case tuple() as elements:
                found = tuple([self._part(each, f"{path}[{index}]", key) for index, each in enumerate(elements)])
                return node if all(isinstance(part, Node) for part in found) else found
            case _:
                return node

    def _put(self, value: TextValue | Split, path: str, key: str | None) -> Put:
        if is_given(value) and key in _NOT_FOR_DEVICES:
            raise refused(path, f"what a device gives cannot be a part of {key}; it can be of Resource and Condition")
        for name in names_given(value):
            default = self._defaults.get(name)
            if default is not None and not is_naming(default):
                raise refused(f"Parameters.{name}.Default", f"it is put into the policy of {path}, where it may not be")
        return Put(path, value)

    def _try(self, document: Document, path: str, text: str | None = None) -> None:
        """Raise InvalidRequest if the document is not a policy for any values from devices."""
        try:
            document.text(_Samples(self._defaults, self._mappings))
        except NotAPolicy as error:
            if text is not None:
                # Uses the message for the original text if that text has the error, too.
                _policy(path, _PLACEHOLDER.sub(_of_same_length, text))
            reason = error.message.removeprefix(f"{path}: ")
            raise refused(path, f"{reason} (with {_SAMPLE!r} for what a device gives)") from error
        except InvalidParameters:
            # The device selects a value with a key of a mapping or an index, so no sample can show the result.
            return


class _Samples(Resolution):
    """Sample values of a device."""

    def __init__(self, defaults: Mapping[str, str | None], mappings: Mappings) -> None:
        super().__init__({}, mappings)
        self._defaults = defaults

    def parameter(self, name: str) -> str:
        """Return the parameter's default, or a sample value."""
        return self._defaults.get(name) or _SAMPLE


def _function(node: Node, path: str) -> str | None:
    if not isinstance(node.value, Members):
        return None
    keys = [entry.key for entry in node.value.entries]
    functions = [key for key in keys if key == "Ref" or key.startswith("Fn::")]
    if functions and len(keys) > 1:
        raise refused(path, f"{functions[0]} stands alone in its object")
    return functions[0] if functions else None


def _place(outer: str | None, key: str) -> str:
    """Return the element of a statement that a key is in, at any depth."""
    return outer if outer is not None and outer != "Statement" else key


def _has_names(value: Substitution) -> bool:
    return any(isinstance(part, Placeholder) for part in value.parts)


def _plain(value: Substitution) -> str:
    return "".join([part for part in value.parts if isinstance(part, str)])


def _of_same_length(found: re.Match[str]) -> str:
    # ${!Name} stands for the policy variable ${Name}, which is one character shorter.
    return f"${{{found[2]}}}{_SAMPLE}" if found[1] else _SAMPLE * len(found[0])


def _policy(path: str, document: str) -> str:
    try:
        parse_iot_policy(document)
    except MalformedPolicy as error:
        raise refused(path, error.message) from error
    return document
