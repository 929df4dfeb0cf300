"""Owns which topics that start with ``$`` the gateway serves, and how; decides nothing about who may use them.

AWS IoT reserves them all. Requests for certificates go to three of them; the answers come on the same topics with
``/accepted`` or ``/rejected``, on the connection that asked and on no other. Events of the service
go to the clients that subscribe to ``$aws/events/…`` and may receive them.
"""

from typing import Final, TypeAlias

_FORMATS: Final = ("json", "cbor")
_OUTCOMES: Final = ("accepted", "rejected")
_CREATES_KEY: Final = "$aws/certificates/create/"
# A level that the client chooses.
_ANY: Final = None
_Form: TypeAlias = tuple[tuple[str, ...] | None, ...]
_REQUESTS: Final[tuple[_Form, ...]] = (
    (("$aws",), ("certificates",), ("create",), _FORMATS),
    (("$aws",), ("certificates",), ("create-from-csr",), _FORMATS),
    (("$aws",), ("provisioning-templates",), _ANY, ("provision",), _FORMATS),
)
_ANSWERS: Final[tuple[_Form, ...]] = tuple((*request, _OUTCOMES) for request in _REQUESTS)

# What AWS IoT serves below these, and this service does not: shadows, jobs, Device Defender, streams, tunnels, Basic
# Ingest, commands, locations. https://docs.aws.amazon.com/iot/latest/developerguide/reserved-topics.html
_SERVED_BY_AWS: Final[tuple[_Form, ...]] = (
    (("$aws",), ("things",), _ANY, ("shadow", "jobs", "defender", "streams", "tunnels"), _ANY),
    (("$aws",), ("rules",), _ANY),
    (("$aws",), ("commands",), ("things", "clients"), _ANY, _ANY),
    (("$aws",), ("device_location",), _ANY, _ANY),
)


def is_reserved(topic: str) -> bool:
    """Return whether the topic or filter is not for messages between devices."""
    return topic.startswith("$")


def is_provisioning_request(topic: str) -> bool:
    """Return whether a message to the topic asks for a certificate or for its provisioning."""
    levels = topic.split("/")
    return any(_is(levels, request) for request in _REQUESTS)


def asks_for_a_key(topic: str) -> bool:
    """Return whether a provisioning request needs a new key, which takes long to generate."""
    return topic.startswith(_CREATES_KEY)


def is_served_by_aws_only(topic: str) -> bool:
    """Return whether AWS IoT takes messages to the topic and this service has no use for them."""
    levels = topic.split("/")
    return any(_is(levels[: len(form)], form) for form in _SERVED_BY_AWS)


def may_match_an_answer(pattern: str) -> bool:
    """Return whether answers exist that the valid filter matches: others would wait for ever."""
    levels = pattern.split("/")
    return any(_meets(levels, form) for form in _ANSWERS)


def may_match_an_event(pattern: str) -> bool:
    """Return whether a valid filter may match an event of a connection's life, of a registry, or of a registration."""
    levels = pattern.split("/")
    return levels[0] == "$aws" and (levels[1:] == ["#"] or (len(levels) > 2 and levels[1] in ("events", "+")))


def _is(levels: list[str], form: _Form) -> bool:
    return len(levels) == len(form) and all(
        level != "" if choices is _ANY else level in choices for level, choices in zip(levels, form, strict=True)
    )


def _meets(levels: list[str], form: _Form) -> bool:
    # No wildcard matches the first level: it starts with $.
    if levels[0] != "$aws":
        return False
    if levels[-1] == "#":
        levels = levels[:-1]
        if len(levels) >= len(form):
            return False
        form = form[: len(levels)]
    return len(levels) == len(form) and all(
        choices is _ANY or level == "+" or level in choices for level, choices in zip(levels, form, strict=True)
    )
