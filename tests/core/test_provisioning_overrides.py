"""What a plan makes of things, groups and certificates that exist already."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.core.attributes import Attributes
from thingmint.core.certificate import CertificateStatus
from thingmint.core.errors import InvalidRequest, UpdateConflict
from thingmint.core.identifiers import (
    AccountId,
    CertificateId,
    Region,
    Scope,
    ThingGroupName,
    ThingName,
    ThingTypeName,
)
from thingmint.core.provisioning_overrides import (
    ensure_may_exist,
    new_thing_attributes,
    overridden_groups,
    overridden_status,
    overridden_thing,
)
from thingmint.core.provisioning_plan import CertificatePlan, FromId, ThingPlan
from thingmint.core.template_resources import Override
from thingmint.core.thing import Thing, ThingPrincipalType

NOTHING, REPLACE, FAIL, MERGE = Override.DO_NOTHING, Override.REPLACE, Override.FAIL, Override.MERGE
ACTIVE, INACTIVE = CertificateStatus.ACTIVE, CertificateStatus.INACTIVE
THING = Thing(
    Scope(AccountId("123456789012"), Region("us-east-1")),
    ThingName("lamp"),
    "id-1",
    datetime(2026, 1, 2, tzinfo=UTC),
    ThingTypeName("old"),
    attributes=Attributes.of({"floor": "3", "wing": "east"}),
)
PLAN = ThingPlan(
    logical_id="thing",
    name=ThingName("lamp"),
    attributes=Attributes.of({"floor": "4", "gone": ""}),
    type_name=ThingTypeName("new"),
    groups=(ThingGroupName("b"), ThingGroupName("c")),
    billing_group=None,
    override_attributes=NOTHING,
    override_type=NOTHING,
    override_groups=NOTHING,
)
CERTIFICATE = CertificatePlan(
    "certificate", FromId(CertificateId("ab" * 32)), ACTIVE, NOTHING, ThingPrincipalType.NON_EXCLUSIVE_THING
)
GROUPS = (ThingGroupName("a"), ThingGroupName("b"))


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (NOTHING, {"floor": "3", "wing": "east"}),
        (FAIL, {"floor": "3", "wing": "east"}),
        (REPLACE, {"floor": "4"}),
        (MERGE, {"floor": "4", "wing": "east"}),
    ],
)
def test_attributes_follow_their_setting(setting: Override, expected: dict[str, str]) -> None:
    after = overridden_thing(THING, replace(PLAN, override_attributes=setting))
    assert after.attributes.as_dict() == expected
    assert after.version == (1 if setting in (NOTHING, FAIL) else 2)
    assert after.type_name == "old"


@pytest.mark.parametrize(("setting", "expected"), [(NOTHING, "old"), (FAIL, "old"), (REPLACE, "new")])
def test_type_follows_its_setting(setting: Override, expected: str) -> None:
    assert overridden_thing(THING, replace(PLAN, override_type=setting)).type_name == expected


@pytest.mark.parametrize("setting", [REPLACE, MERGE])
def test_what_a_template_does_not_mention_stays(setting: Override) -> None:
    silent = replace(
        PLAN,
        attributes=None,
        type_name=None,
        groups=None,
        override_attributes=setting,
        override_type=REPLACE,
        override_groups=setting,
    )
    assert overridden_thing(THING, silent) is THING
    assert overridden_groups(GROUPS, silent) == GROUPS
    assert new_thing_attributes(silent) == Attributes()


def test_new_thing_has_the_attributes_that_have_a_value() -> None:
    assert new_thing_attributes(PLAN).as_dict() == {"floor": "4"}


def test_thing_never_gets_more_attributes_than_it_may_have() -> None:
    plan = replace(PLAN, attributes=Attributes.of({"a": "1", "b": "2"}), override_attributes=MERGE)
    assert len(overridden_thing(THING, plan).attributes) == 4
    with pytest.raises(InvalidRequest, match="at most 3 attributes"):
        overridden_thing(replace(THING, type_name=None), plan)


@pytest.mark.parametrize(("setting", "expected"), [(NOTHING, "ab"), (FAIL, "ab"), (REPLACE, "bc"), (MERGE, "abc")])
def test_groups_follow_their_setting(setting: Override, expected: str) -> None:
    assert overridden_groups(GROUPS, replace(PLAN, override_groups=setting)) == tuple(expected)


@pytest.mark.parametrize("setting", ["override_attributes", "override_type", "override_groups"])
def test_fail_refuses_a_thing_that_exists_unless_it_is_the_devices_own(setting: str) -> None:
    ensure_may_exist(PLAN, repeated=False)
    failing = {setting: FAIL}
    with pytest.raises(UpdateConflict, match="The thing lamp exists already"):
        ensure_may_exist(replace(PLAN, **failing), repeated=False)  # type: ignore[arg-type] # the field varies
    ensure_may_exist(replace(PLAN, **failing), repeated=True)  # type: ignore[arg-type] # the field varies


@pytest.mark.parametrize("setting", [NOTHING, FAIL, REPLACE])
def test_certificate_that_waits_gets_the_status_of_the_plan(setting: Override) -> None:
    plan = replace(CERTIFICATE, status=INACTIVE, override_status=setting)
    for waiting in (CertificateStatus.PENDING_ACTIVATION, CertificateStatus.REGISTER_INACTIVE):
        assert overridden_status(waiting, plan) is INACTIVE


@pytest.mark.parametrize(("setting", "expected"), [(NOTHING, INACTIVE), (REPLACE, ACTIVE)])
def test_status_that_somebody_chose_follows_its_setting(setting: Override, expected: CertificateStatus) -> None:
    assert overridden_status(INACTIVE, replace(CERTIFICATE, override_status=setting)) is expected


def test_fail_refuses_another_status_and_accepts_the_same() -> None:
    failing = replace(CERTIFICATE, override_status=FAIL)
    assert overridden_status(ACTIVE, failing) is ACTIVE
    with pytest.raises(UpdateConflict, match="The certificate is INACTIVE already, not ACTIVE"):
        overridden_status(INACTIVE, failing)


SETTINGS = st.sampled_from(Override)
VALUES = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["", "1", "2"]), max_size=3).map(Attributes.of)


@given(VALUES, VALUES, SETTINGS, SETTINGS, st.lists(st.sampled_from("abc"), unique=True))
def test_same_plan_twice_changes_nothing_more(
    current: Attributes, wanted: Attributes, setting: Override, of_groups: Override, groups: list[str]
) -> None:
    plan = replace(
        PLAN,
        attributes=wanted,
        groups=tuple(ThingGroupName(group) for group in groups),
        override_attributes=setting,
        override_type=REPLACE,
        override_groups=of_groups,
    )
    once = overridden_thing(replace(THING, attributes=current), plan)
    assert overridden_thing(once, plan) is once
    joined = overridden_groups(GROUPS, plan)
    assert overridden_groups(joined, plan) == joined
