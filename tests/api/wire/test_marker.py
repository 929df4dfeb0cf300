"""Markers of lists."""

import base64
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.api.wire import marker
from thingmint.api.wire.marker import decode_marker, encode_marker
from thingmint.core.errors import InvalidRequest
from thingmint.core.paging import PageKey

PLACE = ("List", "123456789012", "eu-west-1", "True")


@given(st.integers(min_value=0, max_value=2**63 - 1), st.text())
def test_a_marker_leads_back_to_its_place(position: int, filtered_by: str) -> None:
    marker = encode_marker((*PLACE, filtered_by), PageKey(position))

    assert re.fullmatch("[A-Za-z0-9+/]+={0,2}", marker)
    assert decode_marker((*PLACE, filtered_by), marker) == PageKey(position)


@given(st.integers(min_value=0, max_value=2**63 - 1), st.text(string.printable))
def test_a_marker_of_a_list_in_the_order_of_a_text_leads_back_to_both(position: int, text: str) -> None:
    assert decode_marker(PLACE, encode_marker(PLACE, PageKey(position, text))) == PageKey(position, text)


@given(st.binary())
def test_a_marker_whose_digest_a_stranger_computed_holds_harmless_text(written: bytes) -> None:
    digest = marker._digest(PLACE, b"\0" * 8 + written)  # what a stranger would compute
    forged = base64.b64encode(b"\x01" + digest + b"\0" * 8 + written).decode()

    text = decode_marker(PLACE, forged).text

    assert "\0" not in text
    assert text.encode().decode() == text


@pytest.mark.parametrize(
    "place",
    [
        ("Other", *PLACE[1:]),
        ("List", "210987654321", "eu-west-1", "True"),
        ("List", "123456789012", "eu-west-2", "True"),
        (*PLACE[:3], "False"),
        (*PLACE, "filter"),
        ("List1", "23456789012", "eu-west-1", "True"),
    ],
)
def test_a_marker_of_another_place_is_refused(place: tuple[str, ...]) -> None:
    marker = encode_marker(PLACE, PageKey(7))

    with pytest.raises(InvalidRequest, match="not valid for this list"):
        decode_marker(place, marker)


@pytest.mark.parametrize("marker", ["", "A", "AAAA", "=", "AAAA====", "A" * 28, "A" * 1024, "ä", "AA AA"])
def test_a_marker_that_nobody_made_is_refused(marker: str) -> None:
    with pytest.raises(InvalidRequest, match="The marker is not valid"):
        decode_marker(PLACE, marker)


@given(st.integers(min_value=0, max_value=20), st.integers(min_value=1, max_value=255))
def test_a_damaged_marker_is_refused(at: int, difference: int) -> None:
    raw = bytearray(base64.b64decode(encode_marker(PLACE, PageKey(7))))
    raw[at] ^= difference

    with pytest.raises(InvalidRequest):
        decode_marker(PLACE, base64.b64encode(raw).decode())


def test_a_marker_with_something_after_it_is_refused() -> None:
    raw = base64.b64decode(encode_marker(PLACE, PageKey(7)))

    with pytest.raises(InvalidRequest):
        decode_marker(PLACE, base64.b64encode(raw + b"x").decode())
