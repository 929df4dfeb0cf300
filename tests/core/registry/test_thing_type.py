"""Thing types: what they are, and when they may be given and deleted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import AccountId, Region, Scope, ThingTypeName
from thingmint.core.registry.thing_type import (
    PropagatingAttribute,
    ThingType,
    ThingTypeProperties,
    deprecated,
    ensure_assignable,
    ensure_type_deletable,
    reinstated,
)

AT = datetime(2026, 1, 2, tzinfo=UTC)
SCOPE = Scope(AccountId("123456789012"), Region("us-east-1"))
LAMP = ThingType(SCOPE, ThingTypeName("lamp"), "id-1", ThingTypeProperties("a lamp", ("wattage",)), AT)


def test_thing_type_has_an_arn_of_its_own_kind() -> None:
    assert LAMP.arn == "arn:aws:iot:us-east-1:123456789012:thingtype/lamp"


def test_deprecated_type_is_given_to_no_thing_until_it_is_reinstated() -> None:
    ensure_assignable(LAMP)
    gone = deprecated(LAMP, AT)
    with pytest.raises(InvalidRequest, match="deprecated thing type lamp"):
        ensure_assignable(gone)
    assert reinstated(gone) == LAMP


def test_second_deprecation_keeps_the_date() -> None:
    gone = deprecated(LAMP, AT)
    assert deprecated(gone, AT + timedelta(days=1)) == gone


def test_type_is_deletable_five_minutes_after_its_deprecation() -> None:
    with pytest.raises(InvalidRequest, match="must be deprecated before deletion"):
        ensure_type_deletable(LAMP, AT)
    gone = deprecated(LAMP, AT)
    with pytest.raises(InvalidRequest, match=r"^Please wait for 5 minutes after deprecation and then retry"):
        ensure_type_deletable(gone, AT + timedelta(minutes=5, microseconds=-1))
    ensure_type_deletable(gone, AT + timedelta(minutes=5))
    ensure_type_deletable(gone, AT, wait=timedelta())


def test_description_is_printable_and_bounded() -> None:
    assert replace(LAMP.properties, description=" ~" * 1014).description
    for text in ("x" * 2029, "ä", "a\n"):
        with pytest.raises(InvalidRequest, match="2028 printable ASCII characters"):
            ThingTypeProperties(text)


def test_three_attributes_are_searchable_at_most() -> None:
    assert ThingTypeProperties("", ("a", "b", "c")).searchable_attributes == ("a", "b", "c")
    with pytest.raises(InvalidRequest, match="at most 3 searchable attributes"):
        ThingTypeProperties("", ("a", "b", "c", "d"))
    with pytest.raises(InvalidRequest, match="the name of an attribute matches"):
        ThingTypeProperties("", ("a b",))


def test_propagating_attribute_comes_from_the_thing_or_from_the_connection() -> None:
    assert PropagatingAttribute("iot:$a.b", thing_attribute="floor").thing_attribute == "floor"
    assert PropagatingAttribute("a", connection_attribute="iot:ClientId").connection_attribute == "iot:ClientId"


@pytest.mark.parametrize(
    ("key", "thing_attribute", "connection_attribute", "reason"),
    [
        ("a b", "floor", None, "userPropertyKey"),
        ("a", None, None, "one of thingAttribute and connectionAttribute"),
        ("a", "floor", "iot:ClientId", "one of thingAttribute and connectionAttribute"),
        ("a", "flo or", None, "the name of an attribute matches"),
        ("a", None, "iot ClientId", "a connectionAttribute matches"),
        ("a", None, "", "a connectionAttribute matches"),
    ],
)
def test_other_propagating_attributes_are_refused(
    key: str, thing_attribute: str | None, connection_attribute: str | None, reason: str
) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        PropagatingAttribute(key, thing_attribute, connection_attribute)


def test_order_of_attributes_does_not_matter() -> None:
    sources = (PropagatingAttribute("a", thing_attribute="a"), PropagatingAttribute("b", thing_attribute="b"))
    one = replace(LAMP, properties=ThingTypeProperties("", ("a", "b"), sources))
    assert one.has_configuration_of(replace(one, properties=ThingTypeProperties("", ("b", "a"), sources[::-1])))
    assert not one.has_configuration_of(replace(one, properties=ThingTypeProperties("", ("b", "c"), sources)))
    assert not one.has_configuration_of(replace(one, properties=ThingTypeProperties("", ("b", "a"), sources[:1])))


def test_type_asked_for_in_other_words_has_another_configuration() -> None:
    assert LAMP.has_configuration_of(replace(LAMP, type_id="other", deprecated_at=AT))
    assert not LAMP.has_configuration_of(replace(LAMP, properties=ThingTypeProperties("a lamp")))
