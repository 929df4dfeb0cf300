"""Thing groups and billing groups: what they are, and which group a thing may join."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from thingmint.core.errors import InvalidRequest, VersionMismatch
from thingmint.core.identifiers import AccountId, BillingGroupName, Region, Scope, ThingGroupName
from thingmint.core.registry.attributes import AttributePayload, Attributes
from thingmint.core.registry.thing_group import (
    BillingGroup,
    GroupPath,
    GroupUpdate,
    ThingGroup,
    ensure_depth,
    ensure_group_version,
    ensure_may_join,
    ensure_room_for_child,
    updated_billing_group,
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
    update = GroupUpdate("all lamps", AttributePayload(Attributes.of({"floor": "3"})), expected_version=1)
    after = updated_group(GROUP, update)
    assert after == replace(GROUP, description="all lamps", attributes=Attributes.of({"floor": "3"}), version=2)
    assert updated_billing_group(BILLING, update) == replace(BILLING, description="all lamps", version=2)


def test_update_that_says_nothing_counts_and_keeps_everything() -> None:
    described = replace(GROUP, description="all lamps", attributes=Attributes.of({"floor": "3"}))
    assert updated_group(described, GroupUpdate()) == replace(described, version=2)
    assert updated_group(described, GroupUpdate("")) == replace(described, description="", version=2)
    assert updated_billing_group(replace(BILLING, description="x"), GroupUpdate()).description == "x"


def test_group_knows_where_it_stands() -> None:
    below = replace(GROUP, ancestors=path("root", "floor"))
    assert (below.parent_name, below.path) == ("floor", ("root", "floor", "lamps"))
    assert (GROUP.parent_name, GROUP.path) == (None, ("lamps",))


def test_group_asked_for_in_other_words_has_another_configuration() -> None:
    assert GROUP.has_configuration_of(replace(GROUP, group_id="other", version=3))
    for other in (
        replace(GROUP, description="x"),
        replace(GROUP, ancestors=path("root")),
        replace(GROUP, attributes=Attributes.of({"floor": "3"})),
    ):
        assert not GROUP.has_configuration_of(other)
    assert BILLING.has_configuration_of(replace(BILLING, group_id="other", version=3))
    assert not BILLING.has_configuration_of(replace(BILLING, description="x"))


def test_group_has_a_hundred_children_at_most() -> None:
    ensure_room_for_child(99)
    with pytest.raises(InvalidRequest, match="at most 100 direct child groups"):
        ensure_room_for_child(100)


def test_update_of_another_version_is_refused() -> None:
    with pytest.raises(VersionMismatch, match="lamps has version 1, not 3"):
        updated_group(GROUP, GroupUpdate(expected_version=3))
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
