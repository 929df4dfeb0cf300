"""Owns the common parts of the messages of things, thing types and groups."""

from typing import Annotated, TypeAlias

from thingmint.api.wire.messages import Message
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import Scope, iot_arn
from thingmint.core.registry.attributes import AttributePayload, Attributes

RegistryNameText: TypeAlias = Annotated[str, Constraint(min_length=1, max_length=128, pattern="[a-zA-Z0-9:_-]+")]
DescriptionText: TypeAlias = Annotated[str, Constraint(max_length=2028, pattern=r"[\p{Graph}\x20]*")]
AttributeNameText: TypeAlias = Annotated[str, Constraint(max_length=128, pattern="[a-zA-Z0-9_.,@/:#-]+")]
AttributeValueText: TypeAlias = Annotated[str, Constraint(max_length=800, pattern=r"[a-zA-Z0-9_.,@/:#=\[\]-]*")]


class AttributePayloadMessage(Message, frozen=True, kw_only=True):
    attributes: dict[AttributeNameText, AttributeValueText] | None = None
    merge: bool | None = None


class GroupNameAndArn(Message, frozen=True, kw_only=True):
    group_name: str
    group_arn: str


def payload_of(message: AttributePayloadMessage | None) -> AttributePayload:
    """Return the change of attributes in the message."""
    if message is None or message.attributes is None:
        return AttributePayload()
    return AttributePayload(Attributes.of(message.attributes), merge=bool(message.merge))


def whole_payload_of(message: AttributePayloadMessage | None) -> AttributePayload:
    """Return the change of attributes if the message has the complete attributes: absent ones are removed."""
    payload = payload_of(message)
    if payload.attributes is None and not (message is not None and message.merge):
        return AttributePayload(Attributes())
    return payload


def new_attributes(message: AttributePayloadMessage | None) -> Attributes:
    """Return the attributes of a new resource: only those with a value, because an empty value removes an attribute."""
    return payload_of(message).applied_to(Attributes())


def name_of(scope: Scope, kind: str, name: str | None, arn: str | None, what: str) -> str:
    """Return the name of a resource that is given by its name, its ARN or both.

    Raises InvalidRequest if there is neither, if they differ, or if the ARN is not of this account and region.
    """
    prefix = iot_arn(scope, f"{kind}/")
    if arn is not None and not arn.startswith(prefix):
        raise InvalidRequest(f"{what}Arn is not the ARN of such a resource in this account and region")
    named = arn and arn.removeprefix(prefix)
    if not (name or named):
        raise InvalidRequest(f"Either {what}Name or {what}Arn must be given")
    if name and named and name != named:
        raise InvalidRequest(f"{what}Name and {what}Arn name different resources")
    return name or named or ""
