"""Certificates are found by what operators know of them, on both engines; each page reads as much as the first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.authority import NOW, new_authority
from tests.support.stores import OTHER_SCOPE, SCOPE, sample_certificate

from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import CertificateId, SerialNumber
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.paging import PageKey, PageRequest
from thingmint.registration.certificates.certificate_counts import HOURS, MONTHS, count_certificates
from thingmint.registration.certificates.certificate_search import (
    Search,
    SearchBy,
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
    return replace(new_authority(), store=store)


async def ids(authority: RegistrationAuthority, by: SearchBy, text: str = "", size: int = 3) -> list[str]:
    """Return what a search finds, read page by page."""
    found: list[str] = []
    after: PageKey | None = None
    while True:
        page = await search_certificates(authority, SCOPE, Search(by, text), PageRequest(size, after, ascending=False))
        assert len(page.items) <= size
        found += [each.certificate_id for each in page.items]
        after = page.next
        if after is None:
            return found


def of(*certificates: Certificate) -> list[str]:
    return [each.certificate_id for each in certificates]


async def test_everything_is_newest_first(authority: RegistrationAuthority) -> None:
    assert await ids(authority, SearchBy.NOTHING) == of(NAMELESS, FOREIGN, *reversed(ALL))


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
    authority = replace(new_authority(), store=store)
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
    authority = replace(new_authority(), store=store)
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
    ],
)
async def test_what_cannot_be_looked_for_is_refused(by: SearchBy, text: str) -> None:
    with pytest.raises(InvalidRequest):
        await ids(new_authority(), by, text)


async def test_a_page_that_does_not_exist_is_refused() -> None:
    page = PageRequest(3, PageKey(1, "soon"), ascending=False)
    with pytest.raises(InvalidRequest):
        await search_certificates(new_authority(), SCOPE, Search(SearchBy.END, "2027-01-01"), page)


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
    counts = await count_certificates(replace(new_authority(), store=store), SCOPE)
    assert (counts.issued[-1], counts.issued[-2], counts.issued[0]) == (2, 1, 1)
    assert sum(counts.issued) == 4
