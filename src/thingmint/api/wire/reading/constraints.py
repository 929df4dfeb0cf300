"""Owns the limits of members in AWS's model, and the wording of violations. Independent of messages and HTTP."""

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from msgspec import Struct

from thingmint.api.wire.reading.unicode_patterns import unicode_matcher
from thingmint.core.errors import InvalidRequest

# The error message quotes at most this much of an invalid value.
_SHOWN_CHARACTERS = 256
_SHOWN_VIOLATIONS = 50

# The model's patterns are Java's, where these classes are ASCII unless a flag is set (java.util.regex.Pattern).
_POSIX_CLASSES = {
    r"\p{Graph}": r"!-~",
    r"\p{Print}": r" -~",
    r"\p{Alnum}": r"A-Za-z0-9",
    r"\p{Alpha}": r"A-Za-z",
    r"\p{Digit}": r"0-9",
    r"\p{Upper}": r"A-Z",
    r"\p{Lower}": r"a-z",
    r"\p{Cntrl}": r"\x00-\x1f\x7f",
    r"\p{Punct}": r"!-/:-@\[-`{-~",
    r"\p{Space}": r"\s",
}


class Constraint(Struct, frozen=True):
    """Limits of one member, with the model's own pattern text.

    `msgspec.Meta` has limits of numbers, but refuses the Java patterns of the model.
    """

    min_length: int | None = None
    max_length: int | None = None
    ge: float | None = None
    le: float | None = None
    pattern: str | None = None


MAX_ELEMENTS: Final = 10_000


class Violations:
    """Collects all violations of one request for one error message, and counts the elements to check."""

    __slots__ = ("_count", "_elements", "_texts")

    def __init__(self) -> None:
        self._count = 0
        self._elements = 0
        self._texts: list[str] = []

    def add(self, value: object, path: str, rule: str) -> None:
        """Record that the value at the path violates the rule."""
        self._count += 1
        if self._count <= _SHOWN_VIOLATIONS:
            self._texts.append(
                f"Value {_shown(value)} at '{path[:_SHOWN_CHARACTERS]}' failed to satisfy constraint: {rule}"
            )

    def look_at(self, elements: int) -> None:
        """Count elements of lists and maps before they are read; raise InvalidRequest if the total is too high.

        Not every list has a limit in the model, and a body may hold hundreds of thousands of elements.
        """
        self._elements += elements
        if self._elements > MAX_ELEMENTS:
            raise InvalidRequest(f"The lists and maps of a request have at most {MAX_ELEMENTS} elements in all")

    def refuse_if_any(self) -> None:
        """Raise InvalidRequest in the wording of AWS's services if there are violations."""
        if self._count:
            noun = "validation error" if self._count == 1 else "validation errors"
            raise InvalidRequest(f"{self._count} {noun} detected: {'; '.join(self._texts)}")


Check: TypeAlias = Callable[[object], bool]


class ValueRule(Struct, frozen=True):
    """One limit: the check of a value of the right type, and the wording of a violation."""

    holds: Check
    wording: str


def rules_of(constraints: Iterable[Constraint]) -> tuple[ValueRule, ...]:
    """Return the rules in the order in which AWS's services report them: pattern, then maximum, then minimum."""
    return tuple(rule for constraint in constraints for rule in _rules(constraint))


def check(rules: tuple[ValueRule, ...], value: object, path: str, violations: Violations) -> None:
    """Record each rule that the value violates."""
    for rule in rules:
        if not rule.holds(value):
            violations.add(value, path, rule.wording)


def translate_pattern(pattern: str) -> str:
    """Return a Java pattern of AWS's model in Python's syntax; raise ValueError for a class that is not translated.

    A POSIX class is replaced by the contents of a set, so it must be inside of a set or form one.
    """
    pieces = re.split(r"(\\p\{\w+\}|\\.|\[\^?|\])", pattern)
    in_set = False
    translated = []
    for piece in pieces:
        if piece.startswith(r"\p"):
            if piece not in _POSIX_CLASSES:
                raise ValueError(f"{piece} in {pattern!r} has no translation")
            inside = _POSIX_CLASSES[piece]
            translated.append(inside if in_set else f"[{inside}]")
            continue
        in_set = (in_set or piece.startswith("[")) and piece != "]"
        translated.append(piece)
    return "".join(translated)


def _rules(constraint: Constraint) -> Iterable[ValueRule]:
    if constraint.pattern is not None and constraint.pattern != _ANY_TEXT:
        matches = unicode_matcher(constraint.pattern) or _matcher(constraint.pattern)
        yield ValueRule(lambda value: matches(str(value)), _PATTERN + constraint.pattern)
    if constraint.max_length is not None:
        yield ValueRule(_at_most(constraint.max_length), f"{_LENGTH} less than or equal to {constraint.max_length}")
    if constraint.min_length is not None:
        yield ValueRule(_at_least(constraint.min_length), f"{_LENGTH} greater than or equal to {constraint.min_length}")
    if constraint.le is not None:
        le = constraint.le
        yield ValueRule(lambda value: _number(value) <= le, f"{_VALUE} less than or equal to {le}")
    if constraint.ge is not None:
        ge = constraint.ge
        yield ValueRule(lambda value: _number(value) >= ge, f"{_VALUE} greater than or equal to {ge}")


def _matcher(pattern: str) -> Callable[[str], bool]:
    # Java's matches() matches the whole value, and its \w and \d are ASCII.
    match = re.compile(translate_pattern(pattern), re.ASCII).fullmatch
    return lambda text: match(text) is not None


# A pattern of the model that matches every text; matching it against a CSR would cost more than all other checks.
_ANY_TEXT = r"[\s\S]*"
_PATTERN = "Member must satisfy regular expression pattern: "
_LENGTH = "Member must have length"
_VALUE = "Member must have value"


def _at_most(length: int) -> Check:
    return lambda value: _length(value) <= length


def _at_least(length: int) -> Check:
    return lambda value: _length(value) >= length


def _length(value: object) -> int:
    assert isinstance(value, (str, list, dict)), "lengths are limited for strings, lists and maps"
    return len(value)


def _number(value: object) -> float:
    assert isinstance(value, (int, float)), "values are limited for numbers"
    return value


def _shown(value: object) -> str:
    # Nested values are not quoted, because the caller controls their depth and size.
    match value:
        case None:
            return "null"
        case bool():
            text = "true" if value else "false"
        case list():
            text = "[...]"
        case dict():
            text = "{...}"
        case int() if value.bit_length() > 64:
            text = "a number of more than 64 bits"
        case _:
            text = str(value)
    return f"'{text[:_SHOWN_CHARACTERS]}…'" if len(text) > _SHOWN_CHARACTERS else f"'{text}'"
