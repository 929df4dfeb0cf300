"""Owns the description of one device in a list. Independent of file formats and of the service."""

import hashlib

import msgspec


class ListedDevice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A device to issue. ``csr`` is its CSR in PEM, if its key was made elsewhere.

    ``subject`` is an RFC 4514 text; ``parameters`` are those of the provisioning template that was given.
    """

    thing: str
    attributes: dict[str, str] = {}
    type: str | None = None
    groups: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    parameters: dict[str, str] = {}
    subject: str | None = None
    csr: str | None = None

    @property
    def digest(self) -> str:
        """The SHA-256 of the whole description, which shows whether a row was changed after the device was issued."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


class Row(msgspec.Struct, frozen=True):
    """One row of a list: a device, or the problem of the row. Lines count from 1."""

    line: int
    thing: str
    device: ListedDevice | None = None
    problem: str | None = None


class ListRefused(Exception):
    """The whole list cannot be used, and nothing was issued from it; the message says where and why."""


def without_doubles(rows: list[Row]) -> list[Row]:
    """Return the rows; rows with the same thing name have a problem instead of a device.

    Names are compared without case, because some file systems do so.
    """
    lines: dict[str, list[int]] = {}
    for row in rows:
        if row.device is not None:
            lines.setdefault(row.thing.casefold(), []).append(row.line)
    return [_single(row, lines.get(row.thing.casefold(), [])) for row in rows]


def _single(row: Row, lines: list[int]) -> Row:
    if row.device is None or len(lines) < 2:
        return row
    others = ", ".join(str(line) for line in lines if line != row.line)
    return Row(row.line, row.thing, problem=f"the name is in line {others}, too (upper and lower case count as one)")
