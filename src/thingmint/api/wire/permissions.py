"""Owns what an operation needs of the caller's policies beside its own name: condition keys, tags, and roles passed on.

Works on the unchecked request, because policies are asked before anything else of it is read: for any content,
nothing here fails but what has hundreds of tags. What has the wrong form counts as absent, and the request is refused
when it is bound.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from thingmint.api.wire.binding import RawRequest
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import Scope
from thingmint.registration.policies.authorization import Permission

TAG_RESOURCE = "iot:TagResource"
# A resource has 50 tags; a request may set all of them and take as many away.
_MOST_TAG_KEYS = 200
_ROLE_ACTION = "iam:PassRole"
IOT_SERVICE = "iot.amazonaws.com"
CREDENTIALS_SERVICE = "credentials.iot.amazonaws.com"

Context: TypeAlias = Mapping[str, tuple[str, ...]]

FurtherOf: TypeAlias = Callable[[Scope, RawRequest], Sequence[Permission]]
"""Names the permissions that an operation needs besides its own."""


def request_tags(raw: RawRequest) -> Mapping[str, str]:
    """Return the tags that the request sets, those that have the form of a tag."""
    tags = raw.unchecked_members.get("tags")
    if not isinstance(tags, list):
        return {}
    pairs = [(tag.get("Key"), tag.get("Value")) for tag in tags if isinstance(tag, dict)]
    return {key: value if isinstance(value, str) else "" for key, value in pairs if isinstance(key, str)}


def tag_context(raw: RawRequest) -> Context:
    """Return the condition keys of the tags that the request sets or takes away; none if it speaks of no tags.

    Raises InvalidRequest for more tags than any resource can have, because policies try each of them on each value.
    """
    tags, removed = request_tags(raw), raw.unchecked_members.get("tagKeys")
    keys = [*tags, *(key for key in removed if isinstance(key, str))] if isinstance(removed, list) else [*tags]
    if len(keys) > _MOST_TAG_KEYS:
        raise InvalidRequest(f"A request speaks of at most {_MOST_TAG_KEYS} tags")
    if not keys:
        return {}
    return {"aws:TagKeys": tuple(keys), **{f"aws:RequestTag/{key}": (value,) for key, value in tags.items()}}


def passes_role(*members: str, to: str = IOT_SERVICE) -> FurtherOf:
    """Return what asks whether the caller may pass the role on that the body names, by these members one in another."""

    def role(scope: Scope, raw: RawRequest) -> Sequence[Permission]:
        del scope
        value: object = raw.unchecked_members
        for member in members:
            value = value.get(member) if isinstance(value, dict) else None
        if not isinstance(value, str) or not value:
            return ()
        return (Permission(_ROLE_ACTION, value, {"iam:PassedToService": (to,)}),)

    return role
