"""PEM as AWS IoT lays it out."""

import ssl

from hypothesis import given
from hypothesis import strategies as st

from thingmint.issuance.encoding.pem import certificate_pem, public_key_pem


@given(st.binary(min_size=1, max_size=2000))
def test_the_layout_is_that_of_the_standard_library(der: bytes) -> None:
    assert certificate_pem(der) == ssl.DER_cert_to_PEM_cert(der)


def test_there_are_64_columns_and_one_line_feed_at_the_end() -> None:
    lines = public_key_pem(b"x" * 100).split("\n")
    assert lines[0] == "-----BEGIN PUBLIC KEY-----"
    assert [len(line) for line in lines[1:-2]] == [64, 64, 8]
    assert lines[-2:] == ["-----END PUBLIC KEY-----", ""]
