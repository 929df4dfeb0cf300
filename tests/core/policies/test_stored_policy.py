"""What policies of devices are: versions that only count up, a default among them, and what may be deleted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.registration.policies import document, statement

from thingmint.core.errors import (
    DeletionRefused,
    LimitExceeded,
    MalformedPolicy,
    ResourceNotFound,
    VersionsLimitExceeded,
)
from thingmint.core.identifiers import AccountId, PolicyName, Region, Scope
from thingmint.core.policies.iot_policy import parse_iot_policy
from thingmint.core.policies.stored_policy import (
    MAX_POLICIES_OF_A_TARGET,
    MAX_VERSIONS,
    DevicePolicy,
    PolicySummary,
    ensure_policy_deletable,
    ensure_room_for_policy,
    ensure_version_deletable,
    parse_document,
    parse_version_id,
    policy_not_found,
    with_default_version,
    with_next_version,
)

SCOPE = Scope(AccountId("123456789012"), Region("eu-west-1"))
NAME = PolicyName("Lamp")
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = CREATED + timedelta(days=1)
POLICY = DevicePolicy(SCOPE, NAME, 2, 3, "generation", CREATED, CREATED)


def test_a_policy_is_named_by_its_arn() -> None:
    assert POLICY.arn == "arn:aws:iot:eu-west-1:123456789012:policy/Lamp"
    assert PolicySummary(SCOPE, NAME, 7).arn == POLICY.arn


def test_documents_with_one_text_are_one_policy() -> None:
    text = document(statement(Action="iot:Connect", Resource="*"))
    assert parse_document(text) == parse_document(text)
    assert parse_document(text) != parse_document(text + " ")


@pytest.mark.parametrize("version", ["2008-10-17", "2012-10-18", ""])
def test_a_new_document_has_the_version_that_knows_variables(version: str) -> None:
    with pytest.raises(MalformedPolicy) as refused:
        parse_document(document(statement(), version=version))
    expected = "Policy document is Malformed: Unknown policy document version. It must be version 2012-10-17"
    assert refused.value.message == expected


def test_a_new_document_may_leave_out_its_version() -> None:
    assert parse_document(document(statement(), version=None)).statements


def test_white_space_counts_inside_of_strings_only() -> None:
    padded = document(statement(Resource="arn:aws:iot:us-east-1:123456789012:topic/x")).replace(" ", " " * 20_000)
    assert len(padded) > 100_000
    assert parse_document(padded).statements
    inside = document(statement(Resource="arn:aws:iot:us-east-1:123456789012:topic/x" + " " * 2048))
    with pytest.raises(MalformedPolicy, match="white space counts only inside of strings"):
        parse_document(inside)
    # It was stored before there was this bound.
    assert parse_iot_policy(inside).weight > 2048


def test_a_stored_document_of_the_older_version_stays_in_force() -> None:
    assert parse_iot_policy(document(statement(), version="2008-10-17")).statements


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1, column 1"),
        ('{"Version": "2012-10-17",\n "Statement": []', "line 2"),
        (document(statement(Action="iot:Connect", Resource="x" * 3000)), "2048"),
        (document(statement(Action="s3:GetObject")), "s3"),
    ],
)
def test_a_malformed_document_is_refused_in_awss_words_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(MalformedPolicy, match=r"^Policy document is Malformed: ") as refusal:
        parse_document(text)
    assert reason in refusal.value.message


def test_white_space_does_not_count_for_the_size_of_a_document() -> None:
    text = document(statement(Action="iot:Connect")).replace(" ", " " * 3000)
    assert parse_document(text).statements


@pytest.mark.parametrize(("text", "version"), [("1", 1), ("12", 12), (str(2**63 - 1), 2**63 - 1)])
def test_a_version_id_is_a_decimal_number(text: str, version: int) -> None:
    assert parse_version_id(NAME, text) == version


@pytest.mark.parametrize("text", ["0", "01", str(2**63), "9" * 40, "", "x", "1\n", "١"])
def test_an_id_that_no_version_bears_is_not_found(text: str) -> None:
    with pytest.raises(ResourceNotFound, match="name=Lamp"):
        parse_version_id(NAME, text)


def test_a_new_version_takes_the_next_number_even_if_earlier_ones_are_gone() -> None:
    assert with_next_version(POLICY, 1, LATER, as_default=False) == replace(POLICY, last_version=4, modified_at=LATER)


def test_a_new_version_comes_into_force_if_asked_for() -> None:
    after = with_next_version(POLICY, 1, LATER, as_default=True)
    assert after == replace(POLICY, last_version=4, default_version=4, modified_at=LATER)


def test_a_sixth_version_is_refused() -> None:
    assert with_next_version(POLICY, MAX_VERSIONS - 1, LATER, as_default=False).last_version == 4
    with pytest.raises(VersionsLimitExceeded) as refusal:
        with_next_version(POLICY, MAX_VERSIONS, LATER, as_default=True)
    assert refusal.value.message == "The policy Lamp already has the maximum number of versions (5)"


def test_another_default_version_is_a_change_and_the_same_is_none() -> None:
    assert with_default_version(POLICY, 3, LATER) == replace(POLICY, default_version=3, modified_at=LATER)
    assert with_default_version(POLICY, 2, LATER) is POLICY


def test_the_version_in_force_is_not_deleted() -> None:
    ensure_version_deletable(POLICY, 1)
    with pytest.raises(DeletionRefused, match=r"^Cannot delete the default version of a policy \(name=Lamp\)$"):
        ensure_version_deletable(POLICY, 2)


def test_a_policy_in_use_is_not_deleted_and_attachments_are_told_first() -> None:
    ensure_policy_deletable(POLICY, 1, is_attached=False)
    with pytest.raises(DeletionRefused) as attached:
        ensure_policy_deletable(POLICY, 2, is_attached=True)
    with pytest.raises(DeletionRefused) as versions:
        ensure_policy_deletable(POLICY, 2, is_attached=False)
    assert attached.value.message == (
        "The policy cannot be deleted as the policy is attached to one or more principals (name=Lamp)"
    )
    assert versions.value.message == (
        "The policy cannot be deleted as versions other than than default version exist (name=Lamp)"
    )


def test_a_target_has_ten_policies_at_most() -> None:
    ensure_room_for_policy("target", MAX_POLICIES_OF_A_TARGET - 1)
    with pytest.raises(LimitExceeded, match=r"maximum number of policies \(10\).*: target$"):
        ensure_room_for_policy("target", MAX_POLICIES_OF_A_TARGET)


def test_what_is_not_there_is_named() -> None:
    assert policy_not_found(NAME).message == "The policy given in the request does not exist (name=Lamp)"
