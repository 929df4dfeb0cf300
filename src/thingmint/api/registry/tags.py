"""Owns the messages and operations of tags. `registration` decides which resources may have tags, and how many."""

import re
from typing import Annotated

from thingmint.api.wire.messages import Message, Tag, TagKeyText, tags_of
from thingmint.api.wire.reading.binding import BODY, QUERY, RawRequest
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import Scope, ThingName, iot_arn, parse_certificate_id
from thingmint.registration.certificates import certificates
from thingmint.registration.kernel import tags
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.registry import things

_ARN = re.compile(r"arn:[\w-]+:[\w-]+:[\w-]*:[0-9]*:[^\0]+", re.ASCII)
# Ids are changed to lower case, so that a Deny cannot be evaded by another spelling.
_ID_IN_ARN = re.compile(r":(?:ca)?cert/.*", re.DOTALL)


class TagResourceRequest(Message, frozen=True, kw_only=True):
    resource_arn: Annotated[str, BODY]
    tags: Annotated[list[Tag], BODY]


async def tag_resource(authority: RegistrationAuthority, caller: Caller, request: TagResourceRequest) -> None:
    """Add tags to a resource: at most 50 in all, with keys that do not start with ``aws:``."""
    _ensure_arn(request.resource_arn)
    await tags.tag(authority, caller, request.resource_arn, tags_of(request.tags))


class UntagResourceRequest(Message, frozen=True, kw_only=True):
    resource_arn: Annotated[str, BODY]
    tag_keys: Annotated[list[TagKeyText], BODY]


async def untag_resource(authority: RegistrationAuthority, caller: Caller, request: UntagResourceRequest) -> None:
    """Remove tags from a resource; keys that it does not have are ignored."""
    _ensure_arn(request.resource_arn)
    await tags.untag(authority, caller, request.resource_arn, request.tag_keys)


class ListTagsForResourceRequest(Message, frozen=True, kw_only=True):
    resource_arn: Annotated[str, QUERY]
    next_token: Annotated[str | None, QUERY] = None


class ListTagsForResourceResponse(Message, frozen=True, kw_only=True):
    tags: list[Tag]
    next_token: str | None = None


async def list_tags_for_resource(
    authority: RegistrationAuthority, caller: Caller, request: ListTagsForResourceRequest
) -> ListTagsForResourceResponse:
    """Answer with all tags of a resource in one page; certificates and things have none."""
    arn = request.resource_arn
    _ensure_arn(arn)
    if request.next_token is not None:
        raise InvalidRequest("nextToken is not valid: the tags of a resource fit in one page")
    if await _is_untagged(authority, caller, arn):
        return ListTagsForResourceResponse(tags=[])
    found = await tags.list_tags(authority, caller, arn)
    return ListTagsForResourceResponse(tags=[Tag(key=key, value=value) for key, value in found.items()])


async def _is_untagged(authority: RegistrationAuthority, caller: Caller, arn: str) -> bool:
    """Return whether this kind of resource has no tags; raise ResourceNotFound if so and it does not exist."""
    certificate, thing = iot_arn(caller.scope, "cert/"), iot_arn(caller.scope, "thing/")
    if arn.startswith(certificate):
        await certificates.describe(authority, caller, parse_certificate_id(arn.removeprefix(certificate)))
    elif arn.startswith(thing):
        await things.describe(authority, caller, ThingName(arn.removeprefix(thing)))
    else:
        return False
    return True


def _ensure_arn(text: str) -> None:
    if not _ARN.fullmatch(text):
        raise InvalidRequest("resourceArn is not an ARN")


def _named(arn: object) -> str:
    if not isinstance(arn, str) or not arn:
        return "*"
    return _ID_IN_ARN.sub(lambda tail: tail[0].lower(), arn)


def resource_in_query(scope: Scope, request: RawRequest) -> str:
    """Return the resource in the query, or every resource."""
    del scope
    return _named(request.first("resourceArn"))


def resource_in_body(scope: Scope, request: RawRequest) -> str:
    """Return the resource in the body, or every resource."""
    del scope
    return _named(request.unchecked_members.get("resourceArn"))
