"""The reader of DER's outer shape finds what is there and refuses what does not fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.certificates.der import bits, integer, sequence, tlv

from thingmint.issuance.encoding.der import MalformedDER, children, elements, only_element, with_signature


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_what_was_written_is_found(contents: list[bytes]) -> None:
    der = sequence(*(tlv(0x04, content) for content in contents))
    found = children(der, only_element(der))
    assert [der[element.content : element.end] for element in found] == contents
    assert {element.tag for element in found} <= {0x04}


@pytest.mark.parametrize(
    ("der", "reason"),
    [
        (b"", "0 elements"),
        (integer(1) + integer(2), "2 elements"),
        (b"\x30", "cut short"),
        (b"\x30\x01", "longer than"),
        (b"\x30\x82\x01", "longer than"),
        (b"\x1f\x01\x00", "tag number"),
        (b"\x04\x80\x00\x00", "indefinite length"),
        (b"\x04\x81\x01\x00", "more octets than it needs"),
        (b"\x04\x82\x00\x81" + bytes(0x81), "more octets than it needs"),
        (b"\x04\x81", "longer than"),
    ],
)
def test_what_is_not_one_element_is_refused(der: bytes, reason: str) -> None:
    with pytest.raises(MalformedDER, match=reason):
        only_element(der)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(der: bytes) -> None:
    try:
        found = elements(der, 0, len(der))
    except MalformedDER:
        return
    assert b"".join(der[element.start : element.end] for element in found) == der


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 255, 256, 70_000])
def test_a_signature_is_replaced_and_nothing_else(length: int) -> None:
    before = sequence(sequence(integer(5)), sequence(), bits(b"old signature"))
    assert with_signature(before, b"n" * length) == sequence(sequence(integer(5)), sequence(), bits(b"n" * length))
