"""Owns how rows are printed in columns: as wide as they need in a pipe, and within the width of a terminal."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest

_GAP = "  "
_NARROWEST = 8


def terminal_width() -> int | None:
    """Return how many characters fit in a line of standard output, None where it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def printable(text: str) -> str:
    """Return the text with everything escaped that a terminal could take for a command."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def widths_of(rows: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """Return the widths of the columns; where they do not fit, the widest ones are narrowed until they do."""
    widths = [max(map(len, column), default=0) for column in zip_longest(*rows, fillvalue="")]
    if width is None:
        return widths
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    while excess > 0 and max(widths, default=0) > _NARROWEST:
        widest = widths.index(max(widths))
        widths[widest] -= 1
        excess -= 1
    return widths


def lines_of(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Yield the lines of a row; a cell that is wider than its column goes on below."""
    cells = [_folded(cell, width) for cell, width in zip(row, widths, strict=True)]
    for pieces in zip_longest(*cells, fillvalue=""):
        yield _GAP.join(piece.ljust(width) for piece, width in zip(pieces, widths, strict=True)).rstrip()


def table(rows: Sequence[Sequence[str]], width: int | None) -> Iterator[str]:
    """Yield the lines of a table, whose first row may be a heading."""
    escaped = [[printable(cell) for cell in row] for row in rows]
    widths = widths_of(escaped, width)
    for row in escaped:
        yield from lines_of(row, widths)


def _folded(cell: str, width: int) -> list[str]:
    return textwrap.wrap(cell, max(width, 1), break_on_hyphens=False) or [""]
