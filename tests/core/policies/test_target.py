"""What a policy can be attached to, and in which spelling it is told."""

import pytest

from thingmint.core.errors import InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope, ThingGroupName
from thingmint.core.policies.target import (
    CertificateTarget,
    CognitoTarget,
    PolicyTarget,
    ThingGroupTarget,
    parse_policy_target,
    parse_principal,
    target_not_found,
)

SCOPE = Scope(AccountId("123456789012"), Region("eu-west-1"))
CHINA = Scope(AccountId("123456789012"), Region("cn-north-1"))
PREFIX = "arn:aws:iot:eu-west-1:123456789012:"
CERTIFICATE = PREFIX + "cert/" + "ab" * 32
GROUP = PREFIX + "thinggroup/Lamps"
IDENTITY = "eu-west-1:0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (CERTIFICATE, CertificateTarget(SCOPE, CertificateId("ab" * 32))),
        (GROUP, ThingGroupTarget(SCOPE, ThingGroupName("Lamps"))),
        (IDENTITY, CognitoTarget(IDENTITY)),
    ],
)
def test_a_target_is_read_and_told_alike(text: str, target: PolicyTarget) -> None:
    assert parse_policy_target(SCOPE, text) == target
    assert target.name == text


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        (PREFIX + "cert/" + "AB" * 32, CERTIFICATE),
        (IDENTITY.upper(), IDENTITY),
        ("us-east-1:0f1e2d3c", "us-east-1:0f1e2d3c"),
    ],
)
def test_a_target_has_one_spelling(text: str, spelling: str) -> None:
    assert parse_policy_target(SCOPE, text).name == spelling


def test_targets_of_other_partitions_are_known_in_their_regions() -> None:
    text = "arn:aws-cn:iot:cn-north-1:123456789012:thinggroup/Lamps"
    assert parse_policy_target(CHINA, text).name == text


@pytest.mark.parametrize(
    "text",
    [
        GROUP.replace("eu-west-1", "us-east-1"),
        GROUP.replace("123456789012", "999999999999"),
        GROUP.replace("arn:aws:", "arn:aws-cn:"),
        CERTIFICATE.replace("123456789012", "999999999999"),
    ],
)
def test_what_another_account_or_region_has_is_not_found(text: str) -> None:
    with pytest.raises(ResourceNotFound) as refusal:
        parse_policy_target(SCOPE, text)
    assert refusal.value.message == target_not_found(text).message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "ab" * 32,
        PREFIX + "thing/lamp",
        PREFIX + "cert/",
        PREFIX + "cert/12",
        PREFIX + "thinggroup/no spaces",
        PREFIX + "thinggroup/Lamps/Red",
        CERTIFICATE + "\n",
        "arn:aws:iam::123456789012:user/x",
        IDENTITY + "\n",
        "eu-west-1:",
    ],
)
def test_what_takes_no_policies_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_policy_target(SCOPE, text)


def test_a_principal_is_a_certificate_or_an_identity_and_no_group() -> None:
    assert parse_principal(SCOPE, CERTIFICATE).name == CERTIFICATE
    assert parse_principal(SCOPE, IDENTITY).name == IDENTITY
    with pytest.raises(InvalidRequest, match="A principal is"):
        parse_principal(SCOPE, GROUP)
