"""Owns the manifest of a delivery: the entry of each device, as JSON lines and as a table for spreadsheets."""

from collections.abc import Iterable

import msgspec

from thingmint.cli.terminal.tables import table

MANIFEST_JSON_LINES, MANIFEST_CSV, ERRORS_CSV = "manifest.jsonl", "manifest.csv", "errors.csv"


class DeviceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One device. ``files`` holds the SHA-256 of each file by its name; times are ISO 8601, UTC.

    ``row_sha256`` is the digest of its row in the list.
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


def as_json_lines(entries: Iterable[DeviceEntry]) -> bytes:
    """Return one line for each device."""
    return b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)


def as_csv(entries: Iterable[DeviceEntry]) -> bytes:
    """Return a table for spreadsheets: lists and names with values are joined by semicolons.

    A cell that a spreadsheet would interpret as a formula begins with an apostrophe; the JSON lines are exact.
    """
    return table(DeviceEntry.__struct_fields__, (msgspec.structs.astuple(entry) for entry in entries))
