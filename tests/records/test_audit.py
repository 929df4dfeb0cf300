"""The audit trail is entered at a time, and read by the terms of its index."""

from datetime import timedelta

import pytest
from tests.support.databases.log import append, log_on, sequenced
from tests.support.databases.stores import CREATED_AT, OTHER_SCOPE, SCOPE

from thingmint.core.paging import PageKey
from thingmint.records.audit import end_of_entries_before
from thingmint.records.log.terms import audit_page_of_term, term_of_action, term_of_resource
from thingmint.registration.kernel.ports import Store

NEWEST = 2**62


# An entry's time is that many microseconds after the first one's; its position is its number and one.
@pytest.mark.parametrize(("microseconds", "end"), [(-1, 1), (0, 1), (3, 4), (9, 10), (10, 11)])
async def test_entries_before_a_time_end_where_later_ones_begin(store: Store, microseconds: int, end: int) -> None:
    await append(store, range(10))
    at = CREATED_AT + timedelta(microseconds=microseconds)
    assert await store.read(lambda: end_of_entries_before(SCOPE, at, 10)) == PageKey(end)
    assert await store.read(lambda: end_of_entries_before(OTHER_SCOPE, at, 10)) == PageKey(1)


async def test_entries_are_found_by_their_terms_newest_first_and_page_by_page(store: Store) -> None:
    await append(store, range(5))
    await sequenced(store, await log_on(store))

    async def numbers(term: str, after: int, size: int) -> list[str]:
        found = await store.read(lambda: audit_page_of_term(SCOPE, term, PageKey(after), size))
        return [listed.item.request_id for listed in found]

    action = term_of_action("CreateKeysAndCertificate")
    assert await numbers(action, NEWEST, 3) == ["request-4", "request-3", "request-2"]
    assert await numbers(action, 3, 3) == ["request-1", "request-0"]
    assert await numbers(term_of_resource("certificate 2"), NEWEST, 3) == ["request-2"]
    assert await numbers(term_of_action("DeleteThing"), NEWEST, 3) == []
