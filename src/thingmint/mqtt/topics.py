"""Owns which topics and topic filters are valid and what a filter matches, by AWS's rules; refuses to know policies.

Differs from MQTT where AWS does: ``a/#`` does not match ``a``; at most 256 bytes and seven slashes, not counting what
comes before a rule's own topic in Basic Ingest (``$aws/rules/NAME/``).
"""

from dataclasses import dataclass
from typing import Final

MAX_TOPIC_BYTES: Final = 256
MAX_SLASHES: Final = 7


@dataclass(frozen=True, slots=True)
class TopicFilter:
    """A valid filter. ``group`` is that of a shared subscription; ``pattern`` is the filter without ``$share/GROUP/``."""

    text: str
    pattern: str
    group: str | None


class InvalidTopic(ValueError):
    """The topic or the filter breaks a rule; the message says which."""


def check_topic(topic: str) -> None:
    """Return if messages may be published to the topic; raise InvalidTopic otherwise."""
    raise NotImplementedError


def parse_filter(text: str) -> TopicFilter:
    """Return the filter taken apart; raise InvalidTopic if it is none."""
    raise NotImplementedError


def matches(pattern: str, topic: str) -> bool:
    """Say whether a valid pattern matches a valid topic; wildcards never match a first level that starts with ``$``."""
    raise NotImplementedError
