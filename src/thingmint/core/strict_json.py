"""Owns JSON as people write it into policies and templates: strict, bounded, every value with its position.

The standard library's reader loses positions and lets a repeated key win silently, which in a policy can hide a Deny.
Knows nothing of what the values mean.
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
    """The text at the offset cannot be part of the document."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


@dataclass(frozen=True, slots=True)
class JSONNumber:
    """A number as it was written: documents keep their texts, and a conversion could change one."""

    text: str


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it starts in the text."""

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
    """An object's entries in the order of the text; no key appears twice, unless the reader was told to allow it."""

    entries: tuple[Entry, ...]


Value: TypeAlias = str | JSONNumber | bool | tuple[Node, ...] | Members | None


def read_json(text: str, max_depth: int, *, repeated_keys: bool = False) -> Node:
    """Return the JSON value that the text is; raise Malformed if it is not strict JSON or nested too deep.

    With ``repeated_keys``, an object may have a key more than once.
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
        # Stands on the opening bracket at first, then behind each element; moves to the next element or past the end.
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
            # An escape can write what no text may hold; it would fail wherever the text is encoded.
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
