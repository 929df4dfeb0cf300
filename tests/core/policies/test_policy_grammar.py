"""Texts that are no policies are refused with a position and a reason."""

import json

import pytest
from tests.support.registration.policies import Json, document, statement

from thingmint.core.errors import MalformedPolicy
from thingmint.core.policies.language import parse_new_policy, parse_policy

ALLOW = '"Effect":"Allow","Action":"*","Resource":"*"'


def refusal(text: str) -> str:
    with pytest.raises(MalformedPolicy) as refused:
        parse_policy(text)
    return refused.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: the document ends early"),
        ("policy", "line 1, column 1: a value is expected, not 'p'"),
        ("\ufeff{}", "line 1, column 1: a value is expected, not '\\ufeff'"),
        ("[]", "line 1, column 1: a policy must be an object"),
        ("{}", "line 1, column 1: the policy has no Statement"),
        ("{", "line 1, column 2: a key in double quotes is expected"),
        ("{\n  Version: 1}", "line 2, column 3: a key in double quotes is expected"),
        ('{"Version"', "line 1, column 11: a colon is expected after the key 'Version'"),
        ('{"Version":', "line 1, column 12: the document ends early"),
        ('{"Version":NaN}', "line 1, column 12: a value is expected, not 'N'"),
        ('{"Version":"2012-10-17"', "line 1, column 24: a comma or '}' is expected"),
        ('{"Version":"2012-10-17",}', "line 1, column 25: a key in double quotes is expected"),
        ('{"Statement":[1 2]}', "line 1, column 17: a comma or ']' is expected"),
        ('{"Statement":[{},]}', "line 1, column 18: a value is expected, not ']'"),
        ('{"Id":"a', "line 1, column 7: the string cannot be read: Unterminated string starting at"),
        ('{"Id":"\\x"}', "line 1, column 8: the string cannot be read: Invalid \\escape"),
        ('{"Id":"\n"}', "line 1, column 8: the string cannot be read: Invalid control character at"),
        ('{"Id":"\ud800"}', "line 1, column 8: the text has half of a surrogate pair"),
        ('{"Id":"\\ud800"}', "line 1, column 7: the string has half of a surrogate pair"),
        ('{"Id":01}', "line 1, column 8: a comma or '}' is expected"),
        ('{"Id":"a",\n "Id":"b"}', "line 2, column 2: the key 'Id' appears twice"),
        (f'{{"Statement":{{{ALLOW}}}}} more', "line 1, column 62: the document has ended, and more text follows"),
        ("[" * 9 + "]" * 9, "line 1, column 9: values are nested more than 8 levels deep"),
        ('{"version":"2012-10-17"}', "line 1, column 2: a policy has no element 'version'"),
        ('{"Version":"2012-10-18"}', "line 1, column 12: Version is 2008-10-17 or 2012-10-17, not '2012-10-18'"),
        ('{"Version":2012}', "line 1, column 12: Version must be a string"),
        ('{"Id":null}', "line 1, column 7: Id must be a string"),
        ('{"Statement":[]}', "line 1, column 14: Statement must not be empty"),
        ('{"Statement":"Allow"}', "line 1, column 14: a statement must be an object"),
        ('{"Statement":{"Action":"*","Resource":"*"}}', "line 1, column 14: the statement has no Effect"),
    ],
)
def test_text_that_is_no_policy(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Effect": "allow"}, "Effect is Allow or Deny, not 'allow'"),
        ({"Effect": True}, "Effect must be a string"),
        ({"Action": None}, "the statement must have one of Action and NotAction"),
        ({"NotAction": "iot:*"}, "the statement must have one of Action and NotAction"),
        ({"Resource": None}, "the statement must have one of Resource and NotResource"),
        ({"NotResource": "*"}, "the statement must have one of Resource and NotResource"),
        ({"Action": []}, "Action must not be empty"),
        ({"Resource": []}, "Resource must not be empty"),
        ({"Action": ["iot:*", 5]}, "an action must be a string"),
        ({"Action": "iot"}, "an action is formed like iot:DescribeCertificate, or \"*\", not 'iot'"),
        ({"Action": "iot:a b"}, "an action is formed like iot:DescribeCertificate"),
        ({"Action": "iot:${aws:username}"}, "an action is formed like iot:DescribeCertificate"),
        ({"Resource": "cert/*"}, "a resource is an ARN or \"*\", not 'cert/*'"),
        ({"Resource": {"a": "*"}}, "a resource must be a string"),
        ({"Resource": "arn:${iot:ClientId"}, "the variable that starts with ${ has no end"),
        ({"Resource": "arn:${}"}, "${} is neither ${prefix:key}"),
        ({"Resource": "arn:${ClientId}"}, "${ClientId} is neither"),
        ({"Resource": "arn:${a:${*}}"}, "${a:${*} is neither"),
        ({"Resource": "arn:${iot:Id, spare}"}, "${iot:Id, spare} is neither"),
        ({"Resource": "arn:${iot:Id, '}"}, "${iot:Id, '} is neither"),
        ({"Resource": "arn:${iot:Ⅸ}"}, "${iot:Ⅸ} is neither"),
        ({"Principal": "*"}, "Policy document should not specify a principal."),
        ({"NotPrincipal": "*"}, "Policy document should not specify a principal."),
        ({"Resources": "*"}, "a statement has no element 'Resources'"),
        ({"Sid": 5}, "Sid must be a string"),
        ({"Condition": []}, "a Condition must be an object"),
        ({"Condition": {"StringEquals": "a"}}, "the operator 'StringEquals' must be an object"),
        ({"Condition": {"StringEqual": {}}}, "the condition operator 'StringEqual' does not exist"),
        ({"Condition": {"ForEachValue:StringEquals": {}}}, "operator 'ForEachValue:StringEquals' does not exist"),
        ({"Condition": {"NullIfExists": {"aws:a": "true"}}}, "operator 'NullIfExists' does not exist"),
        ({"Condition": {"StringEquals": {"username": "a"}}}, "a condition key is formed like aws:SourceIp"),
        ({"Condition": {"StringEquals": {"aws:a": {}}}}, "a condition value must be a string, a number or a boolean"),
        ({"Condition": {"StringEquals": {"aws:a": ["a", None]}}}, "a condition value must be a string"),
        ({"Condition": {"StringEquals": {"aws:a": "${b"}}}, "the variable that starts with ${ has no end"),
        ({"Condition": {"Null": {"aws:a": "maybe"}}}, "true or false is expected, not 'maybe'"),
        ({"Condition": {"Bool": {"aws:a": 1}}}, "true or false is expected, not '1'"),
        ({"Condition": {"NumericEquals": {"aws:a": "1e999999999"}}}, "a number is expected, not '1e999999999'"),
        ({"Condition": {"DateEquals": {"aws:a": "2026-13-01"}}}, "month must be in 1..12"),
        ({"Condition": {"DateEquals": {"aws:a": "20260101"}}}, None),
        ({"Condition": {"DateEquals": {"aws:a": "2026-W01"}}}, "a date as of ISO 8601"),
        ({"Condition": {"IpAddress": {"aws:a": "10.0.0.0/255.0.0.0"}}}, "an address or a CIDR range is expected"),
        ({"Condition": {"IpAddress": {"aws:a": "10.0.0.256"}}}, "does not appear to be an IPv4 or IPv6 network"),
        ({"Condition": {"ArnLike": {"aws:a": "arn:aws:iot:*"}}}, 'an ARN of six parts, or "*", is expected'),
        ({"Condition": {"ArnLike": {"aws:a": "a:b:c:d:e:f"}}}, 'an ARN of six parts, or "*", is expected'),
    ],
)
def test_statement_that_breaks_the_grammar(elements: dict[str, Json], reason: str | None) -> None:
    text = document(statement(**elements))
    if reason is None:
        parse_policy(text)
    else:
        assert reason in refusal(text)


def test_position_is_that_of_the_offending_value() -> None:
    text = json.dumps(json.loads(document(statement(Condition={"Bool": {"aws:a": "maybe"}}))), indent=2)
    line = next(number for number, row in enumerate(text.split("\n"), 1) if "maybe" in row)
    column = text.split("\n")[line - 1].index('"maybe"') + 1
    assert refusal(text) == f"line {line}, column {column}: true or false is expected, not 'maybe'"


def test_sid_appears_once_in_a_policy() -> None:
    assert "the Sid 'A' appears twice" in refusal(document(statement(Sid="A"), statement(Sid="A")))


def test_empty_sids_may_repeat() -> None:
    assert len(parse_policy(document(statement(Sid=""), statement(Sid=""))).statements) == 2


def test_numbers_booleans_and_escapes_are_json() -> None:
    text = '{"Statement":{%s,"Condition":{"StringEquals":{"aws:a":[-1.5e+3,true,false,"\\u0041"]}}}}' % ALLOW  # noqa: UP031 - braces
    assert len(parse_policy(text).statements) == 1


def test_policy_has_a_bound_that_white_space_does_not_count_to() -> None:
    text = document(*(statement(Sid=str(number)) for number in range(100)))
    assert len(parse_policy(text.replace(" ", " " * 40)).statements) == 100
    longer = document(*(statement(Sid=f"{number:0100}") for number in range(100)))
    assert "at most 10240 characters, not counting white space" in refusal(longer)


def test_text_has_a_bound() -> None:
    assert "a policy has at most 404600 characters" in refusal(" " * 404_601)


@pytest.mark.parametrize("sid", ["a b!", "Read-Only", "é", "a_b", "a\n"])
def test_a_new_policy_of_an_access_key_has_sids_of_letters_and_digits(sid: str) -> None:
    with pytest.raises(MalformedPolicy, match=r"line 1, column .*: a Sid has only letters from A to Z and digits"):
        parse_new_policy(document(statement(), statement(Sid=sid)))
    assert parse_policy(document(statement(Sid=sid))).statements[0].sid == sid


def test_a_new_policy_of_an_access_key_keeps_both_versions() -> None:
    for version in ("2008-10-17", "2012-10-17"):
        policy = parse_new_policy(document(statement(Sid="A1"), statement(Sid=""), statement(), version=version))
        assert [each.sid for each in policy.statements] == ["A1", "", None]
