"""Owns which texts match a pattern with ``*`` and ``?``, in time proportional to the text; knows nothing of policies.

A pattern is split at each ``*`` into segments, and each segment is looked for from the left. A segment without ``?`` is
found by the search of Python's strings. A segment with ``?`` is found by sets of places: the places of a character in
the text are an integer with one bit for each place, and the places of the segment are the intersection of the sets of
its characters, each shifted by the character's offset. No regular expression is built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import groupby
from typing import TypeAlias

Predicate: TypeAlias = Callable[[str], bool]

# One text is tried against many patterns, one after the other; a second one has room for a decision on another thread.
_REMEMBERED_TEXTS = 2


class Wildcard(Enum):
    """What stands for other text."""

    ANY_RUN = "*"
    ANY_CHARACTER = "?"


Fixed: TypeAlias = str | Wildcard


def glob(tokens: tuple[Fixed, ...]) -> Predicate:
    """Return whether a whole text matches the tokens; ``*`` crosses everything."""
    if tokens == (Wildcard.ANY_RUN,):
        return _anything
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
            # The leftmost place is as good as any: it leaves the most text for the segments that follow.
            offset = segment.find(text, offset, end)
            if offset < 0:
                return False
            offset += segment.length
        return True

    return matches


@dataclass(frozen=True, slots=True)
class _Segment:
    """A text of known length: literal runs at offsets, any character between them."""

    length: int
    runs: tuple[tuple[int, str], ...]

    def is_at(self, text: str, offset: int) -> bool:
        return all(text.startswith(run, offset + start) for start, run in self.runs)

    def find(self, text: str, start: int, end: int) -> int:
        """Return the leftmost place from ``start`` on where the segment ends by ``end``, or -1."""
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
    """Where each character of a text stands, as a set of bits, worked out when it is asked for."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.by_character: dict[str, int] = {}
        """The characters that were looked for so far."""

    @staticmethod
    @lru_cache(_REMEMBERED_TEXTS)
    def of(text: str) -> _Places:
        return _Places(text)

    def find(self, character: str) -> int:
        """Return where the character stands, and remember it."""
        text, length = self._text, len(self._text)
        place = text.find(character)
        # Written as digits and read once: to set one bit after the other would copy the number for each.
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
        # The value of a variable is a token of its own beside the text around it; together they are one run.
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


def _anything(_text: str) -> bool:
    return True
