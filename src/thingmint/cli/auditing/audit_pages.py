"""Owns the search for audit entries, newest first, by an index if the filter has a term."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.identifiers import Scope
from thingmint.core.paging import Listed, PageKey, PageRequest
from thingmint.records.audit import audit_page, end_of_entries_before
from thingmint.records.log.state import log_state, newest_position
from thingmint.records.log.terms import audit_page_of_term
from thingmint.records.steps import Steps
from thingmint.registration.kernel.audit_filter import AuditFilter
from thingmint.registration.kernel.ports import Store

_PAGE = 500
# Entries are dated before their commit, and by several nodes, so the order of positions is only nearly that of times.
_SLACK = timedelta(hours=1)


async def newest_entries(
    store: Store, scope: Scope, wanted: AuditFilter, limit: int
) -> AsyncIterator[Listed[AuditEntry]]:
    """Yield up to ``limit`` entries that match, newest first; each page is read in a separate transaction."""
    after, indexed = await store.read(lambda: _beginning(scope, wanted))
    while limit:
        page = await store.read(lambda: _page(scope, wanted.term, after, indexed))  # noqa: B023  run before the next turn
        for listed in page:
            if wanted.matches(listed.item):
                yield listed
                limit -= 1
            if not limit or (wanted.since is not None and listed.item.at < wanted.since - _SLACK):
                return
        if page:
            after = page[-1].key
        if len(page) < _PAGE and (wanted.term is None or after.position <= indexed + 1):
            return
        if len(page) < _PAGE:
            after = PageKey(indexed + 1)


def _beginning(scope: Scope, wanted: AuditFilter) -> Steps[tuple[PageKey, int]]:
    """Return the first page's key, and the position up to which entries are indexed by their terms."""
    newest = yield from newest_position()
    state = yield from log_state()
    after = PageKey(newest + 1)
    if wanted.until is not None:
        after = yield from end_of_entries_before(scope, wanted.until + _SLACK, newest)
    return after, 0 if state is None else state.position


def _page(scope: Scope, term: str | None, after: PageKey, indexed: int) -> Steps[Sequence[Listed[AuditEntry]]]:
    # The newest entries are not indexed by their terms yet; after a migration, many more are not.
    if term is None or after.position > indexed + 1:
        return (yield from audit_page(scope, PageRequest(_PAGE, after, ascending=False)))
    return (yield from audit_page_of_term(scope, term, after, _PAGE))
