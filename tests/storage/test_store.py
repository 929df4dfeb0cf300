"""What every store promises, on both engines."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
from tests.support.databases.stores import (
    OTHER_SCOPE,
    SCOPE,
    Timings,
    audit,
    changed,
    delete,
    fetch,
    insert,
    page,
    sample_access_key,
    sample_audit_entry,
    sample_certificate,
    write_of,
)

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import DuplicateCertificate, InvalidRequest, ResourceNotFound, ServiceUnavailable
from thingmint.core.identifiers import AccountId, SerialNumber
from thingmint.core.paging import Listed, PageKey, PageRequest
from thingmint.records import audit as audit_table
from thingmint.records.access import access_keys as access_key_table
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.statement import ReadOnlyProgramWrites
from thingmint.records.steps import Steps
from thingmint.registration.kernel.ports import Store


async def test_a_certificate_comes_back_as_it_was_stored(store: Store) -> None:
    certificate = sample_certificate(1)
    await insert(store, certificate)
    assert await fetch(store, certificate) == certificate


async def test_serial_numbers_of_159_bits_come_back_whole(store: Store) -> None:
    certificate = replace(sample_certificate(1), serial_number=SerialNumber(2**159 - 1))
    await insert(store, certificate)
    stored = await fetch(store, certificate)
    assert stored is not None
    assert stored.serial_number == 2**159 - 1


async def test_an_unknown_certificate_is_none(store: Store) -> None:
    assert await fetch(store, sample_certificate(1)) is None


async def test_another_region_does_not_see_the_certificate(store: Store) -> None:
    certificate = sample_certificate(1)
    await insert(store, certificate)
    assert await fetch(store, replace(certificate, scope=OTHER_SCOPE)) is None
    assert await page(store, 10, scope=OTHER_SCOPE) == ()


async def test_a_certificate_id_is_taken_once(store: Store) -> None:
    certificate = sample_certificate(1)
    await insert(store, certificate)
    with pytest.raises(DuplicateCertificate, match=certificate.certificate_id):
        await insert(store, replace(certificate, serial_number=SerialNumber(7)))
    assert await fetch(store, certificate) == certificate


async def test_an_issuer_gives_a_serial_number_once(store: Store) -> None:
    first, second = sample_certificate(1), sample_certificate(2)
    await insert(store, first)
    with pytest.raises(DuplicateCertificate):
        await insert(store, replace(second, serial_number=first.serial_number))
    assert await fetch(store, second) is None


async def test_two_issuers_may_give_the_same_serial_number(store: Store) -> None:
    first = sample_certificate(1)
    second = replace(sample_certificate(2), serial_number=first.serial_number, issuer_id="ef" * 32)
    await insert(store, first, second)
    assert await fetch(store, second) == second


async def test_an_update_stores_status_time_and_version(store: Store) -> None:
    before = sample_certificate(1)
    after = changed(before, CertificateStatus.ACTIVE)
    await insert(store, before)
    assert await store.write(lambda: certificate_table.update_certificate(before, after))
    assert await fetch(store, before) == after


async def test_an_update_of_another_version_misses(store: Store) -> None:
    before = sample_certificate(1)
    active = changed(before, CertificateStatus.ACTIVE)
    await insert(store, before)
    await store.write(lambda: certificate_table.update_certificate(before, active))
    revoked = changed(before, CertificateStatus.REVOKED)
    assert not await store.write(lambda: certificate_table.update_certificate(before, revoked))
    assert await fetch(store, before) == active


async def test_a_deletion_removes_the_certificate_and_says_so(store: Store) -> None:
    certificate = sample_certificate(1)
    await insert(store, certificate)
    assert await delete(store, certificate)
    assert await fetch(store, certificate) is None
    assert not await delete(store, certificate)


async def test_a_deletion_of_another_version_misses(store: Store) -> None:
    before = sample_certificate(1)
    await insert(store, before)
    assert not await delete(store, changed(before, CertificateStatus.REVOKED))
    assert await fetch(store, before) == before


async def test_of_many_concurrent_deleters_one_wins(store: Store) -> None:
    certificate = sample_certificate(1)
    await insert(store, certificate)
    assert sorted(await asyncio.gather(*(delete(store, certificate) for _ in range(20)))) == [False] * 19 + [True]


async def test_of_many_concurrent_inserters_one_wins(store: Store) -> None:
    certificate = sample_certificate(1)
    results = await asyncio.gather(*(insert(store, certificate) for _ in range(20)), return_exceptions=True)
    assert results.count(None) == 1
    assert sum(isinstance(result, DuplicateCertificate) for result in results) == 19


async def test_changes_that_were_read_for_update_follow_one_another(store: Store) -> None:
    certificate = sample_certificate(1)
    await insert(store, certificate)

    def advance() -> Steps[bool]:
        before = yield from certificate_table.certificate_for_update(SCOPE, certificate.certificate_id)
        assert before is not None
        return (yield from certificate_table.update_certificate(before, changed(before, CertificateStatus.ACTIVE)))

    assert all(await asyncio.gather(*(store.write(advance) for _ in range(20))))
    stored = await fetch(store, certificate)
    assert stored is not None
    assert stored.customer_version == 21


async def test_a_transaction_sees_its_own_writes(store: Store) -> None:
    certificate = sample_certificate(1)

    def program() -> Steps[bool]:
        yield from certificate_table.insert_certificate(certificate)
        return (yield from certificate_table.certificate(SCOPE, certificate.certificate_id)) == certificate

    assert await store.write(program)


async def test_an_error_undoes_everything_the_program_did(store: Store) -> None:
    certificate = sample_certificate(1)

    def program() -> Steps[None]:
        yield from certificate_table.insert_certificate(certificate)
        yield from audit_table.append_audit(sample_audit_entry(1))
        raise ResourceNotFound("nothing here")

    with pytest.raises(ResourceNotFound, match="nothing here"):
        await store.write(program)
    assert await fetch(store, certificate) is None
    assert await audit(store) == ()


async def test_a_failing_program_leaves_its_neighbours_alone(store: Store) -> None:
    def refuse() -> Steps[None]:
        yield from audit_table.append_audit(sample_audit_entry(1))
        raise ZeroDivisionError("a defect")

    good = [sample_certificate(number) for number in range(30)]
    writes = [store.write(write_of(certificate)) for certificate in good]
    failures = [store.write(refuse) for _ in range(10)]
    results = await asyncio.gather(*writes[:15], *failures, *writes[15:], return_exceptions=True)
    assert results.count(None) == 30
    assert sum(isinstance(result, ZeroDivisionError) for result in results) == 10
    assert len(await page(store, 100)) == 30
    assert await audit(store) == ()


async def test_a_defective_statement_reaches_its_own_waiter_only(store: Store) -> None:
    refused = replace(sample_certificate(1), generation_id=None)  # type: ignore[arg-type]  # the column is NOT NULL
    good = sample_certificate(2)
    results = await asyncio.gather(insert(store, refused), insert(store, good), return_exceptions=True)
    assert isinstance(results[0], Exception)
    assert not isinstance(results[0], ServiceUnavailable)
    assert await fetch(store, good) == good


async def test_a_program_without_statements_returns_its_value(store: Store) -> None:
    def program() -> Steps[str]:
        yield from ()
        return "nothing to ask"

    assert await store.write(program) == "nothing to ask"
    assert await store.read(program) == "nothing to ask"


async def test_a_read_of_several_statements_is_one_snapshot(store: Store) -> None:
    certificate = sample_certificate(1)
    await insert(store, certificate)

    def program() -> Steps[tuple[object, object]]:
        summaries = yield from certificate_table.certificate_summaries(SCOPE, PageRequest(10, None, ascending=True))
        return summaries[0].certificate_id, (
            yield from certificate_table.certificate(SCOPE, certificate.certificate_id)
        )

    assert await store.read(program) == (certificate.certificate_id, certificate)


async def test_a_read_that_writes_is_refused_at_its_first_statement(store: Store) -> None:
    certificate = sample_certificate(1)
    with pytest.raises(ReadOnlyProgramWrites):
        await store.read(write_of(certificate))
    assert await fetch(store, certificate) is None


async def test_a_read_that_writes_is_refused_at_a_later_statement(store: Store) -> None:
    certificate = sample_certificate(1)

    def program() -> Steps[None]:
        yield from certificate_table.certificate(SCOPE, certificate.certificate_id)
        yield from certificate_table.insert_certificate(certificate)

    with pytest.raises(ReadOnlyProgramWrites):
        await store.read(program)
    assert await fetch(store, certificate) is None


async def test_a_read_that_raises_leaves_the_store_usable(store: Store) -> None:
    def program() -> Steps[None]:
        yield from access_key_table.access_keys(None)
        yield from access_key_table.access_keys(None)
        raise ResourceNotFound("nothing here")

    for _ in range(30):
        with pytest.raises(ResourceNotFound):
            await store.read(program)
    assert await page(store, 10) == ()


async def test_lists_are_in_the_order_of_insertion_both_ways(store: Store) -> None:
    certificates = [sample_certificate(number) for number in range(10)]
    await insert(store, *certificates)
    ids = [certificate.certificate_id for certificate in certificates]
    assert [summary.certificate_id for summary in await page(store, 100, ascending=True)] == ids
    assert [summary.certificate_id for summary in await page(store, 100)] == ids[::-1]


async def test_a_summary_shows_what_the_certificate_has(store: Store) -> None:
    certificate = sample_certificate(1)
    await insert(store, certificate)
    await store.write(
        lambda: certificate_table.update_certificate(certificate, changed(certificate, CertificateStatus.REVOKED))
    )
    (summary,) = await page(store, 1)
    assert summary.arn == certificate.arn
    assert (summary.status, summary.mode, summary.created_at, summary.position) == (
        CertificateStatus.REVOKED,
        certificate.mode,
        certificate.created_at,
        1,
    )


@pytest.mark.parametrize("ascending", [True, False])
async def test_pages_neither_repeat_nor_miss_while_others_insert_and_delete(store: Store, ascending: bool) -> None:
    certificates = [sample_certificate(number) for number in range(20)]
    await insert(store, *certificates)
    by_id = {certificate.certificate_id: certificate for certificate in certificates}
    later = iter([sample_certificate(number) for number in range(100, 104)])
    seen: list[str] = []
    after: PageKey | None = None
    while found := await page(store, 3, after=after, ascending=ascending):
        seen += [summary.certificate_id for summary in found]
        after = PageKey(found[-1].position)
        if (late := next(later, None)) is not None:
            await insert(store, late)
            # The entry that the page key names disappears: the next page starts behind it all the same.
            await delete(store, by_id[found[-1].certificate_id])
    expected = certificates if ascending else certificates[::-1]
    assert seen[:20] == [certificate.certificate_id for certificate in expected]
    assert len(seen) == len(set(seen)) == (24 if ascending else 20)


async def test_positions_of_deleted_certificates_never_come_back(store: Store) -> None:
    first, second = sample_certificate(1), sample_certificate(2)
    await insert(store, first)
    (before,) = await page(store, 1)
    await delete(store, first)
    await insert(store, second)
    (after,) = await page(store, 1)
    assert after.position > before.position


@pytest.mark.parametrize("position", [-(2**70), -1, 0, 2**63 - 1, 2**63, 2**200])
async def test_page_keys_of_any_size_are_harmless(store: Store, position: int) -> None:
    await insert(store, sample_certificate(1))
    assert len(await page(store, 5, after=PageKey(position), ascending=True)) == (position <= 0)
    assert len(await page(store, 5, after=PageKey(position))) == (position > 0)
    assert await audit(store, after=PageKey(position)) == ()


async def test_access_keys_come_back_as_they_were_stored(store: Store) -> None:
    permanent, temporary = sample_access_key(2), sample_access_key(1)
    foreign = sample_access_key(3, account=AccountId("999999999999"))
    for access_key in (permanent, temporary, foreign):
        await store.write(lambda key=access_key: access_key_table.insert_access_key(key))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    assert await store.read(lambda: access_key_table.access_key(temporary.access_key_id)) == temporary
    assert await store.read(lambda: access_key_table.access_key("AKIAUNKNOWN")) is None
    assert await store.read(lambda: access_key_table.access_keys(SCOPE.account)) == (permanent, temporary)
    assert await store.read(lambda: access_key_table.access_keys(None)) == (permanent, temporary, foreign)


async def test_an_access_key_id_is_taken_once(store: Store) -> None:
    access_key = sample_access_key(1)
    await store.write(lambda: access_key_table.insert_access_key(access_key))
    with pytest.raises(InvalidRequest, match=access_key.access_key_id):
        await store.write(lambda: access_key_table.insert_access_key(access_key))


async def test_a_deleted_access_key_is_gone(store: Store) -> None:
    access_key = sample_access_key(1)
    await store.write(lambda: access_key_table.insert_access_key(access_key))
    assert await store.write(lambda: access_key_table.delete_access_key(access_key.access_key_id))
    assert not await store.write(lambda: access_key_table.delete_access_key(access_key.access_key_id))
    assert await store.read(lambda: access_key_table.access_key(access_key.access_key_id)) is None


async def test_audit_entries_come_back_newest_first(store: Store) -> None:
    entries = [sample_audit_entry(number, status="ACTIVE", previous_status="INACTIVE") for number in range(5)]
    for entry in entries:
        await store.write(lambda entry=entry: audit_table.append_audit(entry))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    assert list(await audit(store)) == entries[::-1]
    assert list(await audit(store, 2)) == [entries[4], entries[3]]
    assert list(await audit(store, after=PageKey(3))) == [entries[1], entries[0]]


async def test_the_audit_trail_is_read_in_pages_from_either_end(store: Store) -> None:
    entries = [sample_audit_entry(number) for number in range(5)]
    for entry in entries:
        await store.write(partial(audit_table.append_audit, entry))

    async def page_of(after: PageKey | None, *, ascending: bool) -> Sequence[Listed[AuditEntry]]:
        return await store.read(lambda: audit_table.audit_page(SCOPE, PageRequest(2, after, ascending)))

    newest = await page_of(None, ascending=False)
    assert [listed.item for listed in newest] == [entries[4], entries[3]]
    assert [listed.item for listed in await page_of(newest[-1].key, ascending=False)] == [entries[2], entries[1]]
    oldest = await page_of(None, ascending=True)
    assert [listed.item for listed in oldest] == [entries[0], entries[1]]
    assert [listed.item for listed in await page_of(oldest[-1].key, ascending=True)] == [entries[2], entries[3]]
    assert await page_of(newest[0].key, ascending=True) == ()


async def test_audit_details_may_be_large_and_hold_any_text(store: Store) -> None:
    entry = sample_audit_entry(1, large="ü" * 200_000, odd="\x00\ud800\U0001f511\"'\\\n", empty="")
    await store.write(lambda: audit_table.append_audit(entry))
    assert list(await audit(store)) == [entry]


async def test_check_writes_and_may_be_repeated(store: Store, timings: Timings) -> None:
    await store.check()
    await store.check()
    assert timings.kinds.count("commit") == 2


async def test_the_observer_is_told_of_reads_writes_and_commits(store: Store, timings: Timings) -> None:
    await insert(store, sample_certificate(1))
    await page(store, 1)
    assert sorted(timings.kinds) == ["commit", "read", "write"]


async def test_a_cancelled_waiter_harms_nobody(store: Store) -> None:
    certificates = [sample_certificate(number) for number in range(40)]
    tasks = [asyncio.create_task(insert(store, certificate)) for certificate in certificates]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(result is None for result in results[1::2])
    for certificate in certificates[1::2]:
        assert await fetch(store, certificate) == certificate
    await store.check()


async def test_close_finishes_what_is_queued_and_refuses_what_comes_later(store: Store) -> None:
    tasks = [asyncio.create_task(insert(store, sample_certificate(number))) for number in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*tasks) == [None] * 50
    for refused in (store.check(), page(store, 1), insert(store, sample_certificate(99))):
        with pytest.raises(ServiceUnavailable):
            await refused
    await store.close()
