"""Owns the matching of texts with ``*`` and ``?``, in time proportional to the text. Independent of policies.

A pattern is split at each ``*`` into segments, and each segment is searched from the left. Python's string search finds
a segment without ``?``. Sets of positions find a segment with ``?``: the positions of a character in the text are an
integer with one bit for each position, and the positions of the segment are the intersection of the sets of its
characters, each shifted by the character's offset. No regular expression is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import groupby
from typing import TypeAlias

Predicate: TypeAlias = Callable[[str], bool]

# One text is matched against many patterns in a row. The second entry is for a decision on another thread.
_REMEMBERED_TEXTS = 2


class Wildcard(Enum):
    """A wildcard."""

    ANY_RUN = "*"
    ANY_CHARACTER = "?"


Fixed: TypeAlias = str | Wildcard


def glob(tokens: tuple[Fixed, ...]) -> Predicate:
    """Return a matcher of whole texts. ``*`` matches every character."""
    if tokens == (Wildcard.ANY_RUN,):
        return anything
    segments = [_segment(part) for part in _split_at_runs(tokens)]
    first, last, between = segments[0], segments[-1], tuple(segment for segment in segments[1:-1] if segment.length)
    shortest = sum(segment.length for segment in segments)
    if len(segments) == 1:
        return lambda text: len(text) == shortest and first.is_at(text, 0)

    def matches(text: str) -> bool:
        end = len(text) - last.length
        if len(text) < shortest or not first.is_at(text, 0) or not last.is_at(text, end):
            return False
        offset = first.length
        for segment in between:
            # The leftmost position is always right, because it leaves the most text for the segments that follow.
            offset = segment.find(text, offset, end)
            if offset < 0:
                return False
            offset += segment.length
        return True

    return matches


@dataclass(frozen=True, slots=True)
class _Segment:
    """A part of a pattern with a fixed length: literal runs at their offsets, ``?`` between them."""

    length: int
    runs: tuple[tuple[int, str], ...]

    def is_at(self, text: str, offset: int) -> bool:
        return all(text.startswith(run, offset + start) for start, run in self.runs)

    def find(self, text: str, start: int, end: int) -> int:
        """Return the leftmost position from ``start`` on at which the segment ends at or before ``end``, or -1."""
        places = end - self.length - start + 1
        if places <= 0:
            return -1
        if not self.runs:
            return start
        if len(self.runs) == 1:
            lead, run = self.runs[0]
            found = text.find(run, start + lead, end - (self.length - lead - len(run)))
            return found - lead if found >= 0 else -1
        return self._first_of_places(_Places.of(text), start, places)

    def _first_of_places(self, places: _Places, start: int, count: int) -> int:
        found, known = (1 << count) - 1, places.by_character
        for offset, run in self.runs:
            for index, character in enumerate(run, start + offset):
                where = known.get(character)
                found &= (places.find(character) if where is None else where) >> index
            if not found:
                return -1
        return start + (found & -found).bit_length() - 1


class _Places:
    """The positions of each character of a text, as a set of bits. They are computed when first needed."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.by_character: dict[str, int] = {}
        """The positions by character, for the characters that were searched so far."""

    @staticmethod
    @lru_cache(_REMEMBERED_TEXTS)
    def of(text: str) -> _Places:
        return _Places(text)

    def find(self, character: str) -> int:
        """Return the positions of the character and cache them."""
        text, length = self._text, len(self._text)
        place = text.find(character)
        # Written as digits and parsed once, because setting single bits would copy the whole number each time.
        digits = bytearray(b"0") * length
        while place >= 0:
            digits[length - 1 - place] = 0x31
            place = text.find(character, place + 1)
        places = self.by_character[character] = int(digits or b"0", 2)
        return places


def _segment(tokens: tuple[Fixed, ...]) -> _Segment:
    runs: list[tuple[int, str]] = []
    length = 0
    for is_character, group in groupby(tokens, key=lambda token: token is Wildcard.ANY_CHARACTER):
        # The value of a variable is a separate token. Together with the text around it, it is one run.
        text = "".join(token.value if isinstance(token, Wildcard) else token for token in group)
        if text and not is_character:
            runs.append((length, text))
        length += len(text)
    return _Segment(length, tuple(runs))


def _split_at_runs(tokens: tuple[Fixed, ...]) -> list[tuple[Fixed, ...]]:
    parts: list[list[Fixed]] = [[]]
    for token in tokens:
        if token is Wildcard.ANY_RUN:
            parts.append([])
        else:
            parts[-1].append(token)
    return [tuple(part) for part in parts]


def anything(_text: str) -> bool:
    """Match every text. A pattern that is a lone ``*`` has this matcher."""
    return True
