"""The audit trail is read in pages of bounded work, filtered, and for one resource."""

from dataclasses import replace

import pytest
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW, caller_with

from thingmint.core.audit_entry import AuditEntry, audit_entry
from thingmint.core.identifiers import AccountId, Scope
from thingmint.core.paging import PageKey
from thingmint.records import audit as audit_table
from thingmint.records.log.terms import term_of_action, term_of_principal, term_of_resource
from thingmint.records.steps import Steps
from thingmint.registration.kernel.audit_filter import AuditFilter
from thingmint.registration.kernel.audit_trail import MOST_LOOKED_AT, entries_of_resource, wanted_entries

CALLER = caller_with()
SCOPE = CALLER.scope


def entry(number: int, action: str = "CreateThing") -> AuditEntry:
    return audit_entry(CALLER, NOW, action, f"arn:thing/{number}")


async def filled(*entries: AuditEntry) -> MemoryStore:
    store = MemoryStore()

    def program() -> Steps[None]:
        for each in entries:
            yield from audit_table.append_audit(each)

    await store.write(program)
    return store


async def read(store: MemoryStore, wanted: AuditFilter, size: int) -> list[list[str]]:
    """Return the pages of the trail, each as the resources of its entries."""
    pages: list[list[str]] = []
    after: PageKey | None = None
    while True:
        page = await wanted_entries(store, SCOPE, wanted, size, after)
        pages.append([listed.item.resource for listed in page.entries])
        after = page.next
        if after is None:
            return pages


async def test_pages_follow_each_other_newest_first() -> None:
    store = await filled(*map(entry, range(5)))
    pages = await read(store, AuditFilter(), 2)
    assert pages == [["arn:thing/4", "arn:thing/3"], ["arn:thing/2", "arn:thing/1"], ["arn:thing/0"]]


async def test_only_what_is_wanted_is_returned() -> None:
    store = await filled(entry(1), entry(2, "DeleteThing"), entry(3))
    assert await read(store, AuditFilter(action="delete*"), 10) == [["arn:thing/2"]]


@pytest.mark.parametrize(
    ("wanted", "term"),
    [
        (AuditFilter(resource="arn:thing/1", action="CreateThing"), term_of_resource("arn:thing/1")),
        (AuditFilter(resource="thing/1", principal="arn:user/1"), term_of_principal("arn:user/1")),
        (AuditFilter(principal="arn:user/*", action="CreateThing"), term_of_action("CreateThing")),
        (AuditFilter(action="Create*"), None),
    ],
)
def test_an_index_is_used_for_what_is_named_as_a_whole(wanted: AuditFilter, term: str | None) -> None:
    assert wanted.term == term


@pytest.mark.parametrize("wanted", ["arn:thing/0", "arn:nothing"])
async def test_a_page_looks_at_a_bounded_number_of_entries(wanted: str) -> None:
    store = await filled(*map(entry, range(MOST_LOOKED_AT + 10)))
    page = await wanted_entries(store, SCOPE, AuditFilter(resource=f"{wanted}?*"), 10, None)
    assert len(page.entries) == 0
    assert page.next is not None
    rest = await wanted_entries(store, SCOPE, AuditFilter(), 100, page.next)
    assert len(rest.entries) == 10


async def test_a_resource_has_its_own_entries() -> None:
    other = replace(entry(1), scope=Scope(AccountId("210987654321"), SCOPE.region))
    store = await filled(entry(1), entry(2), entry(1, "DeleteThing"), other)
    page = await entries_of_resource(store, SCOPE, "arn:thing/1", 1)
    assert [each.action for each in page.items] == ["DeleteThing"]
    assert page.next is not None
