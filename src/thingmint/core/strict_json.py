"""Owns the JSON reader for policies and templates: strict, limited in depth, each value with its position.

The standard library's reader loses positions and silently keeps only the last of repeated keys, which can hide a Deny
in a policy. Does not interpret the values.
"""

import json
import re
from dataclasses import dataclass
from typing import TypeAlias

_WHITESPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_STRINGS = json.JSONDecoder()


class Malformed(Exception):
    """The document is not valid at this offset."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


@dataclass(frozen=True, slots=True)
class JSONNumber:
    """A number as the author wrote it. A conversion could change it, and documents keep their texts."""

    text: str


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its start in the text."""

    offset: int
    value: "Value"


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of an object, where the key starts, and its value."""

    key: str
    offset: int
    node: Node


@dataclass(frozen=True, slots=True)
class Members:
    """An object's entries in the order of the text. Keys are unique, unless the reader allows repeated keys."""

    entries: tuple[Entry, ...]


Value: TypeAlias = str | JSONNumber | bool | tuple[Node, ...] | Members | None


def read_json(text: str, max_depth: int, *, repeated_keys: bool = False) -> Node:
    """Return the JSON value of the text; raise Malformed if it is not strict JSON or nested too deep.

    With ``repeated_keys``, an object can have a key more than once.
    """
    lone = _lone_surrogate(text)
    if lone is not None:
        raise Malformed(lone, "the text has half of a surrogate pair")
    reader = _Reader(text, max_depth, repeated_keys=repeated_keys)
    document = reader.value(1)
    reader.end()
    return document


def position(text: str, offset: int) -> str:
    """Return the line and column of an offset, both counted from one."""
    before = text[:offset]
    return f"line {before.count(chr(10)) + 1}, column {len(before) - (before.rfind(chr(10)) + 1) + 1}"


class _Reader:
    def __init__(self, text: str, max_depth: int, *, repeated_keys: bool) -> None:
        self._text = text
        self._repeated_keys = repeated_keys
        self._max_depth = max_depth
        self._offset = 0

    def value(self, depth: int) -> Node:
        self._skip_whitespace()
        start = self._offset
        if depth > self._max_depth:
            raise Malformed(start, f"values are nested more than {self._max_depth} levels deep")
        match self._peek():
            case "{":
                return Node(start, Members(tuple(self._entries(depth))))
            case "[":
                return Node(start, tuple(self._elements(depth)))
            case '"':
                return Node(start, self._string())
            case _:
                return Node(start, self._word_or_number())

    def end(self) -> None:
        self._skip_whitespace()
        if self._offset != len(self._text):
            raise Malformed(self._offset, "the document has ended, and more text follows")

    def _entries(self, depth: int) -> list[Entry]:
        entries: list[Entry] = []
        seen: set[str] = set()
        while self._more("}", first=not entries):
            start = self._offset
            if self._peek() != '"':
                raise Malformed(start, "a key in double quotes is expected")
            key = self._string()
            if key in seen and not self._repeated_keys:
                raise Malformed(start, f"the key {key!r} appears twice")
            seen.add(key)
            self._skip_whitespace()
            if self._peek() != ":":
                raise Malformed(self._offset, f"a colon is expected after the key {key!r}")
            self._offset += 1
            entries.append(Entry(key, start, self.value(depth + 1)))
        return entries

    def _elements(self, depth: int) -> list[Node]:
        elements: list[Node] = []
        while self._more("]", first=not elements):
            elements.append(self.value(depth + 1))
        return elements

    def _more(self, closing: str, *, first: bool) -> bool:
        # The position is first on the opening bracket, then after each element. It moves to the next one or the end.
        if first:
            self._offset += 1
        self._skip_whitespace()
        if self._peek() == closing:
            self._offset += 1
            return False
        if not first:
            if self._peek() != ",":
                raise Malformed(self._offset, f"a comma or {closing!r} is expected")
            self._offset += 1
            self._skip_whitespace()
        return True

    def _string(self) -> str:
        start = self._offset
        try:
            text, self._offset = _STRINGS.raw_decode(self._text, start)
        except json.JSONDecodeError as error:
            raise Malformed(error.pos, f"the string cannot be read: {error.msg}") from error
        if _lone_surrogate(text) is not None:
            # An escape can produce a lone surrogate, which could not be encoded later.
            raise Malformed(start, "the string has half of a surrogate pair")
        return str(text)

    def _word_or_number(self) -> Value:
        for word, value in _WORDS.items():
            if self._text.startswith(word, self._offset):
                self._offset += len(word)
                return value
        number = _NUMBER.match(self._text, self._offset)
        if number is None:
            found = self._peek()
            raise Malformed(self._offset, f"a value is expected, not {found!r}" if found else "the document ends early")
        self._offset = number.end()
        return JSONNumber(number.group())

    def _peek(self) -> str:
        return self._text[self._offset : self._offset + 1]

    def _skip_whitespace(self) -> None:
        match = _WHITESPACE.match(self._text, self._offset)
        assert match is not None, "the expression matches the empty string"
        self._offset = match.end()


def _lone_surrogate(text: str) -> int | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def written(node: Node) -> str:
    """Return the value as compact JSON, in the order of the text."""
    match node.value:
        case Members(entries):
            return "{" + ",".join(f"{_quoted(entry.key)}:{written(entry.node)}" for entry in entries) + "}"
        case tuple() as elements:
            return "[" + ",".join(written(element) for element in elements) + "]"
        case JSONNumber(text):
            return text
        case scalar:
            return json.dumps(scalar, ensure_ascii=False)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
