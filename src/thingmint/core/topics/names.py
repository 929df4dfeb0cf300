"""Owns the valid topics and topic filters and what a filter matches, by AWS's rules. Independent of policies.

Differs from MQTT where AWS does: ``a/#`` does not match ``a``; at most 256 bytes and seven slashes, not counting the
mandatory segments of Basic Ingest (``$aws/rules/NAME/``) and of shared subscriptions (``$share/GROUP/``).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from thingmint.core.topics.texts import has_unsafe_character

MAX_TOPIC_BYTES: Final = 256
MAX_SLASHES: Final = 7

SEPARATOR: Final = "/"
ANY_LEVEL: Final = "+"
ANY_LEVELS: Final = "#"
RESERVED_PREFIX: Final = "$"
SHARED_PREFIX: Final = "$share/"
BASIC_INGEST_PREFIX: Final = "$aws/rules/"
_LAST_LEVELS: Final = SEPARATOR + ANY_LEVELS
# Devices publish to the same topics again and again.
_REMEMBERED_TOPICS: Final = 1024


@dataclass(frozen=True, slots=True)
class TopicFilter:
    """A valid filter. ``group`` is a shared subscription's; ``pattern`` is the filter without ``$share/GROUP/``."""

    text: str
    pattern: str
    group: str | None


class InvalidTopic(ValueError):
    """The topic or the filter breaks a rule, which the message names."""


class UnsafeTopic(InvalidTopic):
    """The only fault is a character because of which a receiver may end its connection."""


def is_reserved(topic: str) -> bool:
    """Return whether the topic or filter is reserved for the service, not for messages between devices."""
    return topic.startswith(RESERVED_PREFIX)


def has_wildcard(text: str) -> bool:
    """Return whether the text has a wildcard of topic filters, which topics must not have."""
    return ANY_LEVEL in text or ANY_LEVELS in text


def check_topic(topic: str) -> None:
    """Raise InvalidTopic unless messages can have the topic; UnsafeTopic if it only has an unsafe character."""
    # Longer topics can be valid, too, but are not remembered.
    if len(topic) > MAX_TOPIC_BYTES or not _is_topic(topic):
        _check_topic(topic)


@lru_cache(_REMEMBERED_TOPICS)
def _is_topic(topic: str) -> bool:
    try:
        _check_topic(topic)
    except InvalidTopic:
        return False
    return True


def _check_topic(topic: str) -> None:
    if has_wildcard(topic):
        raise InvalidTopic("A topic holds no wildcard")
    _check_size(topic)
    _check_characters(topic)


def parse_filter(text: str) -> TopicFilter:
    """Return the parsed filter; raise InvalidTopic if it is not valid."""
    _check_characters(text)
    group, pattern = None, text
    if text == SHARED_PREFIX[:-1] or text.startswith(SHARED_PREFIX):
        group, pattern = _shared(text)
    _check_size(pattern)
    if ANY_LEVELS in pattern.removesuffix(_LAST_LEVELS) and pattern != ANY_LEVELS:
        raise InvalidTopic("# stands alone in the last level of a topic filter")
    if ANY_LEVEL in pattern and any(ANY_LEVEL in level and level != ANY_LEVEL for level in pattern.split(SEPARATOR)):
        raise InvalidTopic("+ stands alone in a level of a topic filter")
    return TopicFilter(text, pattern, group)


def matches(pattern: str, topic: str) -> bool:
    """Return whether a valid pattern matches a valid topic; no wildcard matches a first level with ``$`` in front."""
    if is_reserved(topic) and has_wildcard(pattern[0]):
        return False
    expected, levels = pattern.split(SEPARATOR), topic.split(SEPARATOR)
    if expected[-1] == ANY_LEVELS:
        expected = expected[:-1]
        # AWS: # stands for one or more levels. In MQTT it also stands for no level.
        if len(levels) <= len(expected):
            return False
        levels = levels[: len(expected)]
    return len(levels) == len(expected) and all(
        level in (ANY_LEVEL, actual) for level, actual in zip(expected, levels, strict=True)
    )


def received_as(topic: str, group: str | None) -> str:
    """Return the topic for iot:Receive: the topic itself, or ``$share/GROUP/TOPIC`` if the group shares the message."""
    return topic if group is None else f"{SHARED_PREFIX}{group}{SEPARATOR}{topic}"


def _shared(text: str) -> tuple[str, str]:
    _, group, pattern = [*text.split(SEPARATOR, 2), "", ""][:3]
    if not group or has_wildcard(group):
        raise InvalidTopic("A shared subscription names a group, without wildcards")
    # An answer of the service on a reserved topic is for one connection, so it cannot be shared.
    if is_reserved(pattern):
        raise InvalidTopic("Reserved topics cannot be shared")
    return group, pattern


def _check_characters(text: str) -> None:
    if has_unsafe_character(text):
        raise UnsafeTopic("A topic or topic filter holds no NUL, no other control character and no noncharacter")


def _check_size(topic: str) -> None:
    counted = topic
    if topic.startswith(BASIC_INGEST_PREFIX):
        rule, slash, rest = topic[len(BASIC_INGEST_PREFIX) :].partition(SEPARATOR)
        counted = rest if rule and slash else topic
    if not counted:
        raise InvalidTopic("A topic or topic filter is not empty")
    if len(counted.encode("utf-8", "surrogatepass")) > MAX_TOPIC_BYTES:
        raise InvalidTopic(f"A topic or topic filter is at most {MAX_TOPIC_BYTES} bytes long")
    if counted.count(SEPARATOR) > MAX_SLASHES:
        raise InvalidTopic(f"A topic or topic filter has at most {MAX_SLASHES} slashes")
