"""Things: what they are and what an update makes of them."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from thingmint.core.errors import InvalidRequest, VersionMismatch
from thingmint.core.identifiers import AccountId, BillingGroupName, Region, Scope, ThingName, ThingTypeName
from thingmint.core.registry.attributes import AttributePayload, Attributes
from thingmint.core.registry.thing import Thing, ThingUpdate, ensure_version, updated

AT = datetime(2026, 1, 2, tzinfo=UTC)
THING = Thing(Scope(AccountId("123456789012"), Region("us-east-1")), ThingName("lamp"), "id-1", AT)
LAMP = ThingTypeName("lamp-type")


def attributes(count: int) -> Attributes:
    return Attributes.of({f"a{index:02}": "1" for index in range(count)})


def test_new_thing_has_version_one_and_connects_by_its_name() -> None:
    assert (THING.version, THING.default_client_id) == (1, "lamp")
    assert THING.arn == "arn:aws:iot:us-east-1:123456789012:thing/lamp"


@pytest.mark.parametrize(("type_name", "limit"), [(None, 3), (LAMP, 50)])
def test_attributes_are_limited_by_the_type(type_name: ThingTypeName | None, limit: int) -> None:
    thing = replace(THING, type_name=type_name, attributes=attributes(limit))
    assert len(thing.attributes) == limit
    with pytest.raises(InvalidRequest, match=f"at most {limit} attributes, not {limit + 1}"):
        replace(THING, type_name=type_name, attributes=attributes(limit + 1))


def test_update_changes_what_it_names_and_counts() -> None:
    after = updated(THING, ThingUpdate(type_name=LAMP, payload=AttributePayload(attributes(2))))
    assert after == replace(THING, type_name=LAMP, attributes=attributes(2), version=2)
    assert updated(after, ThingUpdate()) == replace(after, version=3)


def test_type_is_removed_on_request() -> None:
    typed = replace(THING, type_name=LAMP)
    assert updated(typed, ThingUpdate(remove_type=True)).type_name is None


def test_type_that_carries_the_attributes_cannot_be_removed() -> None:
    typed = replace(THING, type_name=LAMP, attributes=attributes(4))
    with pytest.raises(InvalidRequest, match="without a thing type has at most 3 attributes, not 4"):
        updated(typed, ThingUpdate(remove_type=True))


def test_type_is_not_set_and_removed_at_once() -> None:
    with pytest.raises(InvalidRequest, match="exclude each other"):
        ThingUpdate(type_name=LAMP, remove_type=True)


def test_update_of_another_version_is_refused() -> None:
    assert updated(THING, ThingUpdate(expected_version=1)).version == 2
    with pytest.raises(VersionMismatch, match="lamp has version 1, not 2"):
        updated(THING, ThingUpdate(expected_version=2))
    ensure_version(THING, None)


@pytest.mark.parametrize(
    "other",
    [
        replace(THING, name=ThingName("lamp-2")),
        replace(THING, type_name=LAMP),
        replace(THING, billing_group_name=BillingGroupName("lamps")),
        replace(THING, attributes=attributes(1)),
    ],
)
def test_configuration_is_the_name_type_billing_group_and_attributes(other: Thing) -> None:
    assert not THING.has_configuration_of(other)
    assert THING.has_configuration_of(replace(THING, thing_id="id-2", version=5))
