"""Identifiers: what is accepted, how it is written, what it is bound to."""

import hashlib

import pytest

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import (
    AccountId,
    Region,
    Scope,
    certificate_id_of,
    parse_account_id,
    parse_certificate_id,
    parse_region,
    partition_of,
    user_arn,
)


def test_certificate_id_is_the_digest_of_the_der() -> None:
    assert certificate_id_of(b"der") == hashlib.sha256(b"der").hexdigest()


@pytest.mark.parametrize("text", ["ab" * 32, "AB" * 32, "0x" + "ab" * 31])
def test_certificate_id_is_read_in_lower_case(text: str) -> None:
    assert parse_certificate_id(text) == text.lower()


@pytest.mark.parametrize("text", ["", "ab", "ab" * 33, "zz" * 32, "ab" * 31 + "é", "0x" * 32, "ab" * 32 + "\n"])
def test_certificate_id_of_other_length_or_alphabet_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="64 hexadecimal digits"):
        parse_certificate_id(text)


def test_account_id_is_twelve_digits() -> None:
    assert parse_account_id("000000000000") == "000000000000"
    for text in ("", "12345678901", "1234567890123", "12345678901x", "١٢٣٤٥٦٧٨٩٠١٢"):
        with pytest.raises(InvalidRequest, match="twelve digits"):
            parse_account_id(text)


def test_region_has_the_form_of_a_region() -> None:
    for text in ("us-east-1", "us-gov-west-1", "ap-southeast-12"):
        assert parse_region(text) == text
    for text in ("", "us", "US-EAST-1", "us-east-1 ", "us_east_1"):
        with pytest.raises(InvalidRequest, match="region"):
            parse_region(text)


@pytest.mark.parametrize(
    ("region", "partition"), [("us-east-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_partition_follows_the_region(region: str, partition: str) -> None:
    assert partition_of(region) == partition
    scope = Scope(AccountId("123456789012"), Region(region))
    assert user_arn(scope, "factory") == f"arn:{partition}:iam::123456789012:user/factory"
