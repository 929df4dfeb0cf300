"""Owns the messages and operations of things. Their rules are in `registration.registry.things`."""

from typing import Annotated

from thingmint.api.registry.registry_messages import (
    AttributeNameText,
    AttributePayloadMessage,
    AttributeValueText,
    RegistryNameText,
    new_attributes,
    payload_of,
)
from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Message, PageSize
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import parse_billing_group_name, parse_thing_name, parse_thing_type_name
from thingmint.core.registry.thing import Thing, ThingUpdate
from thingmint.core.registry.thing_filter import AttributeFilter, ThingFilter
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.registry import things


class CreateThingRequest(Message, frozen=True, kw_only=True):
    thing_name: Annotated[RegistryNameText, PATH]
    thing_type_name: Annotated[RegistryNameText | None, BODY] = None
    attribute_payload: Annotated[AttributePayloadMessage | None, BODY] = None
    billing_group_name: Annotated[RegistryNameText | None, BODY] = None


class CreateThingResponse(Message, frozen=True, kw_only=True):
    thing_name: str
    thing_arn: str
    thing_id: str


async def create_thing(
    authority: RegistrationAuthority, caller: Caller, request: CreateThingRequest
) -> CreateThingResponse:
    """Create a thing, or answer as before if one was created with the same request.

    3 attributes without a type, 50 with one.
    """
    type_name, billing_group_name = request.thing_type_name, request.billing_group_name
    wanted = things.new_thing(
        authority,
        caller,
        parse_thing_name(request.thing_name),
        type_name=None if type_name is None else parse_thing_type_name(type_name),
        billing_group_name=None if billing_group_name is None else parse_billing_group_name(billing_group_name),
        attributes=new_attributes(request.attribute_payload),
    )
    thing = await things.create(authority, caller, wanted)
    return CreateThingResponse(thing_name=thing.name, thing_arn=thing.arn, thing_id=thing.thing_id)


class DescribeThingRequest(Message, frozen=True, kw_only=True):
    thing_name: Annotated[RegistryNameText, PATH]


class DescribeThingResponse(Message, frozen=True, kw_only=True):
    default_client_id: str
    thing_name: str
    thing_id: str
    thing_arn: str
    thing_type_name: str | None = None
    attributes: dict[str, str]
    version: int
    billing_group_name: str | None = None


async def describe_thing(
    authority: RegistrationAuthority, caller: Caller, request: DescribeThingRequest
) -> DescribeThingResponse:
    """Answer with everything that is known of a thing."""
    thing = await things.describe(authority, caller, parse_thing_name(request.thing_name))
    return DescribeThingResponse(
        default_client_id=thing.default_client_id,
        thing_name=thing.name,
        thing_id=thing.thing_id,
        thing_arn=thing.arn,
        thing_type_name=thing.type_name,
        attributes=thing.attributes.as_dict(),
        version=thing.version,
        billing_group_name=thing.billing_group_name,
    )


class UpdateThingRequest(Message, frozen=True, kw_only=True):
    thing_name: Annotated[RegistryNameText, PATH]
    thing_type_name: Annotated[RegistryNameText | None, BODY] = None
    attribute_payload: Annotated[AttributePayloadMessage | None, BODY] = None
    expected_version: Annotated[int | None, BODY] = None
    remove_thing_type: Annotated[bool | None, BODY] = None


async def update_thing(authority: RegistrationAuthority, caller: Caller, request: UpdateThingRequest) -> None:
    """Change the type or the attributes of a thing; ``expectedVersion`` is respected."""
    type_name = request.thing_type_name
    wanted = ThingUpdate(
        type_name=None if type_name is None else parse_thing_type_name(type_name),
        remove_type=bool(request.remove_thing_type),
        payload=payload_of(request.attribute_payload),
        expected_version=request.expected_version,
    )
    await things.update(authority, caller, parse_thing_name(request.thing_name), wanted)


class DeleteThingRequest(Message, frozen=True, kw_only=True):
    thing_name: Annotated[RegistryNameText, PATH]
    expected_version: Annotated[int | None, QUERY] = None


async def delete_thing(authority: RegistrationAuthority, caller: Caller, request: DeleteThingRequest) -> None:
    """Delete a thing, if it exists; refused while a principal is attached to it."""
    await things.delete(authority, caller, parse_thing_name(request.thing_name), request.expected_version)


class ListThingsRequest(Message, frozen=True, kw_only=True):
    next_token: Annotated[str | None, QUERY] = None
    max_results: Annotated[PageSize | None, QUERY] = None
    attribute_name: Annotated[AttributeNameText | None, QUERY] = None
    attribute_value: Annotated[AttributeValueText | None, QUERY] = None
    thing_type_name: Annotated[RegistryNameText | None, QUERY] = None
    use_prefix_attribute_value: Annotated[bool | None, QUERY] = None


class ThingAttribute(Message, frozen=True, kw_only=True):
    thing_name: str
    thing_type_name: str | None = None
    thing_arn: str
    attributes: dict[str, str]
    version: int


class ListThingsResponse(Message, frozen=True, kw_only=True):
    things: list[ThingAttribute]
    next_token: str | None = None


async def list_things(
    authority: RegistrationAuthority, caller: Caller, request: ListThingsRequest
) -> ListThingsResponse:
    """Answer with a page of the account's things: all, those of a type, those with an attribute, or both.

    An attribute has the whole value, or starts with it (``usePrefixAttributeValue``).
    """
    wanted = _filter(request)
    filters = (wanted.type_name or "", *_described(wanted.attribute))
    listing = Listing("ListThings", caller.scope, ascending=True, filters=filters)
    page_request = listing.page_request(request.max_results, request.next_token)
    page = await things.list_things(authority, caller, wanted, page_request)
    return ListThingsResponse(things=[_entry(thing) for thing in page.items], next_token=listing.marker(page.next))


def _filter(request: ListThingsRequest) -> ThingFilter:
    name, value, type_name = request.attribute_name, request.attribute_value, request.thing_type_name
    if name is None and value is not None:
        raise InvalidRequest("attributeValue must be given with an attributeName")
    # A name without a value selects all things that have the attribute: every value starts with the empty prefix.
    is_prefix = value is None or bool(request.use_prefix_attribute_value)
    return ThingFilter(
        None if type_name is None else parse_thing_type_name(type_name),
        None if name is None else AttributeFilter(name, value or "", is_prefix=is_prefix),
    )


def _described(attribute: AttributeFilter | None) -> tuple[str, ...]:
    return () if attribute is None else (attribute.name, attribute.value, str(attribute.is_prefix))


def _entry(thing: Thing) -> ThingAttribute:
    return ThingAttribute(
        thing_name=thing.name,
        thing_type_name=thing.type_name,
        thing_arn=thing.arn,
        attributes=thing.attributes.as_dict(),
        version=thing.version,
    )
