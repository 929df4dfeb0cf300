"""Owns the texts inside policies: wildcards, ``${…}`` variables and escapes, and what a text matches.

No regular expression is built from a policy: matching takes time in proportion to the text times the pattern at worst,
and a pattern with variables needs no compilation for each request.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

Predicate: TypeAlias = Callable[[str], bool]
Variables: TypeAlias = Callable[[str], str | None]
"""Returns the value of a condition key, or None where the request has none."""

_ARN_PARTS = 6


class Wildcard(Enum):
    """What stands for other text."""

    ANY_RUN = "*"
    ANY_CHARACTER = "?"


@dataclass(frozen=True, slots=True)
class Variable:
    """A condition key whose value is put in, and the text for requests that lack the key."""

    key: str
    default: str | None


Fixed: TypeAlias = str | Wildcard
Token: TypeAlias = Fixed | Variable

_WILDCARDS = {wildcard.value: wildcard for wildcard in Wildcard}
_ESCAPES = ("*", "?", "$")
# A key, where it names an attribute with the attribute's name in brackets, which may hold commas; then the default.
_VARIABLE = re.compile(r"([^,:\[\]${']*:[^,\[\]${']*(?:\[[^\[\]${']*\]\s*)?)(?:,\s*'(.*)'\s*)?", re.DOTALL)


def parse_tokens(text: str, *, wildcards: bool, variables: bool) -> tuple[Token, ...]:
    """Return the tokens of a policy's text; raise ValueError if a variable cannot be read."""
    tokens: list[Token] = []
    offset = 0
    while offset < len(text):
        if variables and text.startswith("${", offset):
            end = text.find("}", offset)
            if end < 0:
                raise ValueError("the variable that starts with ${ has no end")
            tokens.append(_variable(text[offset + 2 : end]))
            offset = end + 1
        else:
            tokens.append(_WILDCARDS.get(text[offset], text[offset]) if wildcards else text[offset])
            offset += 1
    return _joined(tokens)


def resolved(tokens: tuple[Token, ...], variables: Variables) -> tuple[Fixed, ...] | None:
    """Return the tokens with variables replaced by literal text; None if the request lacks one of them."""
    fixed: list[Fixed] = []
    for token in tokens:
        if isinstance(token, Variable):
            value = variables(token.key)
            if value is None:
                value = token.default
            if value is None:
                return None
            fixed.append(value)
        else:
            fixed.append(token)
    return tuple(fixed)


def fixed_tokens(tokens: tuple[Token, ...]) -> tuple[Fixed, ...] | None:
    """Return the tokens if none of them is a variable, None otherwise."""
    fixed = tuple(token for token in tokens if not isinstance(token, Variable))
    return fixed if len(fixed) == len(tokens) else None


def variables_of(tokens: tuple[Token, ...]) -> tuple[Variable, ...]:
    """Return the variables among the tokens."""
    return tuple(token for token in tokens if isinstance(token, Variable))


def required_variables(tokens: tuple[Token, ...]) -> tuple[Variable, ...]:
    """Return the variables that have no text of their own for requests that lack the key."""
    return tuple(variable for variable in variables_of(tokens) if variable.default is None)


def literal(tokens: tuple[Fixed, ...]) -> str:
    """Return the text of tokens, wildcards as they are written."""
    return "".join(token if isinstance(token, str) else token.value for token in tokens)


def glob(tokens: tuple[Fixed, ...]) -> Predicate:
    """Return whether a whole text matches the tokens; ``*`` crosses everything."""
    if tokens == (Wildcard.ANY_RUN,):
        return _anything
    segments = [_segment(part) for part in _split_at_runs(tokens)]
    first, last, between = segments[0], segments[-1], segments[1:-1]
    if len(segments) == 1:
        return lambda text: len(text) == first.length and first.is_at(text, 0)

    def matches(text: str) -> bool:
        end = len(text) - last.length
        if end < first.length or not first.is_at(text, 0) or not last.is_at(text, end):
            return False
        offset = first.length
        for segment in between:
            # The leftmost place is as good as any: whatever follows has the most room then.
            offset = segment.find(text, offset, end)
            if offset < 0:
                return False
            offset += segment.length
        return True

    return matches


def arn_glob(tokens: tuple[Fixed, ...]) -> Predicate:
    """Return whether an ARN matches part by part; raise ValueError unless the pattern has the six parts of an ARN.

    In the first five parts a wildcard does not cross a colon. A lone ``*`` matches every ARN.
    """
    parts = _split_at_colons(tokens)
    if tokens != (Wildcard.ANY_RUN,) and (len(parts) != _ARN_PARTS or parts[0] != ("arn",)):
        raise ValueError('an ARN of six parts, or "*", is expected')
    predicates = [glob(part) for part in parts]

    def matches(text: str) -> bool:
        values = text.split(":", _ARN_PARTS - 1)
        if len(values) != _ARN_PARTS or values[0] != "arn":
            return False
        if len(predicates) == 1:
            return True
        return all(predicate(value) for predicate, value in zip(predicates, values, strict=True))

    return matches


@dataclass(frozen=True, slots=True)
class _Segment:
    """A text of known length: literal runs at offsets, any character between them."""

    length: int
    runs: tuple[tuple[int, str], ...]

    def is_at(self, text: str, offset: int) -> bool:
        return all(text.startswith(run, offset + start) for start, run in self.runs)

    def find(self, text: str, start: int, end: int) -> int:
        if not self.runs:
            return start if start + self.length <= end else -1
        lead, run = self.runs[0]
        offset = start
        while True:
            found = text.find(run, offset + lead, end)
            offset = found - lead
            if found < 0 or offset + self.length > end:
                return -1
            if self.is_at(text, offset):
                return offset
            offset += 1


def _segment(tokens: tuple[Fixed, ...]) -> _Segment:
    runs: list[tuple[int, str]] = []
    length = 0
    for token in tokens:
        if isinstance(token, str):
            runs.append((length, token))
            length += len(token)
        else:
            length += 1
    return _Segment(length, tuple(runs))


def _split_at_runs(tokens: tuple[Fixed, ...]) -> list[tuple[Fixed, ...]]:
    parts: list[list[Fixed]] = [[]]
    for token in tokens:
        if token is Wildcard.ANY_RUN:
            parts.append([])
        else:
            parts[-1].append(token)
    return [tuple(part) for part in parts]


def _split_at_colons(tokens: tuple[Fixed, ...]) -> list[tuple[Fixed, ...]]:
    parts: list[list[Fixed]] = [[]]
    for token in tokens:
        if isinstance(token, Wildcard):
            parts[-1].append(token)
            continue
        head, *tails = token.split(":", _ARN_PARTS - len(parts))
        parts[-1].append(head)
        parts.extend([tail] for tail in tails)
    return [tuple(token for token in part if token != "") for part in parts]


def _variable(inner: str) -> Token:
    if inner in _ESCAPES:
        return inner
    match = _VARIABLE.fullmatch(inner)
    if match is None or not match[1].isascii():
        raise ValueError(f"${{{inner}}} is neither ${{prefix:key}}, ${{prefix:key, 'default'}} nor an escape")
    key, default = match.groups()
    return Variable(key.strip(), default)


def _joined(tokens: list[Token]) -> tuple[Token, ...]:
    joined: list[Token] = []
    text: list[str] = []
    for token in tokens:
        if isinstance(token, str):
            text.append(token)
            continue
        if text:
            joined.append("".join(text))
            text = []
        joined.append(token)
    return (*joined, "".join(text)) if text else tuple(joined)


def nothing(_text: str) -> bool:
    """Match no text."""
    return False


def _anything(_text: str) -> bool:
    return True
