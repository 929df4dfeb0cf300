"""Attributes: which may be, and what an update makes of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.core.errors import InvalidRequest
from thingmint.core.registry.attributes import AttributePayload, Attributes, ensure_attribute_name

CURRENT = Attributes.of({"floor": "3", "wing": "east"})


@pytest.mark.parametrize("name", ["a", "Aa0_.,@/:#-", "a" * 128])
def test_names_of_the_pattern_are_accepted(name: str) -> None:
    ensure_attribute_name(name)


@pytest.mark.parametrize("name", ["", "a" * 129, "a b", "ä", "a=b", "a\n", "a[0]"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="the name of an attribute matches"):
        ensure_attribute_name(name)
    with pytest.raises(InvalidRequest, match="the name of an attribute matches"):
        Attributes.of({name: "1"})


@pytest.mark.parametrize("value", ["", "Aa0_.,@/:#=[]-", "v" * 800])
def test_values_of_the_pattern_are_accepted(value: str) -> None:
    assert Attributes.of({"a": value}).as_dict() == {"a": value}


@pytest.mark.parametrize("value", ["v" * 801, "a b", "ü", "a\n", "${a}", "*"])
def test_other_values_are_refused(value: str) -> None:
    with pytest.raises(InvalidRequest, match="the attribute 'a' matches"):
        Attributes.of({"a": value})


def test_order_in_which_attributes_are_given_does_not_matter() -> None:
    assert Attributes.of({"a": "1", "b": "2"}) == Attributes.of({"b": "2", "a": "1"})
    assert len(Attributes.of({"b": "2", "a": "1"})) == 2


@pytest.mark.parametrize(
    ("given_attributes", "merge", "expected"),
    [
        (None, False, {"floor": "3", "wing": "east"}),
        (None, True, {"floor": "3", "wing": "east"}),
        ({}, False, {}),
        ({}, True, {"floor": "3", "wing": "east"}),
        ({"floor": "4"}, False, {"floor": "4"}),
        ({"floor": "4"}, True, {"floor": "4", "wing": "east"}),
        ({"room": "1"}, True, {"floor": "3", "room": "1", "wing": "east"}),
        ({"floor": ""}, True, {"wing": "east"}),
        ({"floor": "", "room": "1"}, False, {"room": "1"}),
        ({"missing": ""}, True, {"floor": "3", "wing": "east"}),
    ],
)
def test_update_replaces_merges_and_removes(
    given_attributes: dict[str, str] | None, merge: bool, expected: dict[str, str]
) -> None:
    attributes = None if given_attributes is None else Attributes.of(given_attributes)
    assert AttributePayload(attributes, merge).applied_to(CURRENT).as_dict() == expected


def test_update_replaces_unless_it_asks_for_more() -> None:
    assert AttributePayload(Attributes.of({"room": "1"})).applied_to(CURRENT).as_dict() == {"room": "1"}


NAMES = st.text(st.sampled_from("ab"), min_size=1, max_size=2)
SETS = st.dictionaries(NAMES, st.sampled_from(["", "1", "2"])).map(Attributes.of)


@given(SETS, SETS, st.booleans())
def test_same_update_twice_changes_nothing_more(current: Attributes, change: Attributes, merge: bool) -> None:
    payload = AttributePayload(change, merge)
    once = payload.applied_to(current)
    assert payload.applied_to(once) == once
