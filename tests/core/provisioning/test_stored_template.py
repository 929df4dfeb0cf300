"""Provisioning templates: which can be, what an update makes of one, and how versions are numbered."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.registration.provisioning import HOOK_ARN, ROLE_ARN

from thingmint.core.errors import DeletionRefused, InvalidRequest, VersionsLimitExceeded
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope, TemplateName
from thingmint.core.provisioning.claim import ClaimCertificate
from thingmint.core.provisioning.stored_template import (
    PreProvisioningHook,
    ProvisioningTemplate,
    TemplateType,
    TemplateUpdate,
    ensure_version_deletable,
    updated_template,
    with_next_version,
)

NOW = datetime(2026, 3, 4, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
SCOPE = Scope(AccountId("123456789012"), Region("eu-west-1"))
HOOK = PreProvisioningHook(HOOK_ARN)
TEMPLATE = ProvisioningTemplate(
    SCOPE, TemplateName("fleet"), "generation", TemplateType.FLEET_PROVISIONING, None, False, ROLE_ARN, None, NOW, NOW
)


def test_the_arn_names_the_template() -> None:
    assert TEMPLATE.arn == "arn:aws:iot:eu-west-1:123456789012:provisioningtemplate/fleet"


@pytest.mark.parametrize(
    "arn",
    [
        HOOK_ARN,
        f"{HOOK_ARN}:prod",
        f"{HOOK_ARN}:$LATEST",
        "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:a_b-c",
    ],
)
def test_a_function_may_be_a_hook(arn: str) -> None:
    assert PreProvisioningHook(arn).payload_version == "2020-04-01"


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "https://127.0.0.1/hook",
        "python:os:system",
        f"{HOOK_ARN}:",
        f"{HOOK_ARN}\n",
        "arn:aws:sns:eu-west-1:123456789012:topic",
        "arn:aws:lambda:eu-west-1:123:function:check",
    ],
)
def test_what_is_no_function_is_no_hook(arn: str) -> None:
    with pytest.raises(InvalidRequest, match="targetArn"):
        PreProvisioningHook(arn)


def test_an_unknown_payload_version_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="2020-04-01, not 2021-01-01"):
        PreProvisioningHook(HOOK_ARN, "2021-01-01")


@pytest.mark.parametrize("role", ["x" * 20, "arn:aws:iam::123456789012:user/x", "arn:aws:iam::1:role/x"])
def test_a_role_that_is_none_is_refused(role: str) -> None:
    with pytest.raises(InvalidRequest, match="provisioningRoleArn"):
        replace(TEMPLATE, role_arn=role)


def test_a_template_for_just_in_time_provisioning_has_no_hook() -> None:
    with pytest.raises(InvalidRequest, match="JITP has no pre-provisioning hook"):
        replace(TEMPLATE, type=TemplateType.JITP, hook=HOOK)


def test_an_empty_update_changes_the_time_alone() -> None:
    assert updated_template(TEMPLATE, TemplateUpdate(), LATER) == replace(TEMPLATE, modified_at=LATER)


def test_an_update_changes_what_it_names() -> None:
    role = f"{ROLE_ARN}2"
    update = TemplateUpdate(description="", enabled=True, default_version=3, role_arn=role, hook=HOOK)
    assert updated_template(TEMPLATE, update, LATER) == replace(
        TEMPLATE, description="", enabled=True, default_version=3, role_arn=role, hook=HOOK, modified_at=LATER
    )


def test_a_hook_is_removed() -> None:
    assert updated_template(replace(TEMPLATE, hook=HOOK), TemplateUpdate(remove_hook=True), LATER).hook is None


def test_a_hook_is_not_set_and_removed_at_once() -> None:
    with pytest.raises(InvalidRequest, match="exclude each other"):
        TemplateUpdate(hook=HOOK, remove_hook=True)


@pytest.mark.parametrize(("as_default", "default"), [(True, 8), (False, 1)])
def test_the_next_version_follows_the_last_that_ever_was(*, as_default: bool, default: int) -> None:
    after = with_next_version(replace(TEMPLATE, last_version=7), 2, LATER, as_default=as_default)
    assert (after.last_version, after.default_version, after.modified_at) == (8, default, LATER)


def test_a_sixth_version_is_refused() -> None:
    with pytest.raises(VersionsLimitExceeded, match="already has 5 versions"):
        with_next_version(TEMPLATE, 5, LATER, as_default=False)


def test_the_default_version_is_not_deleted() -> None:
    ensure_version_deletable(TEMPLATE, 2)
    with pytest.raises(DeletionRefused, match="default version 1"):
        ensure_version_deletable(TEMPLATE, 1)


def test_a_claim_is_valid_through_its_last_second() -> None:
    claim = ClaimCertificate(SCOPE, CertificateId("ab" * 32), TemplateName("fleet"), "generation", NOW)
    assert claim.is_valid_at(NOW + timedelta(seconds=0.999))
    assert not claim.is_valid_at(NOW + timedelta(seconds=1))
