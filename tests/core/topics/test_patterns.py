"""Patterns of reserved topics: which topics they match, and which filters could ever match one of theirs."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.core.topics.names import InvalidTopic, matches, parse_filter
from thingmint.core.topics.patterns import (
    CREATE_KEYS_AND_CERTIFICATE,
    EVENTS,
    REGISTER_THING,
    AnswerOutcome,
    PayloadFormat,
    TopicPattern,
    answer_topic,
    event_topic,
)

PATTERNS = [
    "$aws/certificates/create/{format}",
    "$aws/templates/{name}/provision/{format}/{outcome}",
    "$aws/things/{name}/shadow/#",
    "$aws/rules/#",
]


@pytest.mark.parametrize(
    ("topic", "names"),
    [
        ("$aws/provisioning-templates/fleet/provision/json", {"templateName": "fleet", "format": "json"}),
        ("$aws/provisioning-templates/a.b/provision/cbor", {"templateName": "a.b", "format": "cbor"}),
        ("$aws/provisioning-templates//provision/json", None),
        ("$aws/provisioning-templates/fleet/provision/xml", None),
        ("$aws/provisioning-templates/fleet/json", None),
        ("$aws/provisioning-templates/a/b/provision/json", None),
        ("$aws/provisioning-templates/fleet/provision/json/accepted", None),
    ],
)
def test_levels_are_found_by_their_names(topic: str, names: Mapping[str, str] | None) -> None:
    assert REGISTER_THING.find(topic) == names


@pytest.mark.parametrize(
    ("topic", "is_matched"),
    [
        ("$aws/events/a", True),
        ("$aws/events/a/b/", True),
        ("$aws/events", False),
        ("$aws/events/", False),
        ("$aws/events//a", False),
        ("$aws/other/a", False),
    ],
)
def test_the_rest_is_one_level_or_more(topic: str, is_matched: bool) -> None:
    assert (EVENTS.find(topic) is not None) is is_matched


def test_a_topic_is_made_of_names() -> None:
    topic = REGISTER_THING.topic({"templateName": "fleet", "format": "json"})
    assert topic == "$aws/provisioning-templates/fleet/provision/json"
    with pytest.raises(KeyError):
        REGISTER_THING.topic({"format": "json"})


def test_policies_have_an_asterisk_for_what_is_not_named() -> None:
    assert REGISTER_THING.in_policies({"templateName": "fleet"}) == "$aws/provisioning-templates/fleet/provision/*"


def test_answers_come_on_the_topic_of_their_request() -> None:
    topic = "$aws/certificates/create/json"
    for outcome in AnswerOutcome:
        answer = answer_topic(topic, outcome)
        assert answer == f"{topic}/{outcome}"
        assert CREATE_KEYS_AND_CERTIFICATE.answers().find(answer) == {"format": "json", "outcome": outcome}
    assert CREATE_KEYS_AND_CERTIFICATE.answers().find(f"{topic}/other") is None


def test_formats_are_those_of_the_topic() -> None:
    assert CREATE_KEYS_AND_CERTIFICATE.formats == (PayloadFormat.JSON, PayloadFormat.CBOR)
    assert EVENTS.formats == ()


def test_events_have_a_subject() -> None:
    assert event_topic("presence/connected/lamp") == "$aws/events/presence/connected/lamp"


LEVELS = ["$aws", "certificates", "create", "templates", "things", "rules", "shadow", "provision", "json", "accepted"]
TOPICS = st.lists(st.sampled_from([*LEVELS, "", "a"]), min_size=1, max_size=7).map("/".join)
FILTERS = st.lists(st.sampled_from([*LEVELS, "", "a", "+", "#"]), min_size=1, max_size=7).map("/".join)


@given(st.sampled_from(PATTERNS).map(TopicPattern), TOPICS, st.data())
def test_a_filter_that_matches_a_topic_of_the_pattern_may_match(
    pattern: TopicPattern, topic: str, data: st.DataObject
) -> None:
    names = {"name": "a", "format": "json", "outcome": "accepted"}
    own = pattern.topic(names)
    topic = f"{own}/{topic.lstrip('/') or 'a'}" if pattern.has_rest else own
    assert pattern.find(topic) is not None
    levels = topic.split("/")
    # Every filter that is made of the topic by wildcards matches it.
    kept = data.draw(st.lists(st.booleans(), min_size=len(levels), max_size=len(levels)))
    text = "/".join(
        level if keep or index == 0 else "+" for index, (level, keep) in enumerate(zip(levels, kept, strict=True))
    )
    assert matches(text, topic)
    assert pattern.may_match(text)
    assert pattern.may_match("/".join([*levels[:-1], "#"]))


@given(st.sampled_from(PATTERNS).map(TopicPattern), FILTERS)
def test_a_filter_that_may_match_matches_a_topic_of_the_pattern(pattern: TopicPattern, text: str) -> None:
    try:
        parse_filter(text)
    except InvalidTopic:
        return
    if not pattern.may_match(text):
        return
    levels = text.split("/")
    own = pattern.text.split("/")
    values = {"{name}": "a", "{format}": "json", "{outcome}": "accepted", "#": "a"}
    filled = [values.get(level, level) for level in own]
    # The topic has the filter's levels where it names them, and the pattern's where it does not.
    made = [
        filled[index] if index < len(filled) and level in ("+", "#") else "a" if level in ("+", "#") else level
        for index, level in enumerate(levels)
    ]
    if levels[-1] == "#":
        made += filled[len(made) :]
    topic = "/".join(made)
    assert matches(text, topic)
    assert pattern.find(topic) is not None or "" in levels
