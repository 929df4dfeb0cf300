"""The overview: owns its view of certificates, devices and the node, and the stream that updates it."""

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from msgspec import Struct
from starlette.responses import Response

from thingmint.console.services import READ_AUDIT, READ_STATUS, AuthorityShown, NodeFinding, NodeNumbers
from thingmint.console.streaming import event_stream, ticks, written
from thingmint.console.visit import Visit
from thingmint.core.audit_entry import AuditEntry
from thingmint.registration.certificates.certificate_counts import MOST_COUNTED_ENDS, CertificateCounts
from thingmint.registration.kernel.audit_filter import AuditFilter
from thingmint.registration.kernel.audit_trail import wanted_entries

_EVERY_SECONDS: Final = 5.0
_RECENT: Final = 8
_LIST_CERTIFICATES: Final = "iot:ListCertificates"


class Shown(Struct, frozen=True):
    """The values of the page. A value that the caller may not see is None or empty, and its refusal has the reason."""

    counts: CertificateCounts | None
    counts_refusal: str | None
    numbers: NodeNumbers | None
    authorities: Sequence[AuthorityShown]
    findings: Sequence[NodeFinding]
    status_refusal: str | None
    changes: Sequence[AuditEntry]
    changes_refusal: str | None

    @property
    def most_of_a_status(self) -> int:
        """The largest count of a status, at least one."""
        return max(1, *(self.counts.by_status.values() if self.counts else (1,)))

    @property
    def most_ends(self) -> int:
        """The largest count of a month, at least one."""
        return max(1, *(month.count for month in (self.counts.ends if self.counts else ())), 1)


async def show(visit: Visit) -> Response:
    """Return the page."""
    return visit.page("overview.html", shown=await _shown(visit), most_counted=MOST_COUNTED_ENDS)


async def events(visit: Visit) -> Response:
    """Stream the changing part of the page every `_EVERY_SECONDS`."""

    async def part() -> bytes:
        values = {"shown": await _shown(visit), "most_counted": MOST_COUNTED_ENDS}
        return written("part", visit.pages.render("overview_part.html", values))

    def stream() -> AsyncGenerator[bytes, None]:
        return ticks(_EVERY_SECONDS, part)

    return event_stream(visit, visit.services.live.streams, stream)


async def _shown(visit: Visit) -> Shown:
    counts_refusal = await visit.refusal_of(_LIST_CERTIFICATES)
    status_refusal = await visit.refusal_of_service(READ_STATUS)
    changes_refusal = await visit.refusal_of(READ_AUDIT)
    node, live = visit.services.node, visit.services.live
    may_see_node = status_refusal is None
    return Shown(
        counts=None if counts_refusal else live.counts.latest(visit.authority, visit.scope),
        counts_refusal=counts_refusal,
        numbers=node.numbers() if may_see_node else None,
        authorities=node.authorities() if may_see_node else (),
        findings=await node.findings() if may_see_node else (),
        status_refusal=status_refusal,
        changes=() if changes_refusal else await _recent(visit),
        changes_refusal=changes_refusal,
    )


async def _recent(visit: Visit) -> Sequence[AuditEntry]:
    page = await wanted_entries(visit.authority.store, visit.scope, AuditFilter(), _RECENT, None)
    return [listed.item for listed in page.entries]
