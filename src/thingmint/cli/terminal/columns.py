"""Owns the printing of rows in columns: at full width in a pipe, and within the width of a terminal."""

import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest

_GAP = "  "
_NARROWEST = 8
# Where a cell is cut: at a space, or else after a mark or between the words of a name such as UpdateCertificate.
_CUTS = (re.compile(r"(?=\s)"), re.compile(r"(?<=[/:=,_])|(?<=[a-z])(?=[A-Z])"))


def terminal_width() -> int | None:
    """Return how many characters fit in a line of standard output, None if it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def printable(text: str) -> str:
    """Return the text with escaped control characters, which a terminal could interpret as commands."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def printable_lines(text: str) -> str:
    """Return the text with escaped control characters except line ends."""
    return "\n".join(map(printable, text.split("\n")))


def widths_of(rows: Sequence[Sequence[str]], width: int | None, *, whole: int = 0) -> list[int]:
    """Return the widths of the columns; if they do not fit, narrow the widest ones until they do.

    Columns are narrowed to their longest word first. The first ``whole`` columns keep their widths.
    """
    columns = list(zip_longest(*rows, fillvalue=""))
    widths = [max(map(len, column), default=0) for column in columns]
    if width is None:
        return widths
    words = [max((len(word) for cell in column for word in cell.split()), default=0) for column in columns]
    for least in (words, [_NARROWEST] * len(columns)):
        _narrow(widths, [*widths[:whole], *least[whole:]], width - len(_GAP) * (len(widths) - 1))
    return widths


def _narrow(widths: list[int], least: Sequence[int], room: int) -> None:
    """Narrow the widest columns until all fit or have their minimum widths."""
    while sum(widths) > room:
        wide = [number for number, width in enumerate(widths) if width > least[number]]
        if not wide:
            return
        widths[max(wide, key=lambda number: widths[number])] -= 1


def lines_of(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Yield the lines of a row; a cell that is wider than its column continues in the next line."""
    cells = [_folded(cell, width) for cell, width in zip(row, widths, strict=True)]
    for pieces in zip_longest(*cells, fillvalue=""):
        yield _GAP.join(piece.ljust(width) for piece, width in zip(pieces, widths, strict=True)).rstrip()


def table(rows: Sequence[Sequence[str]], width: int | None, *, whole: int = 0) -> Iterator[str]:
    """Yield the lines of a table, whose first row may be a heading."""
    return chain.from_iterable(table_rows(rows, width, whole=whole))


def table_rows(rows: Sequence[Sequence[str]], width: int | None, *, whole: int = 0) -> Iterator[list[str]]:
    """Yield the lines of each row of a table."""
    escaped = [[printable(cell) for cell in row] for row in rows]
    widths = widths_of(escaped, width, whole=whole)
    for row in escaped:
        yield list(lines_of(row, widths))


def _folded(cell: str, width: int) -> list[str]:
    """Return the pieces of a cell, cut between words if a word ends in the second half of the column."""
    width, pieces = max(width, 1), list[str]()
    while len(cell) > width:
        # The space behind the last character that fits must be seen; a mark there would be one character too many.
        found = (cut.finditer(cell, 0, width + 1) for cut in _CUTS)
        ends = ([end.start() for end in each if end.start() <= width] for each in found)
        cut = next((places[-1] for places in ends if places and places[-1] > width // 2), width)
        pieces.append(cell[:cut].rstrip())
        cell = cell[cut:].lstrip()
    return [*pieces, cell]
