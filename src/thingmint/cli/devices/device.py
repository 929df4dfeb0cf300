"""Owns what a list says of one device; knows no file format and no service."""

import hashlib

import msgspec


class ListedDevice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A device to issue. ``csr`` is its signing request in PEM, where its key was made elsewhere.

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
        """The SHA-256 of all that the list says, which tells whether a row was changed since it was issued."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


class Row(msgspec.Struct, frozen=True):
    """One row of a list: a device, or the problem that keeps it from being one. Lines count from 1."""

    line: int
    thing: str
    device: ListedDevice | None = None
    problem: str | None = None


class ListRefused(Exception):
    """The whole list cannot be used, and nothing was issued from it; the message says where and why."""


def without_doubles(rows: list[Row]) -> list[Row]:
    """Return the rows; those with a thing name that another row has, too, have a problem instead of a device.

    Names are compared without case, because files of some systems are.
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
