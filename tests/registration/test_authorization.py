"""Callers may do what their policies allow, and are refused in AWS's words."""

import pytest
from tests.support.policies import Json, document, statement

from thingmint.core.caller import Caller, Principal
from thingmint.core.errors import AccessDenied
from thingmint.core.identifiers import AccountId, Region
from thingmint.core.policy import parse_policy
from thingmint.registration.authorization import authorize

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
