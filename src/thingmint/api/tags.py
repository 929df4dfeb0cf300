"""Owns the tag operations. Nothing in the registry has tags yet: at AWS, certificates have none either."""

import re
from functools import partial
from typing import Annotated

from msgspec import Struct

from thingmint.api.binding import QUERY, RawRequest
from thingmint.api.operation import Operation, implemented
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import Scope, iot_arn, parse_certificate_id
from thingmint.registration import certificates
from thingmint.registration.authority import RegistrationAuthority

_ARN = re.compile(r"arn:[\w-]+:[\w-]+:[\w-]*:[0-9]*:.+", re.ASCII)


class ListTagsForResourceRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    resource_arn: Annotated[str, QUERY]
    next_token: Annotated[str | None, QUERY] = None


class Tag(Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    key: str
    value: str | None = None


class ListTagsForResourceResponse(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    tags: list[Tag]
    next_token: str | None = None


async def list_tags_for_resource(
    authority: RegistrationAuthority, caller: Caller, request: ListTagsForResourceRequest
) -> ListTagsForResourceResponse:
    """Answer with no tags for a certificate; raise ResourceNotFound for what the registry does not hold."""
    if not _ARN.fullmatch(request.resource_arn):
        raise InvalidRequest("resourceArn is not an ARN")
    if request.next_token is not None:
        raise InvalidRequest("nextToken is not valid: the tags of a resource fit in one page")
    prefix = iot_arn(caller.scope, "cert/")
    if not request.resource_arn.startswith(prefix):
        raise ResourceNotFound("The resource given in the request does not exist")
    certificate_id = parse_certificate_id(request.resource_arn.removeprefix(prefix))
    await certificates.describe(authority, caller, certificate_id)
    return ListTagsForResourceResponse(tags=[])


def tagged_resource(scope: Scope, request: RawRequest) -> str:
    """Name the resource of the query, a certificate in the case in which it is looked up, or every resource."""
    del scope
    resource, separator, certificate_id = (request.first("resourceArn") or "*").partition(":cert/")
    return resource + separator + certificate_id.lower()


def tag_operations(authority: RegistrationAuthority) -> tuple[Operation, ...]:
    """Return the operations of this module, working for the authority."""
    return (
        implemented(
            "ListTagsForResource",
            partial(list_tags_for_resource, authority),
            ListTagsForResourceRequest,
            ListTagsForResourceResponse,
            tagged_resource,
        ),
    )
