"""Certificates are found by what operators know of them, on both engines; each page reads as much as the first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs
from tests.support.databases.stores import OTHER_SCOPE, SCOPE, sample_certificate
from tests.support.registration.authority import NOW, new_authority

from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import CertificateId, SerialNumber
from thingmint.core.paging import PageKey, PageRequest
from thingmint.records.certificates import certificates as certificate_table
from thingmint.registration.certificates import certificate_search
from thingmint.registration.certificates.certificate_counts import HOURS, MONTHS, count_certificates
from thingmint.registration.certificates.certificate_criteria import SearchBy
from thingmint.registration.certificates.certificate_search import (
    Search,
    fulfilling,
    named_certificates,
    search_certificates,
)
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.ports import Store

CA = CertificateId("c" * 64)


def certificate(number: int, **changes: object) -> Certificate:
    base = sample_certificate(number)
    own = {
        "common_name": f"sensor-{number:02}",
        "serial_number": SerialNumber(0xABC0 + number),
        "not_after": NOW + timedelta(days=number + 1),
    }
    return replace(base, **{**own, **changes})  # type: ignore[arg-type] # each is a field of the class


ALL = [certificate(number) for number in range(7)]
FOREIGN = certificate(
    7,
    issuer_id=None,
    ca_certificate_id=CA,
    status=CertificateStatus.ACTIVE,
    common_name="sensor-03",
    signed_digest="d" * 64,
)
NAMELESS = certificate(8, common_name=None)
STRANGER = replace(certificate(9), scope=OTHER_SCOPE)


@pytest.fixture
async def authority(store: Store) -> RegistrationAuthority:
    for each in (*ALL, FOREIGN, NAMELESS, STRANGER):
        await store.write(lambda each=each: certificate_table.insert_certificate(each))  # type: ignore[misc] # as mypy sees it
    return structs.replace(new_authority(), store=store)


async def ids(authority: RegistrationAuthority, by: SearchBy, text: str = "", size: int = 3) -> list[str]:
    """Return what a search by one criterion finds, read page by page."""
    return await found_by(authority, {by: text}, size)


async def found_by(authority: RegistrationAuthority, criteria: dict[SearchBy, str], size: int = 3) -> list[str]:
    """Return what a search finds, read page by page."""
    found: list[str] = []
    after: PageKey | None = None
    search = Search(criteria)
    while True:
        page = await search_certificates(authority, SCOPE, search, PageRequest(size, after, ascending=False))
        assert len(page.items) <= size
        found += [each.certificate_id for each in page.items]
        after, search = page.next, Search(criteria, page.led_by or "")
        if after is None:
            return found


def of(*certificates: Certificate) -> list[str]:
    return [each.certificate_id for each in certificates]


async def test_everything_is_newest_first(authority: RegistrationAuthority) -> None:
    assert await found_by(authority, {}) == of(NAMELESS, FOREIGN, *reversed(ALL))


async def test_by_common_name(authority: RegistrationAuthority) -> None:
    assert await ids(authority, SearchBy.COMMON_NAME, "sensor-", 2) == of(*ALL[:4], FOREIGN, *ALL[4:])
    assert await ids(authority, SearchBy.COMMON_NAME, "sensor-03", 1) == of(ALL[3], FOREIGN)
    assert await ids(authority, SearchBy.COMMON_NAME, "Sensor") == []
    assert await ids(authority, SearchBy.COMMON_NAME, "%") == []


async def test_by_the_start_of_an_id(authority: RegistrationAuthority) -> None:
    for each in ALL:
        assert await ids(authority, SearchBy.ID, each.certificate_id[:10].upper()) == of(each)
        assert await ids(authority, SearchBy.ID, each.arn) == of(each)
    assert await ids(authority, SearchBy.ID, STRANGER.certificate_id) == []


async def test_ids_that_start_alike_come_in_their_order(store: Store) -> None:
    alike = [replace(certificate(number), certificate_id=CertificateId(f"abcd{number:060x}")) for number in range(5)]
    for each in reversed(alike):
        await store.write(lambda each=each: certificate_table.insert_certificate(each))  # type: ignore[misc] # as mypy sees it
    authority = structs.replace(new_authority(), store=store)
    assert await ids(authority, SearchBy.ID, "abcd", 2) == of(*alike)


@pytest.mark.parametrize("text", ["abc2", "0xABC2", "00:ab:C2", " ab c2 "])
async def test_by_serial_number(authority: RegistrationAuthority, text: str) -> None:
    assert await ids(authority, SearchBy.SERIAL_NUMBER, text) == of(ALL[2])


async def test_by_issuer_or_registered_ca(authority: RegistrationAuthority) -> None:
    assert await ids(authority, SearchBy.ISSUER, "AB" * 32) == of(NAMELESS, *reversed(ALL))
    assert await ids(authority, SearchBy.ISSUER, CA) == of(FOREIGN)


async def test_by_status(authority: RegistrationAuthority) -> None:
    assert await ids(authority, SearchBy.STATUS, "active") == of(FOREIGN)
    assert await ids(authority, SearchBy.STATUS, "INACTIVE") == of(NAMELESS, *reversed(ALL))


async def test_by_end(authority: RegistrationAuthority) -> None:
    assert await ids(authority, SearchBy.END, f"{NOW + timedelta(days=4):%Y-%m-%d}", 2) == of(*ALL[:4])


async def test_certificates_that_end_together_are_listed_once(store: Store) -> None:
    alike = [certificate(number, not_after=NOW + timedelta(days=1)) for number in range(5)]
    for each in alike:
        await store.write(lambda each=each: certificate_table.insert_certificate(each))  # type: ignore[misc] # as mypy sees it
    authority = structs.replace(new_authority(), store=store)
    assert await ids(authority, SearchBy.END, "2019-01-01", 2) == of(*alike)


@pytest.mark.parametrize(
    ("by", "text"),
    [
        (SearchBy.ID, ""),
        (SearchBy.ID, "abc"),
        (SearchBy.ID, "xyz1"),
        (SearchBy.ID, "a" * 65),
        (SearchBy.COMMON_NAME, ""),
        (SearchBy.COMMON_NAME, "a\0b"),
        (SearchBy.COMMON_NAME, "a\ud800"),
        (SearchBy.COMMON_NAME, "a" * 257),
        (SearchBy.SERIAL_NUMBER, "twelve"),
        (SearchBy.SERIAL_NUMBER, "1" * 65),
        (SearchBy.ISSUER, "ab"),
        (SearchBy.ISSUER, "x" * 64),
        (SearchBy.STATUS, "GONE"),
        (SearchBy.END, "soon"),
        (SearchBy.END, "9999-12-31"),
        (SearchBy.END_SINCE, "yesterday"),
    ],
)
async def test_what_cannot_be_looked_for_is_refused(by: SearchBy, text: str) -> None:
    with pytest.raises(InvalidRequest):
        await ids(new_authority(), by, text)


@pytest.mark.parametrize(
    ("search", "key"),
    [
        (Search({SearchBy.END: "2027-01-01"}), PageKey(1, "soon")),
        (Search({SearchBy.END: "2027-01-01", SearchBy.STATUS: "ACTIVE"}, "end"), PageKey(1, "soon")),
        (Search({SearchBy.END: "2027-01-01", SearchBy.STATUS: "ACTIVE"}, "issuer"), PageKey(1)),
        (Search({SearchBy.END: "2027-01-01", SearchBy.STATUS: "ACTIVE"}), PageKey(1)),
    ],
)
async def test_a_page_that_does_not_exist_is_refused(search: Search, key: PageKey) -> None:
    with pytest.raises(InvalidRequest, match="page does not exist"):
        await search_certificates(new_authority(), SCOPE, search, PageRequest(3, key, ascending=False))


async def test_days_that_exclude_each_other_are_refused(authority: RegistrationAuthority) -> None:
    with pytest.raises(InvalidRequest, match="after the last one"):
        await found_by(authority, {SearchBy.END_SINCE: "2027-01-02", SearchBy.END: "2027-01-01"})


async def test_by_the_days_between_which_certificates_end(authority: RegistrationAuthority) -> None:
    days = [f"{NOW + timedelta(days=number):%Y-%m-%d}" for number in (2, 4, 8)]
    assert await found_by(authority, {SearchBy.END_SINCE: days[0], SearchBy.END: days[1]}) == of(*ALL[1:4])
    assert await found_by(authority, {SearchBy.END_SINCE: days[2]}) == of(FOREIGN, NAMELESS)
    assert await found_by(authority, {SearchBy.END_SINCE: "2001-01-01", SearchBy.END: "2001-01-01"}) == []


@pytest.mark.parametrize("probed", [2, 200])
async def test_criteria_are_combined_whichever_leads(
    authority: RegistrationAuthority, monkeypatch: pytest.MonkeyPatch, probed: int
) -> None:
    monkeypatch.setattr(certificate_search, "_PROBED", probed)
    monkeypatch.setattr(certificate_search, "_AT_ONCE", 2)
    issuer, day = {SearchBy.ISSUER: "ab" * 32}, f"{NOW + timedelta(days=4):%Y-%m-%d}"
    inactive, name = {SearchBy.STATUS: "INACTIVE"}, {SearchBy.COMMON_NAME: "sensor-0"}
    assert set(await found_by(authority, {**issuer, **inactive})) == set(of(NAMELESS, *ALL))
    assert set(await found_by(authority, {**inactive, **name}, 2)) == set(of(*ALL))
    assert set(await found_by(authority, {**name, SearchBy.ISSUER: CA})) == {FOREIGN.certificate_id}
    assert set(await found_by(authority, {**name, SearchBy.END: day, **inactive}, 1)) == set(of(*ALL[:4]))
    assert await found_by(authority, {SearchBy.ID: ALL[2].certificate_id, SearchBy.SERIAL_NUMBER: "abc2"}) == of(ALL[2])
    assert await found_by(authority, {SearchBy.ID: ALL[2].certificate_id, SearchBy.SERIAL_NUMBER: "abc3"}) == []
    assert await found_by(authority, {**issuer, SearchBy.STATUS: "active"}) == []


async def test_a_page_looks_at_a_bounded_number_of_certificates_and_goes_on(
    authority: RegistrationAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, number in (("_PROBED", 1), ("_AT_ONCE", 2), ("MOST_EXAMINED", 2)):
        monkeypatch.setattr(certificate_search, name, number)
    search = Search({SearchBy.COMMON_NAME: "sensor-", SearchBy.END_SINCE: "2018-11-08"})
    first = await search_certificates(authority, SCOPE, search, PageRequest(3, None, ascending=False))
    assert first.led_by is SearchBy.END
    assert [each.certificate_id for each in first.items] == of(FOREIGN)
    assert first.is_cut
    rest = await search_certificates(
        authority, SCOPE, structs.replace(search, led_by="end"), PageRequest(3, first.next, ascending=False)
    )
    assert (rest.items, rest.next, rest.is_cut) == ((), None, False)


async def test_certificates_of_a_thing_are_filtered_by_the_other_criteria(authority: RegistrationAuthority) -> None:
    wanted = [each.certificate_id for each in (ALL[1], FOREIGN)]
    named = await named_certificates(authority, SCOPE, wanted)
    active = fulfilling(authority, SCOPE, Search({SearchBy.STATUS: "ACTIVE"}), named)
    assert [each.certificate_id for each in active] == [FOREIGN.certificate_id]
    assert fulfilling(authority, SCOPE, Search({}), named) == named


async def test_serial_number_zero_is_looked_for(authority: RegistrationAuthority) -> None:
    assert await ids(authority, SearchBy.SERIAL_NUMBER, "00") == []


async def test_named_certificates_are_those_of_the_account(authority: RegistrationAuthority) -> None:
    wanted = [ALL[1].certificate_id, STRANGER.certificate_id, CertificateId("0" * 64), ALL[0].certificate_id]
    found = await named_certificates(authority, SCOPE, wanted)
    assert [each.certificate_id for each in found] == of(ALL[1], ALL[0])


async def test_certificates_are_counted(authority: RegistrationAuthority) -> None:
    counts = await count_certificates(authority, SCOPE)
    assert counts.by_status[CertificateStatus.ACTIVE] == 1
    assert counts.by_status[CertificateStatus.INACTIVE] == 8
    assert len(counts.issued) == HOURS
    assert len(counts.ends) == MONTHS
    assert counts.ends[0].begins_at == datetime(2018, 10, 1, tzinfo=UTC)
    # It is the last day of October: one certificate a day ends from tomorrow on.
    assert [month.count for month in counts.ends[:3]] == [0, 9, 0]


async def test_the_hours_of_issuance_are_counted(store: Store) -> None:
    for number, hours in enumerate((0, 0, 1, HOURS - 1, HOURS)):
        each = certificate(number, created_at=NOW - timedelta(hours=hours))
        await store.write(lambda each=each: certificate_table.insert_certificate(each))  # type: ignore[misc] # as mypy sees it
    counts = await count_certificates(structs.replace(new_authority(), store=store), SCOPE)
    assert (counts.issued[-1], counts.issued[-2], counts.issued[0]) == (2, 1, 1)
    assert sum(counts.issued) == 4
