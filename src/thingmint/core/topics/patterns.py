"""Owns patterns of reserved topics, such as ``$aws/certificates/create/{format}``. Does not serve them.

In a pattern ``{name}`` stands for one level that is not empty, ``{format}`` for ``json`` or ``cbor``, ``{outcome}`` for
``accepted`` or ``rejected``. ``#`` at the end stands for one or more levels, the first of which is not empty.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from thingmint.core.topics.names import ANY_LEVEL, ANY_LEVELS, SEPARATOR


class PayloadFormat(StrEnum):
    """The format of payloads. The topic names it, for the request and for its answer."""

    JSON = "json"
    CBOR = "cbor"


class AnswerOutcome(StrEnum):
    """The last level of the topic of an answer."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


FORMAT: Final = "format"
_OUTCOME: Final = "outcome"
_CHOICES: Final[Mapping[str, frozenset[str]]] = {FORMAT: frozenset(PayloadFormat), _OUTCOME: frozenset(AnswerOutcome)}


def answer_topic(topic: str, outcome: AnswerOutcome) -> str:
    """Return the topic of the answer to a request on the topic."""
    return f"{topic}{SEPARATOR}{outcome}"


class TopicPattern:
    """A compiled pattern. ``text`` is its source."""

    __slots__ = ("_levels", "_names", "has_rest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        levels = text.split(SEPARATOR)
        self.has_rest = levels[-1] == ANY_LEVELS
        self._levels = levels[:-1] if self.has_rest else levels
        self._names = [level[1:-1] if level.startswith("{") else None for level in self._levels]

    @property
    def formats(self) -> tuple[PayloadFormat, ...]:
        """The formats of the topic; none if the topic does not name a format."""
        return tuple(PayloadFormat) if FORMAT in self._names else ()

    def answers(self) -> "TopicPattern":
        """Return the pattern of the topics of the answers."""
        return TopicPattern(f"{self.text}{SEPARATOR}{{{_OUTCOME}}}")

    def find(self, topic: str) -> Mapping[str, str] | None:
        """Return the levels of a topic by the names that the pattern gives them, or None if it does not match."""
        levels = topic.split(SEPARATOR)
        own = len(self._levels)
        if len(levels) < own or (len(levels) == own) == self.has_rest:
            return None
        if self.has_rest and not levels[own]:
            return None
        if not all(map(self._takes, range(own), levels)):
            return None
        return {name: level for name, level in zip(self._names, levels, strict=False) if name is not None}

    def may_match(self, topic_filter: str) -> bool:
        """Return whether there is a topic that both the pattern and a valid topic filter match."""
        levels = topic_filter.split(SEPARATOR)
        # No wildcard matches the first level of a reserved topic (MQTT 5, 4.7.2).
        if levels[0] != self._levels[0]:
            return False
        for index, level in enumerate(levels):
            if index == len(self._levels):
                return self.has_rest
            if level == ANY_LEVELS:
                return True
            if level != ANY_LEVEL and not self._takes(index, level):
                return False
        return len(levels) == len(self._levels) and not self.has_rest

    def topic(self, names: Mapping[str, str]) -> str:
        """Return the topic with the names replaced by these levels; raise KeyError if one is missing."""
        return SEPARATOR.join(
            level if name is None else names[name] for level, name in zip(self._levels, self._names, strict=True)
        )

    def in_policies(self, names: Mapping[str, str]) -> str:
        """Return the text that matches the pattern's topics and their answers in a policy's resource.

        ``names`` are the values of levels by name. Every other level becomes ``*``.
        """
        return SEPARATOR.join(
            level if name is None else names.get(name, "*")
            for level, name in zip(self._levels, self._names, strict=True)
        )

    def _takes(self, index: int, level: str) -> bool:
        name = self._names[index]
        if name is None:
            return level == self._levels[index]
        return level in _CHOICES[name] if name in _CHOICES else level != ""


CREATE_KEYS_AND_CERTIFICATE: Final = TopicPattern("$aws/certificates/create/{format}")
CREATE_CERTIFICATE_FROM_CSR: Final = TopicPattern("$aws/certificates/create-from-csr/{format}")
TEMPLATE_NAME: Final = "templateName"
REGISTER_THING: Final = TopicPattern("$aws/provisioning-templates/{templateName}/provision/{format}")

EVENTS: Final = TopicPattern("$aws/events/#")


def event_topic(subject: str) -> str:
    """Return the topic of an event of the service. The subject has one or more levels."""
    return f"{EVENTS.text[:-1]}{subject}"
