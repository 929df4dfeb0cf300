"""Owns the messages and operations of thing types. Their rules are in `registration.registry.thing_types`."""

from typing import Annotated

from thingmint.api.registry.registry_messages import (
    AttributeNameText,
    DescriptionText,
    RegistryNameText,
)
from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Message, PageSize, Tag, Timestamp, tags_of
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.api.wire.reading.codec import epoch_seconds
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.identifiers import parse_thing_type_name
from thingmint.core.registry.thing_type import (
    PropagatingAttribute,
    ThingType,
    ThingTypeProperties,
    ThingTypeUpdate,
    ensure_few_propagating_attributes,
)
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.registry import thing_types


class PropagatingAttributeMessage(Message, frozen=True, kw_only=True):
    user_property_key: Annotated[str, Constraint(max_length=128, pattern="[a-zA-Z0-9:$.]+")] | None = None
    thing_attribute: AttributeNameText | None = None
    connection_attribute: Annotated[str, Constraint(max_length=128, pattern="[a-zA-Z0-9:.]+")] | None = None


class Mqtt5Configuration(Message, frozen=True, kw_only=True):
    propagating_attributes: list[PropagatingAttributeMessage] | None = None


class ThingTypePropertiesMessage(Message, frozen=True, kw_only=True):
    thing_type_description: DescriptionText | None = None
    searchable_attributes: list[AttributeNameText] | None = None
    mqtt5_configuration: Mqtt5Configuration | None = None


class CreateThingTypeRequest(Message, frozen=True, kw_only=True):
    thing_type_name: Annotated[RegistryNameText, PATH]
    thing_type_properties: Annotated[ThingTypePropertiesMessage | None, BODY] = None
    tags: Annotated[list[Tag] | None, BODY] = None


class CreateThingTypeResponse(Message, frozen=True, kw_only=True):
    thing_type_name: str
    thing_type_arn: str
    thing_type_id: str


async def create_thing_type(
    authority: RegistrationAuthority, caller: Caller, request: CreateThingTypeRequest
) -> CreateThingTypeResponse:
    """Create a thing type, or answer as before if one was created with the same request.

    Its searchable attributes cannot be changed later.
    """
    name, properties = parse_thing_type_name(request.thing_type_name), _properties(request.thing_type_properties)
    created = await thing_types.create(authority, caller, name, properties, tags_of(request.tags))
    return CreateThingTypeResponse(
        thing_type_name=created.name, thing_type_arn=created.arn, thing_type_id=created.type_id
    )


class DescribeThingTypeRequest(Message, frozen=True, kw_only=True):
    thing_type_name: Annotated[RegistryNameText, PATH]


class ThingTypeMetadata(Message, frozen=True, kw_only=True):
    # False is encoded, too; only members that are None are omitted.
    deprecated: bool
    deprecation_date: Timestamp | None = None
    creation_date: Timestamp


class DescribeThingTypeResponse(Message, frozen=True, kw_only=True):
    thing_type_name: str
    thing_type_id: str
    thing_type_arn: str
    thing_type_properties: ThingTypePropertiesMessage
    thing_type_metadata: ThingTypeMetadata


async def describe_thing_type(
    authority: RegistrationAuthority, caller: Caller, request: DescribeThingTypeRequest
) -> DescribeThingTypeResponse:
    """Answer with everything that is known of a thing type."""
    thing_type = await thing_types.describe(authority, caller, parse_thing_type_name(request.thing_type_name))
    return DescribeThingTypeResponse(
        thing_type_name=thing_type.name,
        thing_type_id=thing_type.type_id,
        thing_type_arn=thing_type.arn,
        thing_type_properties=_properties_message(thing_type.properties),
        thing_type_metadata=_metadata(thing_type),
    )


class UpdateThingTypeRequest(Message, frozen=True, kw_only=True):
    thing_type_name: Annotated[RegistryNameText, PATH]
    thing_type_properties: Annotated[ThingTypePropertiesMessage | None, BODY] = None


async def update_thing_type(authority: RegistrationAuthority, caller: Caller, request: UpdateThingTypeRequest) -> None:
    """Change the propagating attributes of a thing type, and nothing else."""
    name, requested = parse_thing_type_name(request.thing_type_name), _update(request.thing_type_properties)
    await thing_types.update(authority, caller, name, requested)


class DeprecateThingTypeRequest(Message, frozen=True, kw_only=True):
    thing_type_name: Annotated[RegistryNameText, PATH]
    undo_deprecate: Annotated[bool | None, BODY] = None


async def deprecate_thing_type(
    authority: RegistrationAuthority, caller: Caller, request: DeprecateThingTypeRequest
) -> None:
    """Deprecate a type, so that no other thing can get it, or undo this."""
    name = parse_thing_type_name(request.thing_type_name)
    await thing_types.deprecate(authority, caller, name, undo=bool(request.undo_deprecate))


class DeleteThingTypeRequest(Message, frozen=True, kw_only=True):
    thing_type_name: Annotated[RegistryNameText, PATH]


async def delete_thing_type(authority: RegistrationAuthority, caller: Caller, request: DeleteThingTypeRequest) -> None:
    """Delete a deprecated thing type that no thing has, after a waiting time.

    5 minutes, or the value of the setting ``thing_type_deletable_after``.
    """
    await thing_types.delete(authority, caller, parse_thing_type_name(request.thing_type_name))


class ListThingTypesRequest(Message, frozen=True, kw_only=True):
    next_token: Annotated[str | None, QUERY] = None
    max_results: Annotated[PageSize | None, QUERY] = None
    thing_type_name: Annotated[RegistryNameText | None, QUERY] = None


class ThingTypeDefinition(Message, frozen=True, kw_only=True):
    thing_type_name: str
    thing_type_arn: str
    thing_type_properties: ThingTypePropertiesMessage
    thing_type_metadata: ThingTypeMetadata


class ListThingTypesResponse(Message, frozen=True, kw_only=True):
    thing_types: list[ThingTypeDefinition]
    next_token: str | None = None


async def list_thing_types(
    authority: RegistrationAuthority, caller: Caller, request: ListThingTypesRequest
) -> ListThingTypesResponse:
    """Answer with a page of the account's thing types, or with the one of a name."""
    name = None if request.thing_type_name is None else parse_thing_type_name(request.thing_type_name)
    listing = Listing("ListThingTypes", caller.scope, ascending=True, filters=(name or "",))
    page_request = listing.page_request(request.max_results, request.next_token)
    page = await thing_types.list_thing_types(authority, caller, name, page_request)
    return ListThingTypesResponse(
        thing_types=[_definition(thing_type) for thing_type in page.items], next_token=listing.marker(page.next)
    )


def _definition(thing_type: ThingType) -> ThingTypeDefinition:
    return ThingTypeDefinition(
        thing_type_name=thing_type.name,
        thing_type_arn=thing_type.arn,
        thing_type_properties=_properties_message(thing_type.properties),
        thing_type_metadata=_metadata(thing_type),
    )


def _metadata(thing_type: ThingType) -> ThingTypeMetadata:
    deprecated_at = thing_type.deprecated_at
    return ThingTypeMetadata(
        deprecated=thing_type.is_deprecated,
        deprecation_date=None if deprecated_at is None else epoch_seconds(deprecated_at),
        creation_date=epoch_seconds(thing_type.created_at),
    )


def _properties(message: ThingTypePropertiesMessage | None) -> ThingTypeProperties:
    if message is None:
        return ThingTypeProperties()
    return ThingTypeProperties(
        message.thing_type_description or "",
        tuple(dict.fromkeys(message.searchable_attributes or ())),
        _propagating(message.mqtt5_configuration) or (),
    )


def _update(message: ThingTypePropertiesMessage | None) -> ThingTypeUpdate:
    if message is None:
        return ThingTypeUpdate()
    searchable = message.searchable_attributes
    return ThingTypeUpdate(
        message.thing_type_description,
        None if searchable is None else tuple(searchable),
        _propagating(message.mqtt5_configuration),
    )


def _propagating(message: Mqtt5Configuration | None) -> tuple[PropagatingAttribute, ...] | None:
    if message is None or message.propagating_attributes is None:
        return None
    ensure_few_propagating_attributes(len(message.propagating_attributes))
    return tuple(
        PropagatingAttribute(source.user_property_key or "", source.thing_attribute, source.connection_attribute)
        for source in message.propagating_attributes
    )


def _properties_message(properties: ThingTypeProperties) -> ThingTypePropertiesMessage:
    propagating = [
        PropagatingAttributeMessage(
            user_property_key=source.user_property_key,
            thing_attribute=source.thing_attribute,
            connection_attribute=source.connection_attribute,
        )
        for source in properties.propagating_attributes
    ]
    return ThingTypePropertiesMessage(
        thing_type_description=properties.description or None,
        searchable_attributes=list(properties.searchable_attributes),
        mqtt5_configuration=Mqtt5Configuration(propagating_attributes=propagating) if propagating else None,
    )
