"""Which texts match a pattern: exactly those of two reference models, with work that does not grow as a product."""

import string
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.machine.soak import examples
from tests.support.machine.work import calls_of
from tests.support.registration.reference_glob import expression_of, reference_glob, reference_tokens

from thingmint.core.policies.patterns import fixed_tokens, parse_tokens, resolved
from thingmint.core.wildcards import Fixed, Wildcard, glob

LETTERS = ["a", "b", "ab", "aab", "é", "😀", "İ", "\n", ":", "/"]
PARTS = [*LETTERS, "*", "?", "**", "??", "${*}", "${?}", "${$}", "$", "}", "${iot:X}", "${iot:Missing}"]
PATTERNS = st.lists(st.sampled_from([*PARTS, "${iot:Missing, 'ab'}", "${iot:Empty}"]), max_size=14).map("".join)
TEXTS = st.lists(st.sampled_from([*LETTERS, "*", "?", "$"]), max_size=20).map("".join)
VALUES = st.lists(st.sampled_from([*LETTERS, "*", "?"]), max_size=3).map("".join)


@given(PATTERNS, st.lists(TEXTS, min_size=1, max_size=4), VALUES)
@settings(max_examples=examples(80, 1000))
def test_patterns_match_what_the_reference_matches(pattern: str, texts: list[str], value: str) -> None:
    variables = {"iot:X": value, "iot:Empty": ""}
    tokens = resolved(parse_tokens(pattern, wildcards=True, variables=True), variables.get)
    expected = reference_tokens(pattern, variables)
    assert (tokens is None) is (expected is None)
    if tokens is not None and expected is not None:
        matches, reference = glob(tokens), reference_glob(expected)
        assert [matches(text) for text in texts] == [reference(text) for text in texts]


RUNS = st.text(st.sampled_from("ab"), min_size=1, max_size=3)
SEGMENTED = st.lists(st.one_of(RUNS, st.sampled_from(list(Wildcard))), max_size=24)


@given(SEGMENTED, st.text(st.sampled_from("ab"), max_size=60))
@settings(max_examples=examples(80, 1000))
def test_repetitive_patterns_match_what_the_reference_matches(tokens: list[Fixed], text: str) -> None:
    assert glob(tuple(tokens))(text) is reference_glob(tuple(tokens))(text)


@pytest.mark.soak
@pytest.mark.parametrize(
    "length", [*range(5), *(pytest.param(long, marks=pytest.mark.no_cover) for long in examples((5,), (5, 6)))]
)
def test_short_patterns_match_what_the_regular_expression_matches(length: int) -> None:
    texts = ["".join(letters) for size in range(7) for letters in product("ab", repeat=size)]
    wrong = []
    for tokens in product(("a", "b", *Wildcard), repeat=length):
        matches, reference, expression = glob(tokens), reference_glob(tokens), expression_of(tokens)
        # The places of the other model are followed for the short texts: it is slower than both.
        wrong += [(tokens, text) for text in texts if matches(text) is not expression(text)]
        wrong += [(tokens, text) for text in texts[:15] if reference(text) is not expression(text)]
    assert wrong == []


def tokens_of(pattern: str) -> tuple[Fixed, ...]:
    tokens = fixed_tokens(parse_tokens(pattern, wildcards=True, variables=False))
    assert tokens is not None
    return tokens


def test_no_room_is_left_behind_the_place_of_the_segment_before() -> None:
    matches = glob(tokens_of("*b*a*"))
    assert [matches(text) for text in ("ab", "ba", "aab", "abca")] == [False, True, False, True]


START = "arn:aws:iot:"
WORST = {
    "one character and any, again and again": START + "*" + "a?" * 850 + "b*",
    "many segments": START + "*" + "a?a*" * 450 + "b*",
    "long runs": START + "*" + ("a" * 100 + "?") * 18 + "b*",
    "many stars": START + "*a" * 900 + "*b*",
    "different characters": START + "*" + "?".join(string.ascii_letters * 16) + "*",
}


@pytest.mark.parametrize("pattern", WORST.values(), ids=WORST)
@pytest.mark.parametrize("text", ["a" * 2030, string.ascii_letters * 39], ids=["one letter", "all letters"])
def test_matching_takes_work_in_proportion_to_pattern_and_text(pattern: str, text: str) -> None:
    # The reference model calls a function for each of millions of pairs of a place and a character.
    matches = glob(tokens_of(pattern))
    assert calls_of(lambda: matches(START + text)) <= 5 * (len(pattern) + len(text))


def test_the_reference_model_takes_more_work_than_that() -> None:
    pattern, text = START + "*" + "a?" * 100 + "b*", START + "a" * 300
    matches = reference_glob(tokens_of(pattern))
    assert calls_of(lambda: matches(text)) > 5 * (len(pattern) + len(text))


def test_characters_of_a_text_are_looked_for_once_for_all_patterns() -> None:
    texts = [START + "a" * 2000 + end for end in "xy"]
    patterns = [glob(tokens_of(f"arn:*a?b{number}*")) for number in range(100)]
    one = calls_of(lambda: patterns[0](texts[0]))
    all_of_them = calls_of(lambda: [matches(texts[1]) for matches in patterns])
    assert all_of_them <= 2 * one + 100 * 30
