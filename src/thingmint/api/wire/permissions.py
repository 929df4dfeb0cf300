"""Owns the further inputs to the caller's policies for an operation: condition keys, tags, and passed roles.

Works on the unchecked request, because policies are evaluated first. So no content makes it fail except hundreds of
tags. A member in the wrong form counts as absent; the request is refused later, when it is bound.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from thingmint.api.wire.reading.binding import RawRequest
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import Scope
from thingmint.registration.policies.authorization import Permission

TAG_RESOURCE = "iot:TagResource"
# A resource has at most 50 tags; a request may set all of them and remove as many.
_MOST_TAG_KEYS = 200
_ROLE_ACTION = "iam:PassRole"
IOT_SERVICE = "iot.amazonaws.com"
CREDENTIALS_SERVICE = "credentials.iot.amazonaws.com"

Context: TypeAlias = Mapping[str, tuple[str, ...]]

FurtherOf: TypeAlias = Callable[[Scope, RawRequest], Sequence[Permission]]
"""Returns the permissions that an operation needs besides its own."""


def request_tags(raw: RawRequest) -> Mapping[str, str]:
    """Return the well-formed tags that the request sets."""
    tags = raw.unchecked_members.get("tags")
    if not isinstance(tags, list):
        return {}
    pairs = [(tag.get("Key"), tag.get("Value")) for tag in tags if isinstance(tag, dict)]
    return {key: value if isinstance(value, str) else "" for key, value in pairs if isinstance(key, str)}


def tag_context(raw: RawRequest) -> Context:
    """Return the condition keys of the tags that the request sets or removes; none if it has no tags.

    Raises InvalidRequest for more tags than any resource can have, because policies match each tag with each value.
    """
    tags, removed = request_tags(raw), raw.unchecked_members.get("tagKeys")
    keys = [*tags, *(key for key in removed if isinstance(key, str))] if isinstance(removed, list) else [*tags]
    if len(keys) > _MOST_TAG_KEYS:
        raise InvalidRequest(f"A request speaks of at most {_MOST_TAG_KEYS} tags")
    if not keys:
        return {}
    return {"aws:TagKeys": tuple(keys), **{f"aws:RequestTag/{key}": (value,) for key, value in tags.items()}}


def passes_role(*members: str, to: str = IOT_SERVICE) -> FurtherOf:
    """Return the function that requires iam:PassRole on the role in the body; ``members`` are the nested path to it."""

    def role(scope: Scope, raw: RawRequest) -> Sequence[Permission]:
        del scope
        value: object = raw.unchecked_members
        for member in members:
            value = value.get(member) if isinstance(value, dict) else None
        if not isinstance(value, str) or not value:
            return ()
        return (Permission(_ROLE_ACTION, value, {"iam:PassedToService": (to,)}),)

    return role
