"""Owns the reference models of wildcards, whose ways of deciding `core.wildcards` does not use.

One follows the set of places of the pattern that a text can have reached, character by character; it works for every
text and pattern, and takes a step for each pair of a place and a character. The other one writes the pattern as a
regular expression, for short texts only: Python's engine tries the places of a ``*`` one after the other.
"""

import re

from thingmint.core.wildcards import Fixed, Predicate, Wildcard

_AS_EXPRESSION = {Wildcard.ANY_RUN: ".*", Wildcard.ANY_CHARACTER: "."}


def reference_glob(tokens: tuple[Fixed, ...]) -> Predicate:
    """Return whether a whole text matches the tokens; ``*`` crosses everything."""
    steps = tuple(letter for token in tokens for letter in ((token,) if isinstance(token, Wildcard) else token))

    def matches(text: str) -> bool:
        reached = _past_runs(steps, {0})
        for character in text:
            reached = _past_runs(steps, {after for place in reached for after in _after(steps, place, character)})
        return len(steps) in reached

    return matches


def expression_of(tokens: tuple[Fixed, ...]) -> Predicate:
    """Return whether a whole text matches the tokens, as a regular expression decides it; for short texts."""
    parts = (_AS_EXPRESSION[token] if isinstance(token, Wildcard) else re.escape(token) for token in tokens)
    expression = re.compile("".join(parts), re.DOTALL)
    return lambda text: expression.fullmatch(text) is not None


def _after(steps: tuple[Fixed, ...], place: int, character: str) -> tuple[int, ...]:
    """Return the places after one character; that of a ``*`` stays reached."""
    if place == len(steps):
        return ()
    if steps[place] is Wildcard.ANY_RUN:
        return (place,)
    return (place + 1,) if steps[place] in (Wildcard.ANY_CHARACTER, character) else ()


def _past_runs(steps: tuple[Fixed, ...], reached: set[int]) -> set[int]:
    """Return the places with those behind each ``*`` that is reached: it may stand for nothing."""
    all_reached = set(reached)
    for place, step in enumerate(steps):
        if place in all_reached and step is Wildcard.ANY_RUN:
            all_reached.add(place + 1)
    return all_reached


def reference_tokens(text: str, variables: dict[str, str]) -> tuple[Fixed, ...] | None:
    """Return the tokens of a pattern, one for each character or variable; None if a variable has no value."""
    tokens: list[Fixed] = []
    offset = 0
    while offset < len(text):
        if text.startswith("${", offset):
            end = text.index("}", offset)
            key, _, default = text[offset + 2 : end].partition(", ")
            value = key if key in "*?$" else variables.get(key, default.strip("'") if default else None)
            if value is None:
                return None
            tokens.append(value)
            offset = end + 1
        else:
            tokens.append(Wildcard(text[offset]) if text[offset] in "*?" else text[offset])
            offset += 1
    return tuple(tokens)
