"""When a request satisfies a condition."""

import pytest
from tests.support.registration.policies import Json, document, statement

from thingmint.core.policies.conditions import RequestContext, compile_clause
from thingmint.core.policies.language import DecisionEffect, evaluate, parse_policy


def holds(operator: str, wanted: Json, *given: str, **others: str) -> bool:
    """Say whether a request in which aws:Key has the given values satisfies the operator."""
    context: dict[str, tuple[str, ...]] = {"aws:Other": (others["other"],)} if others else {}
    if given:
        context["aws:Key"] = given
    policy = parse_policy(document(statement(Condition={operator: {"aws:Key": wanted}})))
    return evaluate([policy], "iot:X", "*", context).effect is DecisionEffect.ALLOWED


@pytest.mark.parametrize(
    ("operator", "opposite", "wanted", "given", "expected"),
    [
        ("StringEquals", "StringNotEquals", "a", "a", True),
        ("StringEquals", "StringNotEquals", "a", "A", False),
        ("StringEquals", "StringNotEquals", "a*", "ab", False),
        ("StringEquals", "StringNotEquals", "a*", "a*", True),
        ("StringEquals", "StringNotEquals", ["a", "b"], "b", True),
        ("StringEquals", "StringNotEquals", [], "b", False),
        ("StringEquals", "StringNotEquals", 5, "5", True),
        ("StringEquals", "StringNotEquals", True, "true", True),
        ("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "Straße", "STRASSE", True),
        ("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "a", "b", False),
        ("StringLike", "StringNotLike", "a*c", "abbc", True),
        ("StringLike", "StringNotLike", "a*c", "aBBC", False),
        ("StringLike", "StringNotLike", "a?c", "abc", True),
        ("StringLike", "StringNotLike", "a${*}c", "abc", False),
        ("StringEquals", "StringNotEquals", "${aws:Other}", "other", True),
        ("StringEquals", "StringNotEquals", "${aws:Missing}", "other", False),
        ("StringEquals", "StringNotEquals", "${aws:Missing, 'spare'}", "spare", True),
        ("NumericEquals", "NumericNotEquals", 5, "5.0", True),
        ("NumericEquals", "NumericNotEquals", "5", "6", False),
        ("NumericEquals", "NumericNotEquals", "5", "five", False),
        ("NumericEquals", "NumericNotEquals", "${aws:Other}", "5", False),
        ("NumericLessThan", "NumericGreaterThanEquals", 5, "4", True),
        ("NumericLessThan", "NumericGreaterThanEquals", 5, "5", False),
        ("NumericLessThanEquals", "NumericGreaterThan", -0.5, "-0.5", True),
        ("NumericLessThanEquals", "NumericGreaterThan", "5", "5.1", False),
        ("DateEquals", "DateNotEquals", "2026-01-02T00:00:00Z", "2026-01-02T01:00:00+01:00", True),
        ("DateEquals", "DateNotEquals", "2026-01-02", "1767312000", True),
        ("DateEquals", "DateNotEquals", "2026", "2026-01", True),
        ("DateEquals", "DateNotEquals", "2026", "yesterday", False),
        ("DateLessThan", "DateGreaterThanEquals", "2026-01-02T00:00Z", "2026-01-01T23:59:59.999Z", True),
        ("DateLessThan", "DateGreaterThanEquals", "2026-01-02", "2026-01-02", False),
        ("DateLessThanEquals", "DateGreaterThan", "2026-01-02", "2026-01-02", True),
        ("DateLessThanEquals", "DateGreaterThan", "2026-01-02", "2026-01-03", False),
        ("IpAddress", "NotIpAddress", "10.0.0.0/8", "10.1.2.3", True),
        ("IpAddress", "NotIpAddress", "10.0.0.0/8", "11.1.2.3", False),
        ("IpAddress", "NotIpAddress", "10.1.2.3", "10.1.2.3", True),
        ("IpAddress", "NotIpAddress", "10.1.2.3/8", "10.9.9.9", True),
        ("IpAddress", "NotIpAddress", ["192.168.0.0/16", "2001:db8::/32"], "2001:db8::1", True),
        ("IpAddress", "NotIpAddress", "10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("IpAddress", "NotIpAddress", "10.0.0.0/8", "somewhere", False),
        (
            "ArnEquals",
            "ArnNotEquals",
            "arn:aws:iot:*:000000000000:thing/*",
            "arn:aws:iot:x:000000000000:thing/a:b",
            True,
        ),
        ("ArnLike", "ArnNotLike", "arn:aws:iot:*:thing/*:x", "arn:aws:iot:us:1:thing/a", False),
        ("ArnLike", "ArnNotLike", "arn:aws:iot:us-?:1:t*", "arn:aws:iot:us-1:1:thing/a", True),
        ("ArnLike", "ArnNotLike", "arn:aws:iot:us*1:1:t*", "arn:aws:iot:us:1:1:t", False),
        ("ArnLike", "ArnNotLike", "*", "arn:aws:iot:us-1:1:thing/a", True),
        ("ArnLike", "ArnNotLike", "*", "thing/a", False),
        ("ArnLike", "ArnNotLike", "arn:aws:iam::*:user/*", "arn:aws:iam::1:user/x", True),
        ("ArnLike", "ArnNotLike", "arn:aws:iam::1:user/${aws:Other}", "arn:aws:iam::1:user/other", True),
        ("ArnLike", "ArnNotLike", "${aws:Other}", "arn:aws:iam::1:user/other", False),
    ],
)
def test_operator_and_its_opposite(operator: str, opposite: str, wanted: Json, given: str, expected: bool) -> None:
    assert holds(operator, wanted, given, other="other") is expected
    if given not in ("five", "yesterday") or "Not" in opposite:
        assert holds(opposite, wanted, given, other="other") is not expected


@pytest.mark.parametrize(
    ("wanted", "given", "expected"),
    [
        ("true", "true", True),
        (True, "TRUE", True),
        (False, "false", True),
        ("true", "false", False),
        (True, "1", False),
    ],
)
def test_boolean_operator(wanted: Json, given: str, expected: bool) -> None:
    assert holds("Bool", wanted, given) is expected


@pytest.mark.parametrize("operator", ["NumericLessThan", "NumericGreaterThanEquals"])
def test_what_is_no_number_compares_to_none(operator: str) -> None:
    assert not holds(operator, 5, "five")


@pytest.mark.parametrize(
    ("operator", "wanted", "expected"),
    [
        ("StringEquals", "a", False),
        ("StringNotEquals", "a", True),
        ("StringLike", "*", False),
        ("StringNotLike", "*", True),
        ("NumericLessThan", 5, False),
        ("NumericNotEquals", 5, True),
        ("DateGreaterThan", "2026", False),
        ("Bool", "false", False),
        ("IpAddress", "0.0.0.0/0", False),
        ("NotIpAddress", "0.0.0.0/0", True),
        ("ArnNotLike", "*", True),
        ("StringEqualsIfExists", "a", True),
        ("BoolIfExists", "true", True),
        ("StringNotEqualsIfExists", "a", True),
        ("ForAllValues:StringEquals", "a", True),
        ("ForAllValues:StringNotEquals", "a", True),
        ("ForAnyValue:StringEquals", "a", False),
        ("ForAnyValue:StringNotEquals", "a", False),
        ("ForAnyValue:StringEqualsIfExists", "a", True),
        ("Null", "true", True),
        ("Null", False, False),
        ("Null", ["true", "false"], True),
    ],
)
def test_key_that_the_request_lacks(operator: str, wanted: Json, expected: bool) -> None:
    assert holds(operator, wanted) is expected


@pytest.mark.parametrize(
    ("operator", "wanted", "given", "expected"),
    [
        ("Null", "true", ["a"], False),
        ("Null", "false", ["a"], True),
        ("StringEqualsIfExists", "a", ["b"], False),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "b", "a"], True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
        ("ForAnyValue:StringEquals", ["a", "b"], ["c", "b"], True),
        ("ForAnyValue:StringEquals", ["a", "b"], ["c", "d"], False),
        ("ForAllValues:StringNotEquals", ["a", "b"], ["c", "d"], True),
        ("ForAllValues:StringNotEquals", ["a", "b"], ["c", "a"], False),
        ("ForAnyValue:StringNotEquals", ["a", "b"], ["c", "a"], True),
        ("ForAnyValue:StringNotEquals", ["a", "b"], ["b", "a"], False),
        ("ForAllValues:StringLike", "a*", ["a", "ab"], True),
        ("StringEquals", "b", ["a", "b"], True),
        ("StringNotEquals", "b", ["a", "b"], False),
    ],
)
def test_key_with_several_values(operator: str, wanted: Json, given: list[str], expected: bool) -> None:
    assert holds(operator, wanted, *given) is expected


def test_names_of_keys_do_not_depend_on_case() -> None:
    policy = parse_policy(document(statement(Condition={"StringEquals": {"AWS:requesttag/Floor": "3"}})))
    given = {"aws:RequestTag/floor": ("3",)}
    assert evaluate([policy], "iot:X", "*", given).effect is DecisionEffect.ALLOWED


def test_key_without_values_is_missing() -> None:
    policy = parse_policy(document(statement(Condition={"Null": {"aws:TagKeys": "true"}})))
    assert evaluate([policy], "iot:X", "*", {"aws:TagKeys": ()}).effect is DecisionEffect.ALLOWED


def test_conditions_without_operators_or_keys_hold() -> None:
    conditions: tuple[Json, ...] = ({}, {"StringEquals": {}})
    for condition in conditions:
        policy = parse_policy(document(statement(Condition=condition)))
        assert evaluate([policy], "iot:X", "*", {}).effect is DecisionEffect.ALLOWED


@pytest.mark.parametrize("name", ["StringEqualsIgnoreCase", "NumericEquals", "DateEquals", "Bool", "IpAddress"])
def test_a_value_that_is_far_too_long_is_not_read(name: str) -> None:
    operand = {"NumericEquals": "1", "DateEquals": "2026-01-01", "Bool": "true", "IpAddress": "::/0"}.get(name, "ß")
    clause = compile_clause(name, "a:b", (operand,), variables=False)
    assert not clause.holds(RequestContext({"a:b": ("s" * 100_000,)}))


def test_case_is_folded_where_it_makes_a_text_longer() -> None:
    clause = compile_clause("StringEqualsIgnoreCase", "a:b", ("STRASSE",), variables=False)
    assert clause.holds(RequestContext({"a:b": ("straße",)}))
    clause = compile_clause("StringEqualsIgnoreCase", "a:b", ("straße",), variables=False)
    assert clause.holds(RequestContext({"a:b": ("STRASSE",)}))
