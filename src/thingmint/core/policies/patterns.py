"""Owns the texts inside policies: wildcards, ``${…}`` variables and escapes; `wildcards` decides what they match."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from thingmint.core.wildcards import Fixed, Predicate, Wildcard, glob

Variables: TypeAlias = Callable[[str], str | None]
"""Returns the value of a condition key, or None if the request has none."""

_ARN_PARTS = 6
# A call of a pattern, and the search for the text behind a *, each cost as much as matching some characters. The value
# of a variable is longer than its name.
_LEAST_WEIGHT = 32
_WEIGHT_OF_A_VARIABLE = 64
_WEIGHTS = {Wildcard.ANY_RUN: 8, Wildcard.ANY_CHARACTER: 1}


@dataclass(frozen=True, slots=True)
class Variable:
    """A condition key whose value replaces the variable, and the default for requests without the key."""

    key: str
    default: str | None


Token: TypeAlias = Fixed | Variable

_VARIABLE_START = "${"
_SPECIAL = re.compile(r"\$\{|[*?]")
_ESCAPES = ("*", "?", "$")
# A key, which may end with the name of an attribute in brackets (commas allowed there); then the default.
_VARIABLE = re.compile(r"([^,:\[\]${']*:[^,\[\]${']*(?:\[[^\[\]${']*\]\s*)?)(?:,\s*'(.*)'\s*)?", re.DOTALL)


def parse_tokens(text: str, *, wildcards: bool, variables: bool) -> tuple[Token, ...]:
    """Return the tokens of a policy's text; raise ValueError if a variable cannot be read."""
    tokens: list[Token] = []
    offset = 0
    for special in _SPECIAL.finditer(text):
        if special.start() < offset or not (variables if special[0] == _VARIABLE_START else wildcards):
            # It is part of a variable, or plain text here.
            continue
        tokens.append(text[offset : special.start()])
        if special[0] == _VARIABLE_START:
            end = text.find("}", special.end())
            if end < 0:
                raise ValueError("the variable that starts with ${ has no end")
            tokens.append(_variable(text[special.end() : end]))
            offset = end + 1
        else:
            tokens.append(Wildcard(special[0]))
            offset = special.end()
    return _joined([*tokens, text[offset:]])


def resolved(tokens: tuple[Token, ...], variables: Variables) -> tuple[Fixed, ...] | None:
    """Return the tokens with variables replaced by literal text; None if the request has no value for one of them."""
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
    """Return the variables without a default."""
    return tuple(variable for variable in variables_of(tokens) if variable.default is None)


def weight_of(tokens: tuple[Token, ...]) -> int:
    """Return the maximum cost of matching the tokens against a text, in characters; see `core.policies.budget`."""
    length = sum(_weight_of_token(token) for token in tokens)
    return max(_LEAST_WEIGHT, length)


def literal(tokens: tuple[Fixed, ...]) -> str:
    """Return the text of the tokens, with wildcards written as ``*`` and ``?``."""
    return "".join(token if isinstance(token, str) else token.value for token in tokens)


def arn_glob(tokens: tuple[Fixed, ...]) -> Predicate:
    """Return a matcher that compares ARNs part by part; raise ValueError unless the pattern has an ARN's six parts.

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


def _weight_of_token(token: Token) -> int:
    if isinstance(token, Variable):
        return _WEIGHT_OF_A_VARIABLE
    return len(token) if isinstance(token, str) else _WEIGHTS[token]


def _joined(tokens: list[Token]) -> tuple[Token, ...]:
    joined: list[Token] = []
    text: list[str] = []
    for token in tokens:
        if isinstance(token, str):
            text.append(token)
            continue
        joined += ["".join(text), token]
        text = []
    joined.append("".join(text))
    return tuple(token for token in joined if token != "")


def nothing(_text: str) -> bool:
    """Match no text."""
    return False
