"""Owns the messages and handlers of operations on connections of devices. Independent of sockets and packets."""

from typing import Annotated, TypeAlias

from msgspec import Struct

from thingmint.api.devices.backend import Devices
from thingmint.api.devices.data_plane import MAX_PAYLOAD_BYTES
from thingmint.api.devices.device_messages import WithProperties, message_of
from thingmint.api.wire.errors import RequestTooLarge
from thingmint.api.wire.messages import Message
from thingmint.api.wire.permissions import Context
from thingmint.api.wire.reading.binding import PATH, QUERY, RawRequest
from thingmint.api.wire.reading.codec import epoch_milliseconds
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import Scope

ClientIdText: TypeAlias = Annotated[str, Constraint(min_length=1, max_length=128, pattern="^[^$].*")]
_NOT_CONNECTED = "No client of this id is connected"
_LONGEST_TIMEOUT = 15


class DeleteConnectionRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    client_id: Annotated[ClientIdText, PATH]
    clean_session: Annotated[bool, QUERY] = False
    prevent_will_message: Annotated[bool, QUERY] = False


async def delete_connection(devices: Devices, caller: Caller, request: DeleteConnectionRequest) -> None:
    """Disconnect a client; raise ResourceNotFound if it is not connected."""
    was_connected = await devices.edge_of(caller.scope).disconnect(
        request.client_id, clean_session=request.clean_session, prevent_will=request.prevent_will_message
    )
    if not was_connected:
        raise ResourceNotFound(_NOT_CONNECTED)


class GetConnectionRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    client_id: Annotated[ClientIdText, PATH]
    include_socket_information: Annotated[bool, QUERY] = False


class GetConnectionResponse(Message, frozen=True, kw_only=True):
    connected: bool
    thing_name: str | None = None
    clean_session: bool
    source_ip: str | None = None
    source_port: int | None = None
    target_ip: str | None = None
    target_port: int | None = None
    keep_alive_duration: int
    connected_since: int
    disconnected_since: int | None = None
    disconnect_reason: str | None = None
    session_expiry: int
    client_id: str
    vpc_endpoint_id: str | None = None


async def get_connection(devices: Devices, caller: Caller, request: GetConnectionRequest) -> GetConnectionResponse:
    """Answer with the facts of a connection; raise ResourceNotFound if the client is not connected."""
    found = await devices.edge_of(caller.scope).connection(request.client_id)
    if found is None:
        raise ResourceNotFound(_NOT_CONNECTED)
    shows_sockets = request.include_socket_information
    return GetConnectionResponse(
        connected=True,
        clean_session=found.is_clean,
        source_ip=found.source[0] if shows_sockets else None,
        source_port=found.source[1] if shows_sockets else None,
        target_ip=found.target[0] if shows_sockets else None,
        target_port=found.target[1] if shows_sockets else None,
        keep_alive_duration=found.keep_alive,
        connected_since=epoch_milliseconds(found.connected_at),
        session_expiry=found.session_expiry,
        client_id=found.client_id,
    )


class SendDirectMessageRequest(WithProperties, frozen=True, kw_only=True):
    client_id: Annotated[ClientIdText, PATH]
    topic: Annotated[str, QUERY]
    confirmation: Annotated[bool, QUERY] = False
    timeout: Annotated[int, QUERY] = 5


class SendDirectMessageResponse(Struct, frozen=True, kw_only=True, rename="camel"):
    message: str
    trace_id: str


async def send_direct_message(
    devices: Devices, caller: Caller, request: SendDirectMessageRequest
) -> SendDirectMessageResponse:
    """Send a message to one client, whether or not it has subscribed, and wait for its acknowledgement if asked to."""
    edge = devices.edge_of(caller.scope)
    if len(request.payload) > MAX_PAYLOAD_BYTES:
        raise RequestTooLarge(f"The payload is longer than {MAX_PAYLOAD_BYTES} bytes")
    if request.confirmation and not 1 <= request.timeout <= _LONGEST_TIMEOUT:
        raise InvalidRequest(f"timeout must be between 1 and {_LONGEST_TIMEOUT} seconds")
    confirmed_within = request.timeout if request.confirmation else None
    await edge.send(request.client_id, message_of(request, request.topic), confirmed_within)
    return SendDirectMessageResponse(message="OK", trace_id=caller.request_id)


def topic_context(scope: Scope, request: RawRequest) -> Context:
    """Return the topic of a direct message as iot:Topic, as in the policy examples of AWS's developer guide."""
    del scope
    topic = request.first("topic")
    return {} if topic is None else {"iot:Topic": (topic,)}


def socket_context(scope: Scope, request: RawRequest) -> Context:
    """Return as iot:IncludeSocketInformation whether addresses and ports are requested; the default is no."""
    del scope
    asked = (request.first("includeSocketInformation") or "").lower() == "true"
    return {"iot:IncludeSocketInformation": (str(asked).lower(),)}
