"""Owns the messages and operations of things' principals, with rules in `registration.registry.thing_principals`."""

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from msgspec import field

from thingmint.api.registry.registry_messages import RegistryNameText
from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Message, PageSize
from thingmint.api.wire.reading.binding import HEADER, PATH, QUERY, RawRequest
from thingmint.core.caller import Caller
from thingmint.core.identifiers import Scope, iot_arn, parse_thing_name
from thingmint.core.registry.thing import ThingPrincipalType
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.registry import thing_principals

_PRINCIPAL_HEADER = "x-amzn-principal"
PrincipalText: TypeAlias = Annotated[str, HEADER]


class AttachThingPrincipalRequest(Message, frozen=True, kw_only=True):
    thing_name: Annotated[RegistryNameText, PATH]
    principal: PrincipalText = field(name=_PRINCIPAL_HEADER)
    thing_principal_type: Annotated[ThingPrincipalType | None, QUERY] = None


async def attach_thing_principal(
    authority: RegistrationAuthority, caller: Caller, request: AttachThingPrincipalRequest
) -> None:
    """Attach a certificate of the account to a thing; with ``EXCLUSIVE_THING``, to no other."""
    name, type_ = parse_thing_name(request.thing_name), request.thing_principal_type
    await thing_principals.attach(authority, caller, name, request.principal, type_)


class DetachThingPrincipalRequest(Message, frozen=True, kw_only=True):
    thing_name: Annotated[RegistryNameText, PATH]
    principal: PrincipalText = field(name=_PRINCIPAL_HEADER)


async def detach_thing_principal(
    authority: RegistrationAuthority, caller: Caller, request: DetachThingPrincipalRequest
) -> None:
    """Detach a certificate from a thing."""
    await thing_principals.detach(authority, caller, parse_thing_name(request.thing_name), request.principal)


class ListThingPrincipalsRequest(Message, frozen=True, kw_only=True):
    thing_name: Annotated[RegistryNameText, PATH]
    next_token: Annotated[str | None, QUERY] = None
    max_results: Annotated[PageSize | None, QUERY] = None


class ListThingPrincipalsResponse(Message, frozen=True, kw_only=True):
    principals: list[str]
    next_token: str | None = None


async def list_thing_principals(
    authority: RegistrationAuthority, caller: Caller, request: ListThingPrincipalsRequest
) -> ListThingPrincipalsResponse:
    """Answer with a page of what is attached to a thing."""
    name = parse_thing_name(request.thing_name)
    listing = Listing("ListThingPrincipals", caller.scope, ascending=True, filters=(name,))
    page_request = listing.page_request(request.max_results, request.next_token)
    page = await thing_principals.list_principals(authority, caller, name, page_request)
    return ListThingPrincipalsResponse(
        principals=[attachment.principal for attachment in page.items], next_token=listing.marker(page.next)
    )


class ListThingPrincipalsV2Request(Message, frozen=True, kw_only=True):
    thing_name: Annotated[RegistryNameText, PATH]
    next_token: Annotated[str | None, QUERY] = None
    max_results: Annotated[PageSize | None, QUERY] = None
    thing_principal_type: Annotated[ThingPrincipalType | None, QUERY] = None


class ThingPrincipalObject(Message, frozen=True, kw_only=True):
    principal: str
    thing_principal_type: ThingPrincipalType


class ListThingPrincipalsV2Response(Message, frozen=True, kw_only=True):
    thing_principal_objects: list[ThingPrincipalObject]
    next_token: str | None = None


async def list_thing_principals_v2(
    authority: RegistrationAuthority, caller: Caller, request: ListThingPrincipalsV2Request
) -> ListThingPrincipalsV2Response:
    """Answer with a page of what is attached to a thing, and how."""
    name, type_ = parse_thing_name(request.thing_name), request.thing_principal_type
    listing = Listing("ListThingPrincipalsV2", caller.scope, ascending=True, filters=(name, type_ or ""))
    page_request = listing.page_request(request.max_results, request.next_token)
    page = await thing_principals.list_principals(authority, caller, name, page_request, type_)
    return ListThingPrincipalsV2Response(
        thing_principal_objects=[
            ThingPrincipalObject(principal=attachment.principal, thing_principal_type=attachment.type)
            for attachment in page.items
        ],
        next_token=listing.marker(page.next),
    )


class ListPrincipalThingsRequest(Message, frozen=True, kw_only=True):
    principal: PrincipalText = field(name=_PRINCIPAL_HEADER)
    next_token: Annotated[str | None, QUERY] = None
    max_results: Annotated[PageSize | None, QUERY] = None


class ListPrincipalThingsResponse(Message, frozen=True, kw_only=True):
    things: list[str]
    next_token: str | None = None


async def list_principal_things(
    authority: RegistrationAuthority, caller: Caller, request: ListPrincipalThingsRequest
) -> ListPrincipalThingsResponse:
    """Answer with a page of the things that a certificate is attached to."""
    listing = Listing("ListPrincipalThings", caller.scope, ascending=True, filters=(request.principal,))
    page_request = listing.page_request(request.max_results, request.next_token)
    page = await thing_principals.list_things(authority, caller, request.principal, page_request)
    return ListPrincipalThingsResponse(
        things=[attachment.thing_name for attachment in page.items], next_token=listing.marker(page.next)
    )


class ListPrincipalThingsV2Request(Message, frozen=True, kw_only=True):
    principal: PrincipalText = field(name=_PRINCIPAL_HEADER)
    next_token: Annotated[str | None, QUERY] = None
    max_results: Annotated[PageSize | None, QUERY] = None
    thing_principal_type: Annotated[ThingPrincipalType | None, QUERY] = None


class PrincipalThingObject(Message, frozen=True, kw_only=True):
    thing_name: str
    thing_principal_type: ThingPrincipalType


class ListPrincipalThingsV2Response(Message, frozen=True, kw_only=True):
    principal_thing_objects: list[PrincipalThingObject]
    next_token: str | None = None


async def list_principal_things_v2(
    authority: RegistrationAuthority, caller: Caller, request: ListPrincipalThingsV2Request
) -> ListPrincipalThingsV2Response:
    """Answer with a page of the things that a certificate is attached to, and how."""
    principal, type_ = request.principal, request.thing_principal_type
    listing = Listing("ListPrincipalThingsV2", caller.scope, ascending=True, filters=(principal, type_ or ""))
    page_request = listing.page_request(request.max_results, request.next_token)
    page = await thing_principals.list_things(authority, caller, principal, page_request, type_)
    return ListPrincipalThingsV2Response(
        principal_thing_objects=[
            PrincipalThingObject(thing_name=attachment.thing_name, thing_principal_type=attachment.type)
            for attachment in page.items
        ],
        next_token=listing.marker(page.next),
    )


def principal_in_header(scope: Scope, request: RawRequest) -> str:
    """Return the principal in the header, with a certificate's id in lower case, or every resource."""
    del scope
    value = next((value for name, value in request.headers if name == _PRINCIPAL_HEADER.encode()), b"*")
    resource, separator, certificate_id = value.decode("latin-1").partition(":cert/")
    return resource + separator + certificate_id.lower()


def thing_arn_context(scope: Scope, request: RawRequest) -> Mapping[str, tuple[str, ...]]:
    """Return the ARN of the thing that the principal is attached to or detached from."""
    return {"iot:thingArn": (iot_arn(scope, f"thing/{request.labels['thingName']}"),)}
