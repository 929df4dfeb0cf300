"""Callers may do what their policies allow, and are refused in AWS's words."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.support.registration.policies import Json, document, statement

from thingmint.core.caller import Caller, Principal
from thingmint.core.errors import AccessDenied
from thingmint.core.identifiers import AccountId, Region
from thingmint.core.policies.language import parse_policy
from thingmint.registration.policies.authorization import authorize, depends_on_request, user_id

ARN = "arn:aws:iot:us-east-1:000000000000:cert/"
USER = "arn:aws:iam::000000000000:user/ada"
CREATE = "iot:CreateKeysAndCertificate"


def caller(*policies: str, arn: str = USER) -> Caller:
    principal = Principal(arn, tuple(parse_policy(text) for text in policies))
    return Caller(AccountId("000000000000"), Region("us-east-1"), principal, "request", "10.1.2.3")


def test_what_a_policy_allows_is_authorized() -> None:
    authorize(caller(document(statement(Action=CREATE))), CREATE, "*", {})


def test_implicit_deny_is_refused_in_the_words_of_aws() -> None:
    with pytest.raises(AccessDenied) as refusal:
        authorize(caller(document(statement(Action="iot:Describe*"))), CREATE, "*", {})
    assert refusal.value.message == (
        "User: arn:aws:iam::000000000000:user/ada is not authorized to perform: iot:CreateKeysAndCertificate "
        "on resource: * because no identity-based policy allows the iot:CreateKeysAndCertificate action"
    )


def test_explicit_deny_is_refused_in_the_words_of_aws() -> None:
    deny = document(statement(), statement(Effect="Deny", Action=CREATE))
    with pytest.raises(AccessDenied) as refusal:
        authorize(caller(deny), CREATE, "*", {})
    assert refusal.value.message == (
        "User: arn:aws:iam::000000000000:user/ada is not authorized to perform: iot:CreateKeysAndCertificate "
        "on resource: * with an explicit deny in an identity-based policy"
    )


def test_caller_without_policies_may_do_nothing() -> None:
    with pytest.raises(AccessDenied):
        authorize(caller(), CREATE, "*", {})


@pytest.mark.parametrize(
    "condition",
    [
        {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/a*"}},
        {"StringEquals": {"aws:username": "ada"}},
        {"StringEquals": {"aws:PrincipalAccount": "000000000000"}},
        {"StringEquals": {"aws:RequestedRegion": "us-east-1"}},
        {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        {"Bool": {"aws:SecureTransport": "true"}},
    ],
)
def test_conditions_see_the_caller_and_the_request(condition: Json) -> None:
    authorize(caller(document(statement(Condition=condition))), CREATE, "*", {"aws:SecureTransport": ("true",)})


def test_request_cannot_say_who_calls() -> None:
    ada_only = document(statement(Condition={"StringEquals": {"aws:username": "eve"}}))
    with pytest.raises(AccessDenied):
        authorize(caller(ada_only), CREATE, "*", {"aws:username": ("eve",)})


def test_principal_that_is_no_user_has_no_user_name() -> None:
    nameless = document(statement(Condition={"Null": {"aws:username": "true"}}))
    authorize(caller(nameless, arn="arn:aws:iam::000000000000:root"), CREATE, "*", {})
    with pytest.raises(AccessDenied):
        authorize(caller(nameless), CREATE, "*", {})


def has(key: str, value: str, resource: str = "*", *, issued_at: datetime | None = None, arn: str = USER) -> bool:
    """Return whether a request of the caller has this value, by a policy that allows nothing else."""
    only = document(statement(Condition={"StringLike": {key: value}}))
    known = caller(only, arn=arn)
    known = replace(known, principal=replace(known.principal, token_issued_at=issued_at))
    try:
        authorize(known, CREATE, resource, {})
    except AccessDenied:
        return False
    return True


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("aws:PrincipalType", "User"),
        ("aws:userid", "AIDA" + "?" * 17),
        ("aws:username", "ada"),
        ("aws:ViaAWSService", "false"),
        ("aws:PrincipalIsAWSService", "false"),
        ("aws:ResourceAccount", "000000000000"),
    ],
)
def test_keys_of_every_request(key: str, value: str) -> None:
    assert has(key, value)
    assert not has(key, value + "x")


def test_a_user_keeps_its_id_and_no_other_has_it() -> None:
    assert user_id(USER) == user_id(USER)
    assert len({user_id(USER), user_id(USER + "2"), user_id(USER.replace("0", "1"))}) == 3


@pytest.mark.parametrize(
    ("resource", "account"),
    [
        ("arn:aws:iot:us-east-1:111122223333:cert/a:b:c", "111122223333"),
        ("arn:aws:iam::444455556666:role/r", "444455556666"),
        ("arn:aws:s3:::bucket", "000000000000"),
        ("not:an:arn:of:111122223333:x", "000000000000"),
        ("*", "000000000000"),
    ],
)
def test_a_resource_belongs_to_the_account_of_its_arn(resource: str, account: str) -> None:
    assert has("aws:ResourceAccount", account, resource)


def test_temporary_credentials_tell_when_they_were_made() -> None:
    issued_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    for key, value in (("aws:TokenIssueTime", "2026-01-02T03:04:05Z"), ("aws:MultiFactorAuthPresent", "false")):
        assert has(key, value, issued_at=issued_at)
        assert not has(key, "*")


def test_who_is_no_user_has_no_keys_of_one() -> None:
    root = "arn:aws:iam::000000000000:root"
    assert not any(has(key, "*", arn=root) for key in ("aws:PrincipalType", "aws:userid", "aws:username"))


def test_condition_keys_are_asked_for_only_if_a_policy_depends_on_them() -> None:
    plain, named = (
        document(statement(Action=CREATE)),
        document(statement(Resource="arn:aws:iot:*:*:cert/${aws:username}")),
    )
    assert not depends_on_request(caller(plain))
    assert depends_on_request(caller(plain, named))
    assert depends_on_request(caller(document(statement(Condition={"Bool": {"aws:SecureTransport": "true"}}))))


@pytest.mark.parametrize("first", [CREATE, "iot:DeleteCertificate"])
def test_a_decision_for_every_resource_is_only_used_where_resources_do_not_matter(first: str) -> None:
    everything = statement(Action="iot:*")
    one_denied = statement(Effect="Deny", Action="iot:Delete*", Resource=f"{ARN}a")
    known = caller(document(everything, one_denied))
    for action in (first, CREATE, "iot:DeleteCertificate"):
        authorize(known, action, f"{ARN}b", {})
    authorize(known, CREATE, f"{ARN}a", {})
    with pytest.raises(AccessDenied, match="explicit deny"):
        authorize(known, "iot:DeleteCertificate", f"{ARN}a", {})
    for refusing in (
        caller(document(statement(Action="s3:*"))),
        caller(document(everything, statement(Effect="Deny"))),
    ):
        with pytest.raises(AccessDenied):
            authorize(refusing, CREATE, f"{ARN}a", {})
