"""Owns the reading of the audit trail: filtered pages, and the entries of one resource. Does not check permissions."""

from functools import partial
from typing import Final

from msgspec import Struct

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.identifiers import Scope
from thingmint.core.paging import Listed, Page, PageKey, PageRequest
from thingmint.records import audit as audit_table
from thingmint.records.paging import read_listed
from thingmint.registration.kernel.audit_filter import AuditFilter
from thingmint.registration.kernel.ports import Store

_AT_ONCE: Final = 250
MOST_LOOKED_AT: Final = 2500
"""The number of entries read for one page. If few of them match, a page can be short although others follow."""


class AuditPage(Struct, frozen=True):
    """Matching entries, newest first, and the key of the next page; None at the beginning of the trail."""

    entries: tuple[Listed[AuditEntry], ...]
    next: PageKey | None


async def wanted_entries(
    store: Store, scope: Scope, wanted: AuditFilter, size: int, after: PageKey | None
) -> AuditPage:
    """Return up to ``size`` matching entries of the account and region. Reads a bounded number of entries."""
    found: list[Listed[AuditEntry]] = []
    for _ in range(MOST_LOOKED_AT // _AT_ONCE):
        request = PageRequest(_AT_ONCE, after, ascending=False)
        entries = await store.read(partial(audit_table.audit_page, scope, request))
        for listed in entries:
            if wanted.matches(listed.item):
                found.append(listed)
            if len(found) == size:
                return AuditPage(tuple(found), listed.key)
        if len(entries) < _AT_ONCE:
            return AuditPage(tuple(found), None)
        after = entries[-1].key
    return AuditPage(tuple(found), after)


async def entries_of_resource(store: Store, scope: Scope, resource: str, size: int) -> Page[AuditEntry]:
    """Return the newest entries about the resource with this ARN."""
    request = PageRequest(size, None, ascending=False)
    return await store.read(
        lambda: read_listed(request, lambda page: audit_table.audit_of_resource(scope, resource, page))
    )
