"""The core's words, patterns and limits, held against AWS's service model."""

import re
from collections.abc import Callable
from enum import Enum
from typing import Any

import botocore.session
import pytest

from thingmint.core import identifiers
from thingmint.core.errors import InvalidRequest
from thingmint.core.policies import document as policy_document
from thingmint.core.policies import iot_policy
from thingmint.core.policies.simulation import MAX_REQUESTS, ActionType, AuthDecision
from thingmint.core.provisioning import template
from thingmint.core.provisioning.template import TemplateKind
from thingmint.core.registry import attributes, description, thing_type
from thingmint.core.registry.thing import ThingPrincipalType

# Parsed JSON of a third party's format.
SHAPES: dict[str, Any] = (
    botocore.session.get_session().get_component("data_loader").load_service_model("iot", "service-2")["shapes"]
)

PARSERS: list[tuple[str, Callable[[str], str]]] = [
    ("ThingName", identifiers.parse_thing_name),
    ("ThingTypeName", identifiers.parse_thing_type_name),
    ("ThingGroupName", identifiers.parse_thing_group_name),
    ("BillingGroupName", identifiers.parse_billing_group_name),
    ("PolicyName", identifiers.parse_policy_name),
    ("TemplateName", identifiers.parse_template_name),
    ("RoleAlias", identifiers.parse_role_alias_name),
    ("CertificateProviderName", identifiers.parse_certificate_provider_name),
]


def accepts(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except InvalidRequest:
        return False
    return True


def in_model(shape: str, text: str) -> bool:
    limits = SHAPES[shape]
    pattern = limits["pattern"].replace(r"\p{Graph}", "!-~")
    short_enough = limits.get("min", 0) <= len(text) <= limits["max"]
    # Java's classes are those of ASCII.
    return short_enough and re.fullmatch(pattern, text, re.ASCII) is not None


def samples(shape: str) -> list[str]:
    longest = SHAPES[shape]["max"]
    characters = [*map(chr, range(0x100)), "Ⅸ", "٣"]
    return ["", "a", "a" * longest, "a" * (longest + 1), *characters, *(f"a{character}b" for character in characters)]


@pytest.mark.parametrize(("shape", "parse"), PARSERS)
def test_names_are_those_of_the_model(shape: str, parse: Callable[[str], str]) -> None:
    for text in samples(shape):
        assert accepts(parse, text) is in_model(shape, text), text


def test_attributes_are_those_of_the_model() -> None:
    for text in samples("AttributeName"):
        assert accepts(attributes.ensure_attribute_name, text) is in_model("AttributeName", text), text
    for text in samples("AttributeValue"):
        given = accepts(lambda value: attributes.Attributes.of({"a": value}), text)
        assert given is in_model("AttributeValue", text), text


@pytest.mark.parametrize("shape", ["ThingTypeDescription", "ThingGroupDescription", "BillingGroupDescription"])
def test_descriptions_are_those_of_the_model(shape: str) -> None:
    for text in samples(shape):
        assert accepts(description.ensure_description, text) is in_model(shape, text), text


def test_propagating_attributes_are_those_of_the_model() -> None:
    for text in samples("UserPropertyKeyName"):
        given = accepts(lambda key: thing_type.PropagatingAttribute(key, thing_attribute="a"), text)
        assert given is (in_model("UserPropertyKeyName", text) and text != ""), text
    for text in samples("ConnectionAttributeName"):
        given = accepts(lambda name: thing_type.PropagatingAttribute("a", connection_attribute=name), text)
        assert given is in_model("ConnectionAttributeName", text), text


@pytest.mark.parametrize(
    ("shape", "words"),
    [("ActionType", ActionType), ("AuthDecision", AuthDecision), ("ThingPrincipalType", ThingPrincipalType)],
)
def test_words_are_those_of_the_model(shape: str, words: type[Enum]) -> None:
    assert {word.value for word in words} == set(SHAPES[shape]["enum"])


def test_kinds_of_templates_are_those_of_the_model_and_one_without_a_name() -> None:
    assert {kind.value for kind in TemplateKind} == {*SHAPES["TemplateType"]["enum"], "REGISTER_THING"}


def test_limits_are_those_of_the_model() -> None:
    assert SHAPES["TemplateBody"]["max"] == template.MAX_CHARACTERS
    assert SHAPES["PolicyDocument"]["max"] == policy_document.MAX_CHARACTERS > iot_policy.MAX_SIGNIFICANT_CHARACTERS
    assert SHAPES["AuthInfos"]["max"] == MAX_REQUESTS
