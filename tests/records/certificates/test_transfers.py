"""Certificates on their way to another account, and races for them, on both engines."""

import asyncio
import re
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from msgspec import structs
from tests.support.databases.stores import CREATED_AT, Timings, insert, sample_access_key, sample_certificate
from tests.support.registration.authority import caller_with, new_authority

from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.certificates.transfer import with_transfer_begun, with_transfer_rejected
from thingmint.core.errors import CertificateStateRefused, ResourceNotFound, TransferCompleted
from thingmint.core.identifiers import AccountId, Scope
from thingmint.core.paging import PageRequest
from thingmint.records.access import access_keys as access_key_table
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.certificates import transfers as transfer_table
from thingmint.records.certificates.certificates import SUMMARIES_NEWEST_FIRST, SUMMARIES_OLDEST_FIRST
from thingmint.registration.certificates import certificates, transfers
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.ports import Store
from thingmint.storage import open_store
from thingmint.storage.dialect import POSTGRESQL

SOURCE, TARGET, THIRD = (caller_with(account=AccountId(digit * 12)) for digit in "123")
RACES = 12
ALL = PageRequest(100, None, ascending=True)


async def pending(store: Store, number: int, source: Scope = SOURCE.scope, target: Scope = TARGET.scope) -> Certificate:
    """Return a stored certificate that waits for the target to accept it."""
    offered = with_transfer_begun(
        sample_certificate(number, scope=source), target.account, "ü\x00\ud800 yours", CREATED_AT
    )
    await insert(store, offered)
    return offered


@pytest.fixture
async def authority(store: Store) -> RegistrationAuthority:
    """An authority on the engine's store."""
    for number, caller in enumerate((SOURCE, TARGET, THIRD)):
        key = sample_access_key(number, account=caller.account)
        await store.write(lambda key=key: access_key_table.insert_access_key(key))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    return structs.replace(new_authority(), store=store)


async def test_a_transfer_comes_back_as_it_was_stored(store: Store) -> None:
    offered = await pending(store, 1)
    certificate_id = offered.certificate_id
    assert await store.read(lambda: certificate_table.certificate(SOURCE.scope, certificate_id)) == offered
    rejected = with_transfer_rejected(offered, "\ud800 no", CREATED_AT)
    assert await store.write(lambda: certificate_table.update_certificate(offered, rejected))
    assert await store.read(lambda: certificate_table.certificate(SOURCE.scope, certificate_id)) == rejected
    assert await store.read(lambda: transfer_table.incoming_certificate(TARGET.scope, certificate_id)) is None


async def test_an_incoming_certificate_is_found_by_its_target_alone(store: Store) -> None:
    offered = await pending(store, 1)
    for scope, expected in ((TARGET.scope, offered), (SOURCE.scope, None), (THIRD.scope, None)):
        found = await store.read(
            lambda scope=scope: transfer_table.incoming_certificate(scope, offered.certificate_id)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        )
        assert found == expected


@pytest.mark.parametrize("ascending", [True, False])
async def test_a_list_holds_own_and_incoming_certificates_in_one_order(store: Store, *, ascending: bool) -> None:
    expected = []
    for number in range(0, 12, 3):
        incoming = await pending(store, number)
        own = sample_certificate(number + 1, scope=TARGET.scope)
        await insert(store, own, sample_certificate(number + 2, scope=SOURCE.scope))
        expected += [incoming.certificate_id, own.certificate_id]
    request, found = PageRequest(3, None, ascending), []
    while True:
        page = await certificates.list_certificates(structs.replace(new_authority(), store=store), TARGET, request)
        found += [summary.certificate_id for summary in page.items]
        if page.next is None:
            break
        request = replace(request, after=page.next)
    assert found == (expected if ascending else expected[::-1])


@pytest.mark.parametrize("query", [SUMMARIES_NEWEST_FIRST, SUMMARIES_OLDEST_FIRST], ids=["newest", "oldest"])
async def test_postgresql_ends_a_list_at_the_end_of_its_page(
    migrated_postgresql_url: str, tmp_path: Path, query: str
) -> None:
    store = await open_store(migrated_postgresql_url, tmp_path, observe=Timings())
    await insert(store, *(sample_certificate(number, der_size=10) for number in range(2000)))
    await store.close()
    connection = await asyncpg.connect(migrated_postgresql_url)
    await connection.execute("ANALYZE certificate")
    # A generic plan, as it is kept for a prepared statement, knows none of the values.
    await connection.execute(f"SET plan_cache_mode = force_generic_plan; PREPARE page AS {POSTGRESQL.translate(query)}")
    rows = await connection.fetch("EXPLAIN EXECUTE page ('123456789012', 'eu-central-1', 1000, 25)")
    await connection.close()
    backward = " Backward" if query == SUMMARIES_NEWEST_FIRST else ""
    scans = [row[0].strip() for row in rows if re.search("(Index|Seq|Bitmap).* Scan", row[0])]
    # Each side ends at the page's end; only the two pages are sorted, and no row is read for that.
    assert [line.split("  (")[0] for line in scans] == [
        f"->  Index Scan{backward} using certificate_list on certificate",
        f"->  Index Scan{backward} using certificate_incoming on certificate certificate_1",
    ]
    assert sum("Limit" in row[0] for row in rows) == 3
    assert sum("Sort  (" in row[0] for row in rows) == 1


async def outcomes(*calls: Awaitable[object]) -> list[type[BaseException] | None]:
    """Return how each of the calls ended that were made at once: in which error, or in none."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    return [type(result) if isinstance(result, BaseException) else None for result in results]


async def test_of_two_acceptances_one_counts(store: Store, authority: RegistrationAuthority) -> None:
    for number in range(RACES):
        offered = await pending(store, number)
        ended = await outcomes(
            *(transfers.accept(authority, TARGET, offered.certificate_id, active=False) for _ in range(4))
        )
        assert sorted(ended, key=str) == sorted([None, *[TransferCompleted] * 3], key=str)
        present = await certificates.describe(authority, TARGET, offered.certificate_id)
        assert present.status is CertificateStatus.INACTIVE


async def test_acceptance_and_cancellation_never_both_count(store: Store, authority: RegistrationAuthority) -> None:
    for number in range(RACES):
        offered = await pending(store, number)
        certificate_id = offered.certificate_id
        calls = [
            transfers.accept(authority, TARGET, certificate_id, active=True),
            transfers.cancel(authority, SOURCE, certificate_id),
            transfers.reject(authority, TARGET, certificate_id, None),
        ]
        order = [0, 1, 2] if number % 2 else [1, 2, 0]
        ended = await outcomes(*(calls[place] for place in order))
        by_call = dict(zip(order, ended, strict=True))
        assert list(by_call.values()).count(None) == 1
        assert list(by_call.values()).count(TransferCompleted) == 2
        owner, stranger = (TARGET, SOURCE) if by_call[0] is None else (SOURCE, TARGET)
        present = await certificates.describe(authority, owner, certificate_id)
        assert present.scope == owner.scope
        assert present.transfer_to is None
        with pytest.raises(ResourceNotFound):
            await certificates.describe(authority, stranger, certificate_id)


async def test_a_certificate_goes_to_one_of_two_accounts(store: Store, authority: RegistrationAuthority) -> None:
    for number in range(RACES):
        certificate = sample_certificate(number, scope=SOURCE.scope)
        await insert(store, certificate)
        ended = await outcomes(
            *(
                transfers.begin(authority, SOURCE, certificate.certificate_id, caller.account, None)
                for caller in (TARGET, THIRD)
            )
        )
        assert sorted(ended, key=str) == sorted([None, CertificateStateRefused], key=str)
        winner = (TARGET, THIRD)[ended.index(None)]
        present = await certificates.describe(authority, SOURCE, certificate.certificate_id)
        assert present.transfer_to == winner.account


async def test_activation_and_transfer_never_both_count(store: Store, authority: RegistrationAuthority) -> None:
    for number in range(RACES):
        certificate = sample_certificate(number, scope=SOURCE.scope)
        certificate_id = certificate.certificate_id
        await insert(store, certificate)
        ended = await outcomes(
            transfers.begin(authority, SOURCE, certificate_id, TARGET.account, None),
            certificates.update_status(authority, SOURCE, certificate_id, CertificateStatus.ACTIVE),
        )
        assert sorted(ended, key=str) == sorted([None, CertificateStateRefused], key=str)
        present = await certificates.describe(authority, SOURCE, certificate_id)
        assert present.status is (CertificateStatus.PENDING_TRANSFER if ended[0] is None else CertificateStatus.ACTIVE)


async def test_the_outgoing_list_is_paged_in_order(store: Store, authority: RegistrationAuthority) -> None:
    offered = [(await pending(store, number)).certificate_id for number in range(5)]
    await insert(store, sample_certificate(99, scope=SOURCE.scope))
    for ascending, expected in ((True, offered), (False, offered[::-1])):
        request, found = PageRequest(2, None, ascending), []
        while True:
            page = await transfers.list_outgoing(authority, SOURCE, request)
            found += [outgoing.certificate_id for outgoing in page.items]
            if page.next is None:
                break
            request = replace(request, after=page.next)
        assert found == expected
    assert (await transfers.list_outgoing(authority, TARGET, ALL)).items == ()
