"""Topics and filters are AWS's: which are valid, and which filter matches which topic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.core.topics.names import InvalidTopic, check_topic, matches, parse_filter, received_as
from thingmint.mqtt.broker.subscription_tree import SubscriptionTree

SEVEN_SLASHES = "a/b/c/d/e/f/g/h"
BASIC_INGEST = "$aws/rules/rule/"
# Control characters and noncharacters, the first and last of each range.
UNSAFE = "\x01\x1f\x7f\x9f\ufdd0\ufdef\ufffe\uffff\U0001fffe\U0010ffff"
SAFE_NEIGHBOURS = " ~\xa0\ufdcf\ufdf0\ufffd\U0001fffd\U00020000\u2028\ufeff"
LEVELS = st.sampled_from(["", "a", "b", "$x", "ä"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=5).map("/".join).filter(bool)
PATTERNS = st.builds(
    lambda levels, last: "/".join([*levels, *last]),
    st.lists(LEVELS | st.just("+"), min_size=1, max_size=4),
    st.sampled_from([[], ["#"]]),
).filter(bool) | st.just("#")


@pytest.mark.parametrize(
    "topic",
    [
        "a",
        "/",
        "a//b",
        SEVEN_SLASHES,
        "x" * 256,
        "ä" * 128,
        "$aws/things/a",
        BASIC_INGEST + SEVEN_SLASHES,
        *SAFE_NEIGHBOURS,
    ],
)
def test_topics_are_valid(topic: str) -> None:
    check_topic(topic)
    assert parse_filter(topic).pattern == topic


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("", "not empty"),
        ("a/+", "wildcard"),
        ("#", "wildcard"),
        ("a\0", "NUL"),
        *((f"a{character}/b", "control character") for character in UNSAFE),
        ("$aws/rules/a\t/b", "control character"),
        ("x" * 257, "256 bytes"),
        ("ä" * 129, "256 bytes"),
        (SEVEN_SLASHES + "/i", "7 slashes"),
        (BASIC_INGEST, "not empty"),
        (BASIC_INGEST + SEVEN_SLASHES + "/i", "7 slashes"),
        (BASIC_INGEST + "x" * 257, "256 bytes"),
        ("$aws/rules//" + SEVEN_SLASHES, "7 slashes"),
    ],
)
def test_topics_are_refused(topic: str, reason: str) -> None:
    with pytest.raises(InvalidTopic, match=reason):
        check_topic(topic)


@pytest.mark.parametrize("text", ["#", "+", "+/+", "a/+/b", "a/#", "/#", "+/#", "$aws/#", "$sharex/a"])
def test_filters_are_valid(text: str) -> None:
    assert (parse_filter(text).pattern, parse_filter(text).group) == (text, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a#", "# stands alone"),
        ("#/a", "# stands alone"),
        ("a/#/b", "# stands alone"),
        ("##", "# stands alone"),
        ("a+", r"\+ stands alone"),
        ("a/+b/c", r"\+ stands alone"),
        ("++", r"\+ stands alone"),
        ("+/" * 8, "7 slashes"),
        ("", "not empty"),
        ("$share", "group"),
        ("$share/", "group"),
        ("$share//a", "group"),
        ("$share/+/a", "group"),
        ("$share/g#/a", "group"),
        ("$share/g", "not empty"),
        ("$share/g/", "not empty"),
        ("$share/g/a#", "# stands alone"),
        ("$share/g/" + SEVEN_SLASHES + "/i", "7 slashes"),
        ("$share/g/$aws/certificates/create/json/accepted", "Reserved"),
        ("$share/g/$share/h/a", "Reserved"),
        *((f"+/a{character}", "control character") for character in UNSAFE),
        ("$share/g\t/a", "control character"),
    ],
)
def test_filters_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidTopic, match=reason):
        parse_filter(text)


def test_a_shared_subscription_is_taken_apart() -> None:
    parsed = parse_filter("$share/group/" + SEVEN_SLASHES)
    assert (parsed.text, parsed.pattern, parsed.group) == ("$share/group/" + SEVEN_SLASHES, SEVEN_SLASHES, "group")


def test_a_surrogate_is_no_reason_to_fail() -> None:
    check_topic("\ud800")


@pytest.mark.parametrize(
    ("pattern", "topic"),
    [
        ("a", "a"),
        ("+", "a"),
        ("#", "a"),
        ("#", "a/b"),
        ("a/+", "a/"),
        ("a/#", "a/"),
        ("a/#", "a/b/c"),
        ("+/b", "a/b"),
        ("/+", "/a"),
        ("+/+", "/"),
        ("$aws/#", "$aws/a"),
        ("$aws/+/b", "$aws/a/b"),
        ("a/+", "a/$x"),
    ],
)
def test_a_filter_matches(pattern: str, topic: str) -> None:
    assert matches(pattern, topic)


@pytest.mark.parametrize(
    ("pattern", "topic"),
    [
        ("a", "b"),
        ("a", "A"),
        ("a", "a/"),
        ("a/#", "a"),  # AWS; MQTT says otherwise.
        ("+", "a/b"),
        ("+/+", "a"),
        ("a/+", "a"),
        ("#", "$aws/a"),
        ("+/a", "$aws/a"),
        ("+/#", "$aws/a"),
    ],
)
def test_a_filter_does_not_match(pattern: str, topic: str) -> None:
    assert not matches(pattern, topic)


@given(st.lists(PATTERNS.filter(lambda pattern: not pattern.startswith("$")), max_size=12), TOPICS)
def test_the_tree_finds_what_matches(patterns: list[str], topic: str) -> None:
    tree: SubscriptionTree[str, int] = SubscriptionTree()
    for pattern in patterns:
        tree.add(pattern, pattern, len(pattern))
    found = tree.match(topic)
    assert sorted(found) == [(pattern, len(pattern)) for pattern in sorted(set(patterns)) if matches(pattern, topic)]


@given(st.lists(PATTERNS.filter(lambda pattern: not pattern.startswith("$")), max_size=12), st.data())
def test_what_is_discarded_is_not_found(patterns: list[str], data: st.DataObject) -> None:
    tree: SubscriptionTree[str, None] = SubscriptionTree()
    for pattern in patterns:
        tree.add(pattern, pattern, None)
    discarded = data.draw(st.lists(PATTERNS))
    for pattern in discarded:
        tree.discard(pattern, pattern)
    topic = data.draw(TOPICS)
    left = set(patterns) - set(discarded)
    assert {key for key, _ in tree.match(topic)} == {pattern for pattern in left if matches(pattern, topic)}
    for pattern in left:
        tree.discard(pattern, pattern)
    assert tree.is_empty


def test_a_key_may_be_found_for_several_patterns_and_sets_its_value_anew() -> None:
    tree: SubscriptionTree[str, int] = SubscriptionTree()
    tree.add("a/b", "key", 1)
    tree.add("a/+", "key", 2)
    tree.add("a/b", "key", 3)
    assert sorted(tree.match("a/b")) == [("key", 2), ("key", 3)]


def test_discarding_another_key_leaves_the_first() -> None:
    tree: SubscriptionTree[str, None] = SubscriptionTree()
    tree.add("a/#", "first", None)
    tree.discard("a/#", "second")
    assert tree.match("a/b") == [("first", None)]


@pytest.mark.parametrize("pattern", ["$aws/#", "$aws/certificates/create/json/accepted", "$SYS/#"])
def test_reserved_topics_are_in_no_tree(pattern: str) -> None:
    tree: SubscriptionTree[str, None] = SubscriptionTree()
    with pytest.raises(ValueError, match="reserved"):
        tree.add(pattern, "key", None)
    assert tree.is_empty


def test_a_message_through_a_shared_subscription_is_named_after_its_group() -> None:
    assert received_as("a/b", None) == "a/b"
    assert received_as("a/b", "group") == "$share/group/a/b"
