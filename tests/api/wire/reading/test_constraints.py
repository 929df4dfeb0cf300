"""The limits of AWS's model and their wording."""

import pytest

from thingmint.api.wire.reading.constraints import (
    MAX_ELEMENTS,
    Constraint,
    ValueRule,
    Violations,
    check,
    rules_of,
    translate_pattern,
)
from thingmint.core.errors import InvalidRequest


def violations_of(value: object, *constraints: Constraint) -> str:
    violations = Violations()
    check(rules_of(constraints), value, "member", violations)
    with pytest.raises(InvalidRequest) as refusal:
        violations.refuse_if_any()
    return refusal.value.message


def test_two_violations_of_one_member_are_reported_in_the_words_and_order_that_aws_uses() -> None:
    constraint = Constraint(min_length=64, max_length=64, pattern="(0x)?[a-fA-F0-9]+")

    message = violations_of("g" * 65, constraint)

    value = "g" * 65
    assert message == (
        f"2 validation errors detected: Value '{value}' at 'member' failed to satisfy constraint: Member must satisfy "
        f"regular expression pattern: (0x)?[a-fA-F0-9]+; Value '{value}' at 'member' failed to satisfy constraint: "
        "Member must have length less than or equal to 64"
    )


@pytest.mark.parametrize(
    ("constraint", "value", "rule"),
    [
        (Constraint(min_length=2), "x", "Member must have length greater than or equal to 2"),
        (Constraint(max_length=1), ["x", "y"], "Member must have length less than or equal to 1"),
        (Constraint(max_length=1), {"x": 1, "y": 2}, "Member must have length less than or equal to 1"),
        (Constraint(ge=1), 0, "Member must have value greater than or equal to 1"),
        (Constraint(le=2.5), 2.6, "Member must have value less than or equal to 2.5"),
        (Constraint(pattern="[a-z]+"), "abc\n", "Member must satisfy regular expression pattern: [a-z]+"),
        (Constraint(pattern=r"\d+"), "٣", r"Member must satisfy regular expression pattern: \d+"),
    ],
)
def test_a_broken_limit_is_named(constraint: Constraint, value: object, rule: str) -> None:
    message = violations_of(value, constraint)

    assert message.startswith("1 validation error detected: Value ")
    assert message.endswith(f" at 'member' failed to satisfy constraint: {rule}")


@pytest.mark.parametrize(
    ("constraint", "value"),
    [
        (Constraint(min_length=1, max_length=1), "x"),
        (Constraint(ge=1, le=1), 1),
        (Constraint(pattern="a|ab"), "ab"),
        (Constraint(pattern=r"[\s\S]*"), "any\ntext"),
        (Constraint(), "anything"),
    ],
)
def test_a_value_at_its_limit_is_accepted(constraint: Constraint, value: object) -> None:
    violations = Violations()

    check(rules_of([constraint]), value, "member", violations)

    violations.refuse_if_any()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "'true'"),
        (False, "'false'"),
        (7, "'7'"),
        (-(2**65), "'a number of more than 64 bits'"),
        (["secret"], "'[...]'"),
        ({"secret": 1}, "'{...}'"),
        ("x" * 256, f"'{'x' * 256}'"),
        ("x" * 257, f"'{'x' * 256}…'"),
    ],
)
def test_a_value_is_shown_in_a_bounded_form(value: object, shown: str) -> None:
    violations = Violations()

    violations.add(value, "member", "RULE")

    with pytest.raises(InvalidRequest) as refusal:
        violations.refuse_if_any()
    assert refusal.value.message == (
        f"1 validation error detected: Value {shown} at 'member' failed to satisfy constraint: RULE"
    )


def test_a_flood_of_violations_is_counted_and_not_repeated() -> None:
    message = violations_of("", *[Constraint(min_length=1)] * 1000)

    assert message.startswith("1000 validation errors detected: ")
    assert message.count("Value ''") == 50


def test_a_long_path_is_cut() -> None:
    violations = Violations()

    violations.add("x", "p" * 300, "RULE")

    with pytest.raises(InvalidRequest, match=rf"at '{'p' * 256}' failed"):
        violations.refuse_if_any()


@pytest.mark.parametrize(
    ("java", "python"),
    [
        (r"[\p{Alnum}\-_]+", r"[A-Za-z0-9\-_]+"),
        (r"\p{Digit}{3}", r"[0-9]{3}"),
        (r"[^\p{Punct}]\p{Alpha}", r"[^!-/:-@\[-`{-~][A-Za-z]"),
        (r"\[\p{Digit}\]", r"\[[0-9]\]"),
        (r"[\s\S]*", r"[\s\S]*"),
    ],
)
def test_a_java_pattern_is_translated(java: str, python: str) -> None:
    assert translate_pattern(java) == python


def test_a_class_without_translation_is_refused_when_the_service_is_wired() -> None:
    with pytest.raises(ValueError, match=r"\\p\{L\} in"):
        rules_of([Constraint(pattern=r"x[\p{L}]+")])


def test_a_set_of_classes_of_unicode_limits_a_text() -> None:
    (rule,) = rules_of([Constraint(pattern=r"[^\p{C}]*")])

    assert rule.holds("Größe")
    assert r"regular expression pattern: [^\p{C}]*" in violations_of("\0", Constraint(pattern=r"[^\p{C}]*"))


def test_a_length_is_never_asked_of_a_number() -> None:
    (rule,) = rules_of([Constraint(min_length=1)])
    assert isinstance(rule, ValueRule)

    with pytest.raises(AssertionError):
        rule.holds(1)


def test_a_number_of_any_length_can_be_shown() -> None:
    message = violations_of(-(10**5000), Constraint(ge=0))

    assert "'a number of more than 64 bits'" in message


def test_lists_and_maps_have_so_many_elements_in_all() -> None:
    violations = Violations()
    violations.look_at(MAX_ELEMENTS - 1)
    violations.look_at(1)
    violations.refuse_if_any()
    with pytest.raises(InvalidRequest, match=f"at most {MAX_ELEMENTS} elements in all"):
        violations.look_at(1)
