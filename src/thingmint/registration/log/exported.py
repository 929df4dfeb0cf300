"""Owns the format of exported lines of entries and certificates for auditors. Does no I/O.

Each line is a JSON object. The line of an entry has the input of its leaf: the salt in hex, and every stored field of
the audit entry. ``index`` is null if the entry has no leaf yet.
"""

import base64
import json
from collections.abc import Iterable, Iterator

from thingmint.core.transparency.leaf import LoggedEntry, leaf_of, salt_of
from thingmint.records.log.registry_rows import RegistryRow

_FIELDS = ("at", "account", "region", "principal_arn", "source_address", "request_id", "action", "resource", "detail")


class LineUnreadable(ValueError):
    """A line is not a line of an exported entry."""


def line_of_entry(index: int | None, entry: LoggedEntry, secret: bytes) -> str:
    """Return the line of an entry."""
    head = {"index": index, "position": entry.position, "salt": salt_of(secret, entry.position).hex()}
    return json.dumps(head | {name: getattr(entry, name) for name in _FIELDS}, separators=(",", ":"))


def line_of_row(row: RegistryRow) -> str:
    """Return the line of a certificate."""
    present = row.present
    kind, _, certificate_id = present.subject.name.partition("/")
    shown = {
        "kind": kind,
        "account": present.subject.account,
        "region": present.subject.region,
        "id": certificate_id,
        "status": present.status,
        "serial_number": present.serial_number,
        "issuer_id": present.issuer_id,
        "der": base64.b64encode(row.der).decode(),
    }
    return json.dumps(shown, separators=(",", ":"))


def leaves_of_lines(lines: Iterable[str]) -> Iterator[tuple[int, bytes]]:
    """Yield index and content of the leaf of each line; raise LineUnreadable for a line that is not of an entry."""
    for index, leaf, _ in entries_of_lines(lines):
        yield index, leaf


def entries_of_lines(lines: Iterable[str]) -> Iterator[tuple[int, bytes, LoggedEntry]]:
    """Yield index and content of the leaf of each line, and its entry; raise what `leaves_of_lines` raises."""
    for line in lines:
        try:
            fields = json.loads(line)
            entry = LoggedEntry(fields["position"], *(fields[name] for name in _FIELDS))
            index, leaf = int(fields["index"]), leaf_of(entry, bytes.fromhex(fields["salt"]))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise LineUnreadable("a line is not one of the audit trail's export") from error
        yield index, leaf, entry
