"""What may become of a CA certificate, and how its registration is configured."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.registration.templates import template

from thingmint.core.certificates.ca_certificate import (
    AutoRegistrationStatus,
    CACertificate,
    CACertificateStatus,
    CACertificateSummary,
    CACertificateUpdate,
    RegistrationConfig,
    ensure_ca_deletable,
    updated,
)
from thingmint.core.certificates.certificate import CertificateMode
from thingmint.core.errors import CertificateStateRefused, InvalidRequest
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope
from thingmint.core.provisioning.registration_config import registration_config

AT = datetime(2026, 3, 4, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
ROLE = "arn:aws:iam::123456789012:role/path/JITP"
CONFIG = RegistrationConfig(template_name="fleet")
BEFORE = CACertificate(
    scope=Scope(AccountId("123456789012"), Region("eu-west-1")),
    certificate_id=CertificateId("ab" * 32),
    der=b"",
    subject_digest="cd" * 32,
    status=CACertificateStatus.INACTIVE,
    mode=CertificateMode.DEFAULT,
    auto_registration=AutoRegistrationStatus.ENABLE,
    registration_config=CONFIG,
    not_before=AT,
    not_after=AT,
    created_at=AT,
    modified_at=AT,
    customer_version=3,
    generation_id="generation",
)


def test_its_arn_is_that_of_a_cacert() -> None:
    summary = CACertificateSummary(BEFORE.scope, BEFORE.certificate_id, BEFORE.status, AT, 1)
    assert summary.arn == BEFORE.arn == f"arn:aws:iot:eu-west-1:123456789012:cacert/{'ab' * 32}"


def test_an_update_of_nothing_is_the_same_certificate() -> None:
    same = CACertificateUpdate(CACertificateStatus.INACTIVE, AutoRegistrationStatus.ENABLE, CONFIG)
    assert updated(BEFORE, CACertificateUpdate(), LATER) is BEFORE
    assert updated(BEFORE, same, LATER) is BEFORE


def test_an_update_changes_what_it_names_and_the_version() -> None:
    changed = replace(BEFORE, modified_at=LATER, customer_version=4)
    active = updated(BEFORE, CACertificateUpdate(status=CACertificateStatus.ACTIVE), LATER)
    assert active == replace(changed, status=CACertificateStatus.ACTIVE)
    other = RegistrationConfig(template_body="{}", role_arn=ROLE)
    assert updated(BEFORE, CACertificateUpdate(registration_config=other), LATER) == replace(
        changed, registration_config=other
    )


@pytest.mark.parametrize("status", [None, AutoRegistrationStatus.DISABLE])
def test_removal_of_automatic_registration_takes_its_configuration_along(
    status: AutoRegistrationStatus | None,
) -> None:
    after = updated(BEFORE, CACertificateUpdate(auto_registration=status, remove_auto_registration=True), LATER)
    assert (after.auto_registration, after.registration_config) == (AutoRegistrationStatus.DISABLE, None)


def test_disabling_leaves_the_configuration() -> None:
    after = updated(BEFORE, CACertificateUpdate(auto_registration=AutoRegistrationStatus.DISABLE), LATER)
    assert (after.auto_registration, after.registration_config) == (AutoRegistrationStatus.DISABLE, CONFIG)


@pytest.mark.parametrize(
    "update",
    [
        CACertificateUpdate(auto_registration=AutoRegistrationStatus.ENABLE, remove_auto_registration=True),
        CACertificateUpdate(registration_config=CONFIG, remove_auto_registration=True),
    ],
)
def test_an_update_that_contradicts_itself_is_refused(update: CACertificateUpdate) -> None:
    with pytest.raises(InvalidRequest, match="contradicts"):
        updated(BEFORE, update, LATER)


def test_only_an_inactive_one_may_be_deleted() -> None:
    ensure_ca_deletable(BEFORE)
    with pytest.raises(CertificateStateRefused, match="must be deactivated"):
        ensure_ca_deletable(replace(BEFORE, status=CACertificateStatus.ACTIVE))


@pytest.mark.parametrize(
    ("body", "name", "role"),
    [
        (template(), None, ROLE),
        (None, "fleet", None),
        (None, "fleet", "arn:aws-us-gov:iam::123456789012:role/JITP"),
        (None, None, ROLE),
    ],
)
def test_a_configuration_is_kept_as_it_was_given(body: str | None, name: str | None, role: str | None) -> None:
    assert registration_config(body, name, role) == RegistrationConfig(body, name, role)


def test_a_configuration_of_nothing_is_none() -> None:
    assert registration_config(None, None, None) is None


@pytest.mark.parametrize(
    ("body", "name", "role", "reason"),
    [
        (template(), "fleet", ROLE, "either"),
        (template(), None, None, "must have a roleArn"),
        (None, "fleet", "arn:aws:iam::123456789012:user/JITP", "not the ARN of an IAM role"),
        (None, "fleet", "x" * 30, "not the ARN of an IAM role"),
        ("", None, ROLE, "."),
        ("[]", None, ROLE, "."),
        ("[" * 10_000, None, ROLE, "."),
        (template().replace("{", '{"x\x00": 1, ', 1), None, ROLE, "."),
        ('{"Resources": {}}', None, ROLE, "certificate"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(
    body: str | None, name: str | None, role: str | None, reason: str
) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        registration_config(body, name, role)


@pytest.mark.parametrize(
    ("config", "has_template"),
    [
        (RegistrationConfig(role_arn="arn:aws:iam::000000000000:role/provisioning"), False),
        (RegistrationConfig(template_body="{}"), True),
        (RegistrationConfig(template_name="fleet"), True),
    ],
)
def test_devices_are_provisioned_if_the_configuration_has_a_template(
    config: RegistrationConfig, has_template: bool
) -> None:
    assert config.has_template is has_template
