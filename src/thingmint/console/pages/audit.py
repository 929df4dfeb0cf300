"""The audit trail: owns its filters, its pages, and its export as JSON lines."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.responses import Response, StreamingResponse

from thingmint.console.paging import key_of, text_of
from thingmint.console.services import READ_AUDIT
from thingmint.console.visit import PAGE_SIZE, Visit
from thingmint.core.audit_entry import AuditEntry
from thingmint.core.errors import InvalidRequest
from thingmint.core.paging import PageKey
from thingmint.registration.kernel.audit_filter import AuditFilter
from thingmint.registration.kernel.audit_trail import wanted_entries
from thingmint.registration.kernel.turns import Pace

_FIELDS: Final = ("since", "until", "principal", "resource", "action")
MOST_EXPORTED: Final = 100_000


async def show(visit: Visit) -> Response:
    """Return a page of the trail, or its table only for a page that follows the trail."""
    await visit.require(READ_AUDIT)
    page = await wanted_entries(
        visit.authority.store, visit.scope, _filter(visit), PAGE_SIZE, key_of(visit.query("after"))
    )
    return visit.page(
        "audit_part.html" if visit.is_partial else "audit.html",
        entries=[listed.item for listed in page.entries],
        following=text_of(page.next),
        given={name: visit.query(name) for name in _FIELDS},
        follows=bool(visit.query("follow")),
    )


async def export(visit: Visit) -> Response:
    """Stream the matching entries as JSON lines, newest first; each read of the database is bounded."""
    await visit.require(READ_AUDIT)
    wanted = _filter(visit)

    async def lines() -> AsyncIterator[bytes]:
        after: PageKey | None = None
        left, pace = MOST_EXPORTED, Pace()
        while left > 0:
            page = await wanted_entries(visit.authority.store, visit.scope, wanted, min(left, 250), after)
            yield b"".join(_line(listed.item) for listed in page.entries)
            # Neither a read of SQLite nor a browser that reads fast lets the event loop run.
            await pace.rest()
            left -= len(page.entries)
            after = page.next
            if after is None:
                return

    headers = {"content-disposition": 'attachment; filename="audit.jsonl"'}
    return StreamingResponse(lines(), media_type="application/jsonl", headers=headers)


def _filter(visit: Visit) -> AuditFilter:
    return AuditFilter(
        since=_day(visit.query("since"), timedelta()),
        until=_day(visit.query("until"), timedelta(days=1)),
        principal=visit.query("principal") or None,
        resource=visit.query("resource") or None,
        action=visit.query("action") or None,
    )


def _day(text: str, more: timedelta) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + more
    except (ValueError, OverflowError):
        raise InvalidRequest("A day is written like 2027-01-31") from None


def _line(entry: AuditEntry) -> bytes:
    members = {
        "at": entry.at.isoformat(),
        "action": entry.action,
        "resource": entry.resource,
        "principal": entry.principal_arn,
        "source": entry.source_address,
        "request_id": entry.request_id,
        "detail": entry.detail,
    }
    # Escaped to ASCII: a detail may hold code points that UTF-8 cannot encode.
    return json.dumps(members).encode("ascii") + b"\n"
