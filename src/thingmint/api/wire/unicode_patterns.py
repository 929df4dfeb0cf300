"""Owns the patterns of AWS's model that name classes of Unicode; Python's own expressions have no words for them."""

import re
from collections.abc import Callable
from unicodedata import category

# All such patterns of the model say of a text that every character is in one set, or in none.
_ONE_SET = re.compile(
    r"\^?\(?\[(?P<negated>\^?)(?P<classes>(\\p\{[A-Z]\})+)(?P<others>[^\[\]]*)\](?P<count>[*+])\)?\$?"
)
_CLASS = re.compile(r"\\p\{([A-Z])\}")
_ESCAPE = re.compile(r"\\(.)")


def unicode_matcher(pattern: str) -> Callable[[str], bool] | None:
    """Return what tells whether a whole text matches the pattern, None for a pattern without classes of Unicode."""
    match = _ONE_SET.fullmatch(pattern)
    if match is None:
        return None
    classes = frozenset(_CLASS.findall(match["classes"]))
    others = frozenset(_ESCAPE.sub(r"\1", match["others"]))
    is_negated, least = bool(match["negated"]), 1 if match["count"] == "+" else 0

    def matches(text: str) -> bool:
        return len(text) >= least and all(
            (character in others or category(character)[0] in classes) is not is_negated for character in text
        )

    return matches
