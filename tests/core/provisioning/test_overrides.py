"""What a provisioning plan makes of a thing, its groups and a certificate that exist already."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.databases.stores import sample_certificate

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import InvalidRequest, RegistrationFailed, UpdateConflict
from thingmint.core.identifiers import (
    AccountId,
    BillingGroupName,
    CertificateId,
    Region,
    Scope,
    ThingGroupName,
    ThingName,
    ThingTypeName,
)
from thingmint.core.provisioning.overrides import (
    ensure_may_exist,
    groups_to_change,
    new_thing,
    overridden_thing,
    provisioned_certificate,
)
from thingmint.core.provisioning.plan import CertificatePlan, FromId, ThingPlan
from thingmint.core.provisioning.resources import Override
from thingmint.core.registry.attributes import Attributes
from thingmint.core.registry.thing import Thing, ThingPrincipalType

NOW = datetime(2026, 3, 4, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
SCOPE = Scope(AccountId("123456789012"), Region("eu-west-1"))
THING = Thing(
    SCOPE,
    ThingName("lamp"),
    "id",
    NOW,
    type_name=ThingTypeName("bulb"),
    billing_group_name=BillingGroupName("paid"),
    attributes=Attributes.of({"colour": "red", "room": "12"}),
)
SILENT = ThingPlan(
    "thing", ThingName("lamp"), None, None, None, None, Override.DO_NOTHING, Override.DO_NOTHING, Override.DO_NOTHING
)
BLUE = Attributes.of({"colour": "blue"})
A, B, C = (ThingGroupName(name) for name in "abc")


def attributes_after(override: Override, attributes: Attributes = BLUE) -> dict[str, str]:
    return overridden_thing(
        THING, replace(SILENT, attributes=attributes, override_attributes=override)
    ).attributes.as_dict()


def test_a_new_thing_has_what_the_plan_says_and_no_empty_attribute() -> None:
    planned = replace(
        SILENT,
        attributes=Attributes.of({"a": "1", "b": ""}),
        type_name=ThingTypeName("bulb"),
        billing_group=BillingGroupName("paid"),
    )
    assert new_thing(SCOPE, planned, "id", NOW) == Thing(
        SCOPE, ThingName("lamp"), "id", NOW, ThingTypeName("bulb"), BillingGroupName("paid"), Attributes.of({"a": "1"})
    )
    assert new_thing(SCOPE, SILENT, "id", NOW) == Thing(SCOPE, ThingName("lamp"), "id", NOW)


def test_a_new_thing_without_a_type_has_three_attributes_at_most() -> None:
    with pytest.raises(InvalidRequest, match="at most 3"):
        new_thing(SCOPE, replace(SILENT, attributes=Attributes.of(dict.fromkeys("abcd", "x"))), "id", NOW)


@pytest.mark.parametrize("setting", ["override_attributes", "override_type", "override_groups"])
def test_a_thing_that_exists_is_refused_by_any_setting_that_is_fail_unless_it_is_the_certificates_own(
    setting: str,
) -> None:
    planned = replace(SILENT, **{setting: Override.FAIL})  # type: ignore[arg-type] # the settings have one type
    with pytest.raises(UpdateConflict, match="The thing lamp exists already"):
        ensure_may_exist(planned, is_attached=False)
    ensure_may_exist(planned, is_attached=True)


@pytest.mark.parametrize("override", [Override.DO_NOTHING, Override.REPLACE, Override.MERGE])
def test_a_thing_that_exists_is_no_conflict_without_fail(override: Override) -> None:
    settings = replace(SILENT, override_attributes=override, override_groups=override)
    ensure_may_exist(settings, is_attached=False)


def test_a_silent_plan_changes_nothing() -> None:
    assert overridden_thing(THING, SILENT) is THING


@pytest.mark.parametrize(
    ("override", "attributes"),
    [
        (Override.DO_NOTHING, {"colour": "red", "room": "12"}),
        (Override.REPLACE, {"colour": "blue"}),
        (Override.MERGE, {"colour": "blue", "room": "12"}),
    ],
)
def test_attributes_are_overridden_as_the_template_says(override: Override, attributes: dict[str, str]) -> None:
    assert attributes_after(override) == attributes


def test_attributes_that_would_change_fail_where_the_template_says_so_and_equal_ones_do_not() -> None:
    assert attributes_after(Override.FAIL, THING.attributes) == THING.attributes.as_dict()
    with pytest.raises(UpdateConflict, match="another AttributePayload"):
        attributes_after(Override.FAIL)


def test_a_change_is_one_version() -> None:
    planned = replace(
        SILENT,
        attributes=BLUE,
        override_attributes=Override.REPLACE,
        type_name=ThingTypeName("tube"),
        override_type=Override.REPLACE,
        billing_group=BillingGroupName("other"),
    )
    assert overridden_thing(THING, planned) == replace(
        THING, attributes=BLUE, type_name=ThingTypeName("tube"), version=2
    )


@pytest.mark.parametrize("override", [Override.DO_NOTHING, Override.FAIL, Override.REPLACE])
def test_the_same_type_is_no_change(override: Override) -> None:
    assert overridden_thing(THING, replace(SILENT, type_name=THING.type_name, override_type=override)) is THING


def test_another_type_is_left_or_fails_as_the_template_says() -> None:
    other = replace(SILENT, type_name=ThingTypeName("tube"))
    assert overridden_thing(THING, other) is THING
    with pytest.raises(UpdateConflict, match="another ThingTypeName"):
        overridden_thing(THING, replace(other, override_type=Override.FAIL))


@pytest.mark.parametrize(
    ("override", "left", "joined"),
    [
        (Override.DO_NOTHING, (), ()),
        (Override.MERGE, (), (C,)),
        (Override.REPLACE, (A,), (C,)),
    ],
)
def test_groups_are_overridden_as_the_template_says(
    override: Override, left: tuple[str, ...], joined: tuple[str, ...]
) -> None:
    planned = replace(SILENT, groups=(B, C), override_groups=override)
    assert groups_to_change(THING, (A, B), planned) == (left, joined)


def test_no_groups_are_none_to_leave_unless_they_are_named() -> None:
    assert groups_to_change(THING, (A,), replace(SILENT, override_groups=Override.REPLACE)) == ((), ())
    assert groups_to_change(THING, (A,), replace(SILENT, groups=(), override_groups=Override.REPLACE)) == ((A,), ())


@pytest.mark.parametrize("current", [(), (A,), (A, B, C)])
def test_other_groups_fail_where_the_template_says_so(current: tuple[ThingGroupName, ...]) -> None:
    planned = replace(SILENT, groups=(A, B), override_groups=Override.FAIL)
    assert groups_to_change(THING, (B, A), planned) == ((), ())
    with pytest.raises(UpdateConflict, match="another ThingGroups"):
        groups_to_change(THING, current, planned)


def certificate_plan(status: CertificateStatus, override: Override = Override.DO_NOTHING) -> CertificatePlan:
    source = FromId(CertificateId("ab" * 32))
    return CertificatePlan("certificate", source, status, override, ThingPrincipalType.NON_EXCLUSIVE_THING)


ACTIVE, INACTIVE = CertificateStatus.ACTIVE, CertificateStatus.INACTIVE


@pytest.mark.parametrize("waiting", [CertificateStatus.PENDING_ACTIVATION, CertificateStatus.REGISTER_INACTIVE])
@pytest.mark.parametrize("planned", [ACTIVE, INACTIVE])
@pytest.mark.parametrize("override", [Override.DO_NOTHING, Override.FAIL, Override.REPLACE])
def test_a_waiting_certificate_gets_the_planned_status(
    waiting: CertificateStatus, planned: CertificateStatus, override: Override
) -> None:
    before = replace(sample_certificate(1), status=waiting)
    after = provisioned_certificate(before, certificate_plan(planned, override), LATER)
    assert after == replace(before, status=planned, modified_at=LATER, customer_version=2)


@pytest.mark.parametrize("status", [ACTIVE, INACTIVE])
@pytest.mark.parametrize("override", [Override.DO_NOTHING, Override.FAIL, Override.REPLACE])
def test_a_certificate_in_the_planned_status_stays_as_it_is(status: CertificateStatus, override: Override) -> None:
    certificate = replace(sample_certificate(1), status=status)
    assert provisioned_certificate(certificate, certificate_plan(status, override), LATER) is certificate


def test_a_settled_certificate_is_overridden_as_the_template_says() -> None:
    inactive = replace(sample_certificate(1), status=INACTIVE)
    assert provisioned_certificate(inactive, certificate_plan(ACTIVE), LATER) is inactive
    assert provisioned_certificate(inactive, certificate_plan(ACTIVE, Override.REPLACE), LATER).status is ACTIVE
    with pytest.raises(UpdateConflict, match="is INACTIVE already"):
        provisioned_certificate(inactive, certificate_plan(ACTIVE, Override.FAIL), LATER)


@pytest.mark.parametrize("status", [CertificateStatus.REVOKED, CertificateStatus.PENDING_TRANSFER])
@pytest.mark.parametrize("override", [Override.DO_NOTHING, Override.REPLACE])
def test_no_plan_brings_a_certificate_back(status: CertificateStatus, override: Override) -> None:
    certificate = replace(sample_certificate(1), status=status)
    with pytest.raises(RegistrationFailed, match=f"is {status}"):
        provisioned_certificate(certificate, certificate_plan(ACTIVE, override), LATER)
