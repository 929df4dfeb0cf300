"""Identifiers: what is accepted, how it is written, what it is bound to."""

import hashlib
from collections.abc import Callable

import pytest

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import (
    AccountId,
    BillingGroupName,
    CertificateId,
    CertificateProviderName,
    PolicyName,
    Region,
    RoleAliasName,
    Scope,
    TemplateName,
    ThingGroupName,
    ThingName,
    ThingTypeName,
    billing_group_arn,
    ca_certificate_arn,
    certificate_arn,
    certificate_id_of,
    certificate_provider_arn,
    client_arn,
    parse_account_id,
    parse_billing_group_name,
    parse_certificate_id,
    parse_certificate_provider_name,
    parse_policy_name,
    parse_region,
    parse_role_alias_name,
    parse_template_name,
    parse_thing_group_name,
    parse_thing_name,
    parse_thing_type_name,
    partition_of,
    policy_arn,
    provisioning_template_arn,
    role_alias_arn,
    thing_arn,
    thing_group_arn,
    thing_type_arn,
    topic_arn,
    topic_filter_arn,
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
    for text in ("us-east-1", "us-gov-west-1", "ap-southeast-12", "eusc-de-east-1"):
        assert parse_region(text) == text
    for text in ("", "us", "US-EAST-1", "us-east-1 ", "us_east_1"):
        with pytest.raises(InvalidRequest, match="region"):
            parse_region(text)


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("us-east-1", "aws"),
        ("eu-central-2", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("eusc-de-east-1", "aws-eusc"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("eu-isoe-west-1", "aws-iso-e"),
        ("us-isof-south-1", "aws-iso-f"),
    ],
)
def test_partition_follows_the_region(region: str, partition: str) -> None:
    assert partition_of(region) == partition
    scope = Scope(AccountId("123456789012"), Region(region))
    assert user_arn(scope, "factory") == f"arn:{partition}:iam::123456789012:user/factory"


PARSERS: list[tuple[Callable[[str], str], str, int]] = [
    (parse_thing_name, "Aa0:_-", 128),
    (parse_thing_type_name, "Aa0:_-", 128),
    (parse_thing_group_name, "Aa0:_-", 128),
    (parse_billing_group_name, "Aa0:_-", 128),
    (parse_policy_name, "Aa0_+=,.@-", 128),
    (parse_template_name, "Aa0_-", 36),
    (parse_role_alias_name, "Aa0_=,@-", 128),
    (parse_certificate_provider_name, "Aa0_=,@-", 128),
]


@pytest.mark.parametrize(("parse", "legal", "longest"), PARSERS)
def test_names_in_the_registry_have_the_alphabet_and_length_of_their_kind(
    parse: Callable[[str], str], legal: str, longest: int
) -> None:
    assert parse(legal) == legal
    assert parse("a" * longest) == "a" * longest
    others = sorted(set(" /#*${}é\n:+.,=@") - set(legal))
    for text in ("", "a" * (longest + 1), *others, *(f"a{character}" for character in others)):
        with pytest.raises(InvalidRequest, match="the name of a"):
            parse(text)


def test_everything_in_the_registry_has_an_arn_of_its_kind() -> None:
    scope = Scope(AccountId("123456789012"), Region("us-east-1"))
    arns = [
        certificate_arn(scope, CertificateId("aa")),
        ca_certificate_arn(scope, CertificateId("aa")),
        thing_arn(scope, ThingName("n")),
        thing_type_arn(scope, ThingTypeName("n")),
        thing_group_arn(scope, ThingGroupName("n")),
        billing_group_arn(scope, BillingGroupName("n")),
        policy_arn(scope, PolicyName("n")),
        provisioning_template_arn(scope, TemplateName("n")),
        role_alias_arn(scope, RoleAliasName("n")),
        certificate_provider_arn(scope, CertificateProviderName("n")),
        client_arn(scope, "n"),
        topic_arn(scope, "a/b"),
        topic_filter_arn(scope, "a/+/#"),
    ]
    assert [arn.removeprefix("arn:aws:iot:us-east-1:123456789012:") for arn in arns] == [
        "cert/aa",
        "cacert/aa",
        "thing/n",
        "thingtype/n",
        "thinggroup/n",
        "billinggroup/n",
        "policy/n",
        "provisioningtemplate/n",
        "rolealias/n",
        "certificateprovider/n",
        "client/n",
        "topic/a/b",
        "topicfilter/a/+/#",
    ]
