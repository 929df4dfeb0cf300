"""Patterns of the model with classes of Unicode."""

import pytest

from thingmint.api.wire.reading.unicode_patterns import unicode_matcher

DESCRIPTION = r"[^\p{C}]*"
REQUIRED = r"[^\p{C}]+"
TAG_KEY = r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$"


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (DESCRIPTION, "", True),
        (REQUIRED, "", False),
        (REQUIRED, "x", True),
        (DESCRIPTION, "Zähler №17 – 傳感器 😀", True),
        (DESCRIPTION, "line\nline", False),
        (DESCRIPTION, "\0", False),
        (DESCRIPTION, "\ud800", False),
        (DESCRIPTION, "soft\u00adhyphen", False),
        (TAG_KEY, "", True),
        (TAG_KEY, "Größe 12 ½ a_b.c:d/e=f+g-h@i", True),
        (TAG_KEY, "back\\slash", False),
        (TAG_KEY, "a*b", False),
        (TAG_KEY, "tab\t", False),
    ],
)
def test_a_text_matches_character_by_character(pattern: str, text: str, *, matches: bool) -> None:
    matcher = unicode_matcher(pattern)
    assert matcher is not None
    assert matcher(text) is matches


@pytest.mark.parametrize("pattern", [r"[a-z]+", r"x[\p{L}]*", r"[\p{L}]{2}", r"\p{L}"])
def test_other_patterns_are_left_to_the_translation(pattern: str) -> None:
    assert unicode_matcher(pattern) is None
