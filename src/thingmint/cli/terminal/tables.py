"""Owns tables for spreadsheets: CSV without cells that a spreadsheet evaluates as formulas."""

import csv
import io
from collections.abc import Iterable

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """Return a CSV table in which a spreadsheet evaluates no cell as a formula."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    # Names of files may have octets that are not UTF-8, which Python represents as surrogates.
    return written.getvalue().encode(errors="backslashreplace")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        text = ";".join(f"{name}={each}" for name, each in value.items())
    else:
        text = ";".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
