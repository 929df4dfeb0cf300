"""Owns the patterns of AWS's model with Unicode classes, which Python's regular expressions do not support."""

import re
from collections.abc import Callable
from unicodedata import category

# All such patterns of the model require every character of a text to be in a set, or outside of it.
_ONE_SET = re.compile(
    r"\^?\(?\[(?P<negated>\^?)(?P<classes>(\\p\{[A-Z]\})+)(?P<others>[^\[\]]*)\](?P<count>[*+])\)?\$?"
)
_CLASS = re.compile(r"\\p\{([A-Z])\}")
_ESCAPE = re.compile(r"\\(.)")


def unicode_matcher(pattern: str) -> Callable[[str], bool] | None:
    """Return the function that matches a whole text with the pattern, None for a pattern without Unicode classes."""
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
