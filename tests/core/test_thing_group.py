"""Thing groups and billing groups: what they are, and which group a thing may join."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from thingmint.core.attributes import AttributePayload, Attributes
from thingmint.core.errors import InvalidRequest, VersionMismatch
from thingmint.core.identifiers import AccountId, BillingGroupName, Region, Scope, ThingGroupName
from thingmint.core.thing_group import (
    BillingGroup,
    GroupPath,
    ThingGroup,
    ensure_depth,
    ensure_group_version,
    ensure_may_join,
    updated_group,
)

AT = datetime(2026, 1, 2, tzinfo=UTC)
SCOPE = Scope(AccountId("123456789012"), Region("us-east-1"))
GROUP = ThingGroup(SCOPE, ThingGroupName("lamps"), "id-1", AT)
BILLING = BillingGroup(SCOPE, BillingGroupName("ward"), "id-2", AT)


def path(*names: str) -> GroupPath:
    return GroupPath(tuple(ThingGroupName(name) for name in names))


def test_groups_have_arns_of_their_own_kinds() -> None:
    assert GROUP.arn == "arn:aws:iot:us-east-1:123456789012:thinggroup/lamps"
    assert BILLING.arn == "arn:aws:iot:us-east-1:123456789012:billinggroup/ward"


def test_description_of_a_group_is_printable() -> None:
    for group in (GROUP, BILLING):
        with pytest.raises(InvalidRequest, match="printable ASCII"):
            replace(group, description="\t")


def test_group_has_fifty_attributes_at_most() -> None:
    attributes = Attributes.of({f"a{index}": "1" for index in range(50)})
    assert len(replace(GROUP, attributes=attributes).attributes) == 50
    with pytest.raises(InvalidRequest, match="at most 50 attributes, not 51"):
        replace(GROUP, attributes=Attributes.of(attributes.as_dict() | {"b": "1"}))


def test_update_replaces_the_description_and_counts() -> None:
    payload = AttributePayload(Attributes.of({"floor": "3"}))
    after = updated_group(GROUP, "all lamps", payload, expected_version=1)
    assert after == replace(GROUP, description="all lamps", attributes=Attributes.of({"floor": "3"}), version=2)


def test_update_of_another_version_is_refused() -> None:
    with pytest.raises(VersionMismatch, match="lamps has version 1, not 3"):
        updated_group(GROUP, "", AttributePayload(), expected_version=3)
    with pytest.raises(VersionMismatch, match="ward has version 1, not 0"):
        ensure_group_version(BILLING, 0)
    ensure_group_version(BILLING, None)


def test_hierarchy_is_seven_levels_deep_at_most() -> None:
    ensure_depth(path(*"abcdef"))
    with pytest.raises(InvalidRequest, match="7 levels deep"):
        ensure_depth(path(*"abcdefg"))


def test_thing_joins_ten_groups_of_different_hierarchies_at_most() -> None:
    nine = [path(f"root-{index}", "leaf") for index in range(9)]
    ensure_may_join(nine, path("root-9"))
    ten = [*nine, path("root-9")]
    ensure_may_join(ten, path("root-0", "leaf"))
    with pytest.raises(InvalidRequest, match="at most 10 thing groups"):
        ensure_may_join(ten, path("root-10"))


def test_thing_joins_no_second_group_of_a_hierarchy() -> None:
    with pytest.raises(InvalidRequest, match="belongs to the thing group left of the same hierarchy"):
        ensure_may_join([path("root", "left")], path("root", "right"))
