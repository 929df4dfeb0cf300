"""Markers of lists."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.api.marker import decode_marker, encode_marker
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.registration.ports import PageKey

SCOPE = Scope(AccountId("123456789012"), Region("eu-west-1"))
OTHER_ACCOUNT = Scope(AccountId("210987654321"), Region("eu-west-1"))
OTHER_REGION = Scope(AccountId("123456789012"), Region("eu-west-2"))


@given(st.integers(min_value=0, max_value=2**63 - 1), st.booleans())
def test_a_marker_leads_back_to_its_place(position: int, ascending: bool) -> None:
    marker = encode_marker("List", SCOPE, ascending, PageKey(position))

    assert re.fullmatch("[A-Za-z0-9+/]+={0,2}", marker)
    assert decode_marker("List", SCOPE, ascending, marker) == PageKey(position)


@pytest.mark.parametrize(
    ("list_name", "scope", "ascending"),
    [
        ("Other", SCOPE, True),
        ("List", OTHER_ACCOUNT, True),
        ("List", OTHER_REGION, True),
        ("List", SCOPE, False),
    ],
)
def test_a_marker_of_another_list_is_refused(list_name: str, scope: Scope, ascending: bool) -> None:
    marker = encode_marker("List", SCOPE, True, PageKey(7))

    with pytest.raises(InvalidRequest, match="not valid for this list"):
        decode_marker(list_name, scope, ascending, marker)


@pytest.mark.parametrize("marker", ["", "A", "AAAA", "=", "AAAA====", "A" * 28, "A" * 1024, "ä", "AA AA"])
def test_a_marker_that_nobody_made_is_refused(marker: str) -> None:
    with pytest.raises(InvalidRequest, match="The marker is not valid"):
        decode_marker("List", SCOPE, True, marker)


@given(st.integers(min_value=0, max_value=20), st.integers(min_value=1, max_value=255))
def test_a_damaged_marker_is_refused(at: int, difference: int) -> None:
    raw = bytearray(base64.b64decode(encode_marker("List", SCOPE, True, PageKey(7))))
    raw[at] ^= difference

    with pytest.raises(InvalidRequest):
        decode_marker("List", SCOPE, True, base64.b64encode(raw).decode())


def test_a_marker_with_something_after_it_is_refused() -> None:
    raw = base64.b64decode(encode_marker("List", SCOPE, True, PageKey(7)))

    with pytest.raises(InvalidRequest):
        decode_marker("List", SCOPE, True, base64.b64encode(raw + b"x").decode())
