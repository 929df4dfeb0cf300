"""ListCertificates through AWS's SDK: order, page sizes, markers that travel through a URL and come back."""

import re
from typing import Any

import pytest
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import ClientOf, IoT, Live, refusal_of

pytestmark = pytest.mark.engines

MANY, PAGE = 260, 250


@pytest.fixture(scope="module")
def many(live: Live) -> list[str]:
    """The ids of so many certificates that the largest page does not hold them, oldest first."""
    client = live.client()
    try:
        return [
            client.create_certificate_from_csr(certificateSigningRequest=csr_pem("p-256"))["certificateId"]
            for _ in range(MANY)
        ]
    finally:
        client.close()


def ids(page: dict[str, Any]) -> list[str]:
    return [certificate["certificateId"] for certificate in page["certificates"]]


def all_pages(iot: IoT, **parameters: object) -> list[dict[str, Any]]:
    pages = [iot.list_certificates(**parameters)]
    while "nextMarker" in pages[-1]:
        pages.append(iot.list_certificates(marker=pages[-1]["nextMarker"], **parameters))
    return pages


@pytest.mark.parametrize("order", [{}, {"ascendingOrder": False}])
def test_the_default_order_is_newest_first_over_all_pages(iot: IoT, many: list[str], order: dict[str, bool]) -> None:
    pages = all_pages(iot, pageSize=PAGE, **order)

    listed = [certificate_id for page in pages for certificate_id in ids(page)]
    assert [certificate_id for certificate_id in listed if certificate_id in set(many)] == many[::-1]
    assert len(set(listed)) == len(listed)
    assert [len(ids(page)) for page in pages[:-1]] == [PAGE] * (len(pages) - 1)


def test_the_ascending_order_is_the_reverse(iot: IoT, many: list[str]) -> None:
    listed = [
        entry
        for page in all_pages(iot, pageSize=PAGE, ascendingOrder=True)
        for entry in page["certificates"]
        if entry["certificateId"] in set(many)
    ]

    assert [entry["certificateId"] for entry in listed] == many
    # One client made them, one after the other; of two that are made at the same time, either can be stored first.
    dates = [entry["creationDate"] for entry in listed]
    assert dates == sorted(dates)


@pytest.mark.usefixtures("many")
def test_the_sdks_own_paginator_sees_the_same_pages(iot: IoT) -> None:
    paginated = list(iot.get_paginator("list_certificates").paginate(PaginationConfig={"PageSize": 100}))

    assert [ids(page) for page in paginated] == [ids(page) for page in all_pages(iot, pageSize=100)]


@pytest.mark.usefixtures("many")
def test_a_page_has_25_entries_where_no_size_is_asked_for(iot: IoT) -> None:
    assert len(ids(iot.list_certificates())) == 25


@pytest.mark.usefixtures("many")
def test_the_marker_keeps_to_the_models_pattern_and_is_absent_at_the_end(iot: IoT) -> None:
    *pages, last = all_pages(iot, pageSize=PAGE)

    assert pages
    assert all(re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", page["nextMarker"]) for page in pages)
    assert "nextMarker" not in last


def test_an_entry_says_what_aws_says_of_a_certificate(iot: IoT, many: list[str]) -> None:
    entry = next(e for p in all_pages(iot, pageSize=PAGE) for e in p["certificates"] if e["certificateId"] == many[-1])
    description = iot.describe_certificate(certificateId=many[-1])["certificateDescription"]

    assert entry == {
        "certificateArn": description["certificateArn"],
        "certificateId": many[-1],
        "status": "INACTIVE",
        "certificateMode": "DEFAULT",
        "creationDate": description["creationDate"],
    }


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("size", [1, 250])
def test_the_bounds_of_the_page_size_are_within_it(iot: IoT, size: int) -> None:
    assert len(ids(iot.list_certificates(pageSize=size))) == size


@pytest.mark.parametrize(
    ("size", "rule"),
    [
        (0, "Member must have value greater than or equal to 1"),
        (-1, "Member must have value greater than or equal to 1"),
        (251, "Member must have value less than or equal to 250"),
    ],
)
def test_a_page_size_beyond_its_bounds_is_refused(live: Live, client_of: ClientOf, size: int, rule: str) -> None:
    refusal = refusal_of(client_of(live, parameter_validation=False).list_certificates, pageSize=size)

    assert (refusal.name, refusal.status) == ("InvalidRequestException", 400)
    assert refusal.message == (
        f"1 validation error detected: Value '{size}' at 'pageSize' failed to satisfy constraint: {rule}"
    )


@pytest.mark.usefixtures("many")
def test_a_marker_that_was_not_given_out_for_this_list_is_refused(iot: IoT) -> None:
    marker = iot.list_certificates(pageSize=1)["nextMarker"]
    damaged = ("B" if marker[0] == "A" else "A") + marker[1:]

    for parameters in (
        {"marker": damaged},
        {"marker": "AAAA"},
        {"marker": "no-marker."},
        {"marker": marker, "ascendingOrder": True},
    ):
        refusal = refusal_of(iot.list_certificates, **parameters)
        assert (refusal.name, refusal.status) == ("InvalidRequestException", 400)
