"""Owns the manifest of a delivery: what it says of each device, as JSON lines and as a table for spreadsheets."""

import csv
import io
from collections.abc import Iterable

import msgspec

MANIFEST_JSON_LINES, MANIFEST_CSV, ERRORS_CSV = "manifest.jsonl", "manifest.csv", "errors.csv"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One device. ``files`` holds the SHA-256 of each file by its name; times are ISO 8601, UTC.

    ``row_sha256`` is the digest of what the list said of it.
    """

    line: int
    thing: str
    thing_arn: str
    certificate_id: str
    certificate_arn: str
    serial_number: str
    subject: str
    not_before: str
    not_after: str
    public_key_sha256: str
    status: str
    files: dict[str, str]
    type: str | None = None
    attributes: dict[str, str] = {}
    groups: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    batch: str | None = None
    operator: str | None = None
    station: str | None = None
    row_sha256: str


def as_json_lines(entries: Iterable[Entry]) -> bytes:
    """Return one line for each device."""
    return b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)


def as_csv(entries: Iterable[Entry]) -> bytes:
    """Return a table for spreadsheets: lists and names with values are joined by semicolons.

    A cell that a spreadsheet would take for a formula begins with an apostrophe; the JSON lines are exact.
    """
    return table(Entry.__struct_fields__, (msgspec.structs.astuple(entry) for entry in entries))


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """Return a CSV table none of whose cells a spreadsheet evaluates."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return written.getvalue().encode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        text = ";".join(f"{name}={each}" for name, each in value.items())
    else:
        text = ";".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
