"""Owns the formats of audit entries for programs: a line of JSON, or of CSV (RFC 4180)."""

import csv
import io
import json
from collections.abc import Sequence

from thingmint.core.audit_entry import AuditEntry

FIELDS = (
    "at",
    "account",
    "region",
    "principal",
    "source_address",
    "request_id",
    "action",
    "resource",
    "detail",
)
# A spreadsheet interprets a cell that begins with one of these as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def json_line(entry: AuditEntry) -> str:
    """Return the entry as a JSON object."""
    return json.dumps(_fields(entry), ensure_ascii=False)


def cells_of(entry: AuditEntry) -> Sequence[str]:
    """Return the entry's fields as text, the detail as JSON; a text that looks like a formula gets an apostrophe."""
    fields = _fields(entry) | {"detail": json.dumps(entry.detail, ensure_ascii=False)}
    texts = [str(fields[name]) for name in FIELDS]
    return [f"'{text}" if text.startswith(_FORMULA) else text for text in texts]


def csv_line(cells: Sequence[str]) -> str:
    """Return the cells as a line of CSV, without its end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def _fields(entry: AuditEntry) -> dict[str, object]:
    return {
        "at": entry.at.isoformat(),
        "account": entry.scope.account,
        "region": entry.scope.region,
        "principal": entry.principal_arn,
        "source_address": entry.source_address,
        "request_id": entry.request_id,
        "action": entry.action,
        "resource": entry.resource,
        "detail": entry.detail,
    }
