"""Payloads in JSON and CBOR: plain objects come through, everything else is refused by one error."""

import contextlib
import json
from datetime import UTC, datetime

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.api.wire.reading.payloads import PayloadInvalid, decode_payload, encode_payload
from thingmint.core.topics.patterns import PayloadFormat

JSON, CBOR = PayloadFormat.JSON, PayloadFormat.CBOR

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda children: st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("payload_format", PayloadFormat)
def test_an_empty_payload_is_an_empty_object(payload_format: PayloadFormat) -> None:
    assert decode_payload(b"", payload_format) == {}


@given(st.dictionaries(st.text(), values, max_size=4), st.sampled_from(PayloadFormat))
def test_what_is_encoded_is_decoded(members: dict[str, object], payload_format: PayloadFormat) -> None:
    assert decode_payload(encode_payload(members, payload_format), payload_format) == members


def test_the_encodings_are_those_of_other_libraries() -> None:
    members: dict[str, object] = {"statusCode": 400, "errorCode": "InvalidPayload"}
    assert json.loads(encode_payload(members, JSON)) == members
    # RFC 8949, 3: a map of definite length begins with its number of pairs.
    assert encode_payload(members, CBOR)[0] == 0xA2
    assert cbor2.loads(encode_payload(members, CBOR)) == members


@pytest.mark.parametrize("payload", [b"[]", b'"text"', b"{", b"\xff", b"null", b'{"a":' * 5000])
def test_json_that_is_no_object_is_refused(payload: bytes) -> None:
    with pytest.raises(PayloadInvalid, match="is not a JSON object"):
        decode_payload(payload, JSON)


@pytest.mark.parametrize(
    "payload",
    [
        cbor2.dumps([1]),
        cbor2.dumps("text"),
        cbor2.dumps({1: 2}),
        cbor2.dumps({"at": datetime(2026, 1, 1, tzinfo=UTC)}),
        cbor2.dumps({"big": 2**100}),
        cbor2.dumps({"tagged": cbor2.CBORTag(9999, 1)}),
        b"\xa1\x61a\xd8\x23\x62(a",
        b"\xa2\x61a\x01\x61a\x02",
        b"\xa1\x61a" + b"\x81" * 100 + b"\x01",
        b"\xbb" + b"\xff" * 8,
        b"\x7b\x00" + b"\xff" * 7,
        b"\xa1\x61a\x62\xff\xff",
        b"\xff",
        b"\xa1\x61a\x61b\x00",
        b"\xa0\xa0",
        b"\xa1\x61a\x61b" + b"\xff" * 10_000,
    ],
)
def test_cbor_that_is_no_map_of_plain_values_is_refused(payload: bytes) -> None:
    with pytest.raises(PayloadInvalid, match="CBOR map") as refusal:
        decode_payload(payload, CBOR)
    # The parser's words may quote what they were given.
    assert refusal.value.__cause__ is None


@given(st.binary(max_size=64), st.sampled_from(PayloadFormat))
def test_any_bytes_are_an_object_or_refused(payload: bytes, payload_format: PayloadFormat) -> None:
    with contextlib.suppress(PayloadInvalid):
        assert isinstance(decode_payload(payload, payload_format), dict)
