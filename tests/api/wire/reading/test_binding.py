"""Requests bound to invented messages that have every type and every place."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, field

from thingmint.api.wire.reading.binding import (
    BODY,
    HEADER,
    PATH,
    QUERY,
    RawRequest,
    compile_binder,
    decode_component,
    decode_query,
)
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.errors import InvalidRequest


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Tag(Struct, rename="pascal"):
    key: Annotated[str, Constraint(min_length=1, max_length=8)]
    value: Annotated[str | None, Constraint(max_length=8)] = None


class Nested(Struct, rename="camel"):
    tags: Annotated[list[Tag], Constraint(max_length=2)]
    deeper: Tag | None = None


class Everything(Struct, rename="camel", kw_only=True):
    thing_name: Annotated[str, PATH, Constraint(pattern="[a-z]+")]
    version: Annotated[int, PATH, Constraint(ge=1)]
    colour: Annotated[Colour, QUERY]
    flag: Annotated[bool | None, QUERY] = None
    ratio: Annotated[float | None, QUERY] = None
    since: Annotated[datetime | None, QUERY] = None
    count: Annotated[Annotated[int, Constraint(ge=1, le=9)] | None, QUERY] = None
    principal: Annotated[str | None, HEADER] = field(default=None, name="X-Amzn-Principal")
    nested: Annotated[Nested, BODY]
    attributes: Annotated[
        dict[Annotated[str, Constraint(max_length=3)], Annotated[str, Constraint(min_length=1)]] | None, BODY
    ] = None
    weight: Annotated[float | None, BODY] = None
    size: Annotated[int | None, BODY] = None
    open: Annotated[bool | None, BODY] = None
    shade: Annotated[Colour | None, BODY] = None
    at: Annotated[datetime | None, BODY] = None
    numbers: Annotated[list[int], BODY] = field(default_factory=list)


BIND = compile_binder(Everything)
LABELS = {"thingName": "lamp", "version": "3"}
QUERY_TEXT = b"colour=red"
BODY_TEXT = b'{"nested":{"tags":[]}}'


def bind(
    labels: dict[str, str] = LABELS,
    query: bytes = QUERY_TEXT,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    body: bytes = BODY_TEXT,
) -> Everything:
    return BIND(RawRequest(labels, decode_query(query), headers, body))


def refusal_of(
    labels: dict[str, str] = LABELS,
    query: bytes = QUERY_TEXT,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    body: bytes = BODY_TEXT,
) -> str:
    with pytest.raises(InvalidRequest) as refusal:
        bind(labels, query, headers, body)
    return refusal.value.message


def test_a_message_is_filled_from_every_place() -> None:
    message = bind(
        query=b"colour=blue&flag=TRUE&ratio=-1.5&since=2018-10-31T21:25:51Z&count=9&unknown=1&unknown=2",
        headers=((b"host", b"example"), (b"x-amzn-principal", b"arn:aws:iot")),
        body=b'{"nested":{"tags":[{"Key":"k","Value":"v"},{"Key":"l"}],"deeper":{"Key":"d"}},"attributes":{"a":"b"},'
        b'"weight":2,"size":-5,"open":false,"shade":"red","at":1541022751.983,"numbers":[1,2],"other":{}}',
    )

    assert message == Everything(
        thing_name="lamp",
        version=3,
        colour=Colour.BLUE,
        flag=True,
        ratio=-1.5,
        since=datetime(2018, 10, 31, 21, 25, 51, tzinfo=UTC),
        count=9,
        principal="arn:aws:iot",
        nested=Nested([Tag("k", "v"), Tag("l")], Tag("d")),
        attributes={"a": "b"},
        weight=2.0,
        size=-5,
        open=False,
        shade=Colour.RED,
        at=datetime(2018, 10, 31, 21, 52, 31, 983000, tzinfo=UTC),
        numbers=[1, 2],
    )


def test_absent_and_null_members_take_their_defaults() -> None:
    message = bind(body=b'{"nested":{"tags":[],"deeper":null},"size":null}')

    assert message == Everything(thing_name="lamp", version=3, colour=Colour.RED, nested=Nested([]))


def test_of_members_with_one_name_the_last_one_counts() -> None:
    assert bind(body=b'{"nested":{"tags":[]},"size":1,"size":2}').size == 2


def test_every_violation_of_a_request_is_reported_at_once() -> None:
    message = refusal_of({"thingName": "LAMP", "version": "0"}, b"colour=green&count=10", body=b'{"nested":null}')

    assert message == (
        "5 validation errors detected: "
        "Value 'LAMP' at 'thingName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-z]+; "
        "Value '0' at 'version' failed to satisfy constraint: Member must have value greater than or equal to 1; "
        "Value 'green' at 'colour' failed to satisfy constraint: Member must satisfy enum value set: [red, blue]; "
        "Value '10' at 'count' failed to satisfy constraint: Member must have value less than or equal to 9; "
        "Value null at 'nested' failed to satisfy constraint: Member must not be null"
    )


@pytest.mark.parametrize(
    ("query", "value", "path", "rule"),
    [
        (b"", "null", "colour", "Member must not be null"),
        (b"colour=red&flag=", "''", "flag", "Member must be true or false"),
        (b"colour=red&flag", "''", "flag", "Member must be true or false"),
        (b"colour=red&flag=1", "'1'", "flag", "Member must be true or false"),
        (b"colour=red&count=", "''", "count", "Member must be an integer"),
        (b"colour=red&count=1_0", "'1_0'", "count", "Member must be an integer"),
        (b"colour=red&count=%D9%A3", "'٣'", "count", "Member must be an integer"),
        (b"colour=red&count=9999999999999999999", "'9999999999999999999'", "count", "Member must be an integer"),
        (b"colour=red&ratio=nan", "'nan'", "ratio", "Member must be a number"),
        (b"colour=red&since=yesterday", "'yesterday'", "since", "Member must be a timestamp"),
        (b"colour=red&since=2018-10-31T21:25:51", "'2018-10-31T21:25:51'", "since", "Member must be a timestamp"),
    ],
)
def test_a_bad_parameter_is_named(query: bytes, value: str, path: str, rule: str) -> None:
    assert refusal_of(query=query) == (
        f"1 validation error detected: Value {value} at '{path}' failed to satisfy constraint: {rule}"
    )


@pytest.mark.parametrize(
    ("members", "value", "path", "rule"),
    [
        (b'"nested":{"tags":{}}', "'{...}'", "nested.tags", "Member must be a list"),
        (b'"nested":{}', "null", "nested.tags", "Member must not be null"),
        (b'"nested":[]', "'[...]'", "nested", "Member must be an object"),
        (b'"nested":{"tags":[null]}', "null", "nested.tags.1.member", "Member must not be null"),
        (b'"nested":{"tags":[{"key":"k"}]}', "null", "nested.tags.1.member.key", "Member must not be null"),
        (
            b'"nested":{"tags":[{"Key":"k"},{"Key":""}]}',
            "''",
            "nested.tags.2.member.key",
            "Member must have length greater than or equal to 1",
        ),
        (
            b'"nested":{"tags":[{"Key":"k"},{"Key":"k"},{"Key":"k"}]}',
            "'[...]'",
            "nested.tags",
            "Member must have length less than or equal to 2",
        ),
        (b'"attributes":[]', "'[...]'", "attributes", "Member must be a map"),
        (b'"attributes":{"a":null}', "null", "attributes.a.member", "Member must not be null"),
        (
            b'"attributes":{"a":""}',
            "''",
            "attributes.a.member",
            "Member must have length greater than or equal to 1",
        ),
        (b'"attributes":{"abcd":"x"}', "'abcd'", "attributes.key", "Member must have length less than or equal to 3"),
        (b'"attributes":{"a":5}', "'5'", "attributes.a.member", "Member must be a string"),
        (b'"weight":"1"', "'1'", "weight", "Member must be a number"),
        (b'"weight":true', "'true'", "weight", "Member must be a number"),
        (b'"size":true', "'true'", "size", "Member must be an integer"),
        (b'"size":1.0', "'1.0'", "size", "Member must be an integer"),
        (b'"size":9223372036854775808', "'9223372036854775808'", "size", "Member must be an integer"),
        (b'"open":"true"', "'true'", "open", "Member must be true or false"),
        (b'"shade":{}', "'{...}'", "shade", "Member must satisfy enum value set: [red, blue]"),
        (b'"shade":"RED"', "'RED'", "shade", "Member must satisfy enum value set: [red, blue]"),
        (b'"at":"2018-10-31T21:25:51Z"', "'2018-10-31T21:25:51Z'", "at", "Member must be a number"),
        (b'"at":1e300', "'1e+300'", "at", "Member must be a timestamp"),
    ],
)
def test_a_bad_member_of_the_body_is_named(members: bytes, value: str, path: str, rule: str) -> None:
    rest = b"" if members.startswith(b'"nested"') else b',"nested":{"tags":[]}'

    assert refusal_of(body=b"{" + members + rest + b"}") == (
        f"1 validation error detected: Value {value} at '{path}' failed to satisfy constraint: {rule}"
    )


def test_a_parameter_given_twice_is_refused() -> None:
    assert refusal_of(query=b"colour=red&colour=red") == "The parameter colour appears more than once"


def test_a_header_given_twice_is_refused() -> None:
    twice = ((b"x-amzn-principal", b"a"), (b"x-amzn-principal", b"b"))

    assert refusal_of(headers=twice) == "The parameter X-Amzn-Principal appears more than once"


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"null", b"1"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    assert refusal_of(body=body) == "The request body must be a JSON object"


@pytest.mark.parametrize(
    "body", [b"{", b"{} {}", b"\xff", b'{"a":"\xff"}', b"\xef\xbb\xbf{}", b"[" * 500_000, b'{"a":' * 100_000, b"NaN"]
)
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    assert refusal_of(body=body) == "The request body is not valid JSON"


def test_an_empty_body_lacks_its_required_members() -> None:
    assert "Value null at 'nested'" in refusal_of(body=b"")


class NoBody(Struct, rename="camel"):
    flag: Annotated[bool | None, QUERY] = None


def test_a_message_without_members_in_the_body_ignores_the_body() -> None:
    assert compile_binder(NoBody)(RawRequest({}, [], (), b"\xff not json")) == NoBody()


class Nothing(Struct):
    pass


def test_a_message_without_members_binds_to_anything() -> None:
    assert compile_binder(Nothing)(RawRequest({}, [("x", "1")], ((b"host", b"x"),), b"")) == Nothing()


class Placeless(Struct):
    name: str


class TwoPlaces(Struct):
    name: Annotated[str, PATH, QUERY]


class ListInQuery(Struct):
    names: Annotated[list[str], QUERY]


class Union(Struct):
    name: Annotated[str | int, BODY]


class Unreadable(Struct):
    name: Annotated[bytes, BODY]


@pytest.mark.parametrize("message", [Placeless, TwoPlaces, ListInQuery, Union, Unreadable])
def test_a_message_that_cannot_be_bound_is_refused_when_the_service_is_wired(message: type[Struct]) -> None:
    with pytest.raises(TypeError):
        compile_binder(message)


@pytest.mark.parametrize("raw", [b"%", b"%4", b"%zz", b"a%2", b"%%41"])
def test_an_incomplete_percent_encoding_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest, match="The path of the request holds an incomplete percent-encoding"):
        decode_component(raw, "path")


@pytest.mark.parametrize("raw", [b"%ff", b"\xff", b"%C3", b"%ED%A0%80"])
def test_text_that_is_not_utf_8_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest, match="The query of the request is not valid UTF-8"):
        decode_query(b"name=" + raw)


@pytest.mark.parametrize("raw", [b"a%00b=1", b"a=%00", b"a=\x00"])
def test_a_nul_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest, match="The query of the request holds a NUL character"):
        decode_query(raw)


def test_a_query_is_split_before_it_is_decoded_and_plus_stays_plus() -> None:
    pairs = decode_query(b"a=%26b%3D1&marker=x+y/z==&&empty=&flag&%C3%A9=1")

    assert pairs == [("a", "&b=1"), ("marker", "x+y/z=="), ("empty", ""), ("flag", ""), ("é", "1")]


def test_the_first_value_of_a_parameter_can_be_asked_for() -> None:
    raw = RawRequest({}, [("a", "1"), ("b", "2"), ("b", "3")], (), b"")

    assert raw.first("b") == "2"
    assert raw.first("c") is None


@given(st.binary(max_size=200), st.binary(max_size=200), st.text(max_size=20), st.text(max_size=20))
def test_any_bytes_are_bound_or_refused_in_words(query: bytes, body: bytes, name: str, version: str) -> None:
    try:
        bind({"thingName": name, "version": version}, query, ((b"x-amzn-principal", query),), body)
    except InvalidRequest as refusal:
        assert refusal.message  # noqa: PT017 - any outcome but another exception is right


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["tags", "Key", "Value", "deeper"]), inner),
    max_leaves=20,
)


@given(
    st.dictionaries(
        st.sampled_from(["nested", "attributes", "weight", "size", "open", "shade", "at", "numbers"]), JSON, max_size=8
    )
)
def test_any_json_is_bound_or_refused_in_words(decoded: dict[str, object]) -> None:
    import json

    try:
        bind(body=json.dumps(decoded).encode())
    except InvalidRequest as refusal:
        assert refusal.message  # noqa: PT017 - any outcome but another exception is right
