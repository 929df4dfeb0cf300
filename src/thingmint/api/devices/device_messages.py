"""Owns the messages and handlers of Publish and of reading retained messages. Independent of the broker."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, TypeAlias

from msgspec import Struct, field

from thingmint.api.devices.backend import Devices
from thingmint.api.devices.data_plane import MAX_PAYLOAD_BYTES, DeviceMessage, RetainedMessage
from thingmint.api.devices.user_properties import decode_base64, decode_user_properties, encode_user_properties
from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Message
from thingmint.api.wire.reading.binding import HEADER, PATH, PAYLOAD, QUERY, RawRequest
from thingmint.api.wire.reading.codec import epoch_milliseconds
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import Scope, topic_arn
from thingmint.core.paging import PageKey
from thingmint.registration.policies.authorization import Permission

MaxResults: TypeAlias = Annotated[int, Constraint(ge=1, le=200)]
_RETAIN_PUBLISH = "iot:RetainPublish"
# MQTT 5, 3.3.2.3.3: the expiry is a four-byte integer.
_LONGEST_EXPIRY = 0xFFFFFFFF


class PayloadFormatIndicator(StrEnum):
    UNSPECIFIED_BYTES = "UNSPECIFIED_BYTES"
    UTF8_DATA = "UTF8_DATA"


class WithProperties(Struct, frozen=True, kw_only=True, rename="camel"):
    """The members of every operation that sends a message with MQTT 5's properties."""

    payload: Annotated[bytes, PAYLOAD] = b""
    user_properties: Annotated[str | None, HEADER] = field(default=None, name="x-amz-mqtt5-user-properties")
    payload_format_indicator: Annotated[PayloadFormatIndicator | None, HEADER] = field(
        default=None, name="x-amz-mqtt5-payload-format-indicator"
    )
    content_type: Annotated[str | None, QUERY] = None
    response_topic: Annotated[str | None, QUERY] = None
    correlation_data: Annotated[str | None, HEADER] = field(default=None, name="x-amz-mqtt5-correlation-data")


def message_of(request: WithProperties, topic: str) -> DeviceMessage:
    """Return the message that the request sends to the topic; raise InvalidRequest for properties of another form."""
    data, indicator = request.correlation_data, request.payload_format_indicator
    return DeviceMessage(
        topic,
        request.payload,
        is_text=None if indicator is None else indicator is PayloadFormatIndicator.UTF8_DATA,
        content_type=request.content_type,
        response_topic=request.response_topic,
        correlation_data=None if data is None else decode_base64(data, "correlationData"),
        user_properties=decode_user_properties(request.user_properties),
    )


class PublishRequest(WithProperties, frozen=True, kw_only=True):
    topic: Annotated[str, PATH]
    qos: Annotated[int, QUERY, Constraint(ge=0, le=1)] = 0
    retain: Annotated[bool, QUERY] = False
    message_expiry: Annotated[int | None, QUERY] = None


async def publish(devices: Devices, caller: Caller, request: PublishRequest) -> None:
    """Publish a message; an empty retained message removes the topic's retained message."""
    edge, expiry = devices.edge_of(caller.scope), request.message_expiry
    if len(request.payload) > MAX_PAYLOAD_BYTES:
        raise InvalidRequest(f"The payload is longer than {MAX_PAYLOAD_BYTES} bytes")
    if expiry is not None and not 1 <= expiry <= _LONGEST_EXPIRY:
        raise InvalidRequest(f"messageExpiry must be between 1 and {_LONGEST_EXPIRY} seconds")
    message = replace(message_of(request, request.topic), qos=request.qos, retain=request.retain, expires_after=expiry)
    await edge.publish(message)


def retain_permission(scope: Scope, request: RawRequest) -> Sequence[Permission]:
    """Return the further permission that a retained message needs."""
    retain = request.first("retain")
    if retain is None or retain.lower() != "true":
        return ()
    return (Permission(_RETAIN_PUBLISH, topic_arn(scope, request.labels["topic"])),)


class GetRetainedMessageRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    topic: Annotated[str, PATH]


class GetRetainedMessageResponse(Message, frozen=True, kw_only=True):
    topic: str
    payload: bytes
    qos: int
    last_modified_time: int | None = None
    user_properties: bytes | None = None


async def get_retained_message(
    devices: Devices, caller: Caller, request: GetRetainedMessageRequest
) -> GetRetainedMessageResponse:
    """Answer with the topic's retained message; raise ResourceNotFound if it has none."""
    retained = await devices.edge_of(caller.scope).retained(request.topic)
    if retained is None:
        raise ResourceNotFound("The topic has no retained message")
    return GetRetainedMessageResponse(
        topic=retained.topic,
        payload=retained.payload,
        qos=retained.qos,
        last_modified_time=_last_modified(retained),
        user_properties=encode_user_properties(retained.user_properties),
    )


class ListRetainedMessagesRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    next_token: Annotated[str | None, QUERY] = None
    max_results: Annotated[MaxResults | None, QUERY] = None


class RetainedMessageSummary(Struct, frozen=True, kw_only=True, rename="camel"):
    topic: str
    payload_size: int
    qos: int
    last_modified_time: int | None = None


class ListRetainedMessagesResponse(Message, frozen=True, kw_only=True):
    retained_topics: list[RetainedMessageSummary]
    next_token: str | None = None


async def list_retained_messages(
    devices: Devices, caller: Caller, request: ListRetainedMessagesRequest
) -> ListRetainedMessagesResponse:
    """Answer with a page of retained messages by topic, without their payloads."""
    listing = Listing("ListRetainedMessages", caller.scope, ascending=True)
    page = listing.page_request(request.max_results, request.next_token)
    after = "" if page.after is None else page.after.text
    # One more than the page holds shows whether another page follows.
    found = devices.edge_of(caller.scope).retained_after(after, page.size + 1)
    shown = found[: page.size]
    following = PageKey(0, shown[-1].topic) if len(found) > page.size else None
    return ListRetainedMessagesResponse(
        retained_topics=[_summary(each) for each in shown], next_token=listing.marker(following)
    )


def _summary(retained: RetainedMessage) -> RetainedMessageSummary:
    return RetainedMessageSummary(
        topic=retained.topic,
        payload_size=len(retained.payload),
        qos=retained.qos,
        last_modified_time=_last_modified(retained),
    )


def _last_modified(retained: RetainedMessage) -> int | None:
    return None if retained.stored_at is None else epoch_milliseconds(retained.stored_at)
