"""Owns GetThingConnectivityData: whether the client with a thing's name is connected, and since when."""

from enum import StrEnum
from typing import Annotated

from thingmint.api.devices.backend import Devices
from thingmint.api.devices.data_plane import EndedConnection, OpenConnection
from thingmint.api.registry.registry_messages import RegistryNameText
from thingmint.api.wire.messages import Message, Timestamp
from thingmint.api.wire.permissions import Context
from thingmint.api.wire.reading.binding import BODY, PATH, RawRequest
from thingmint.api.wire.reading.codec import epoch_seconds
from thingmint.core.caller import Caller
from thingmint.core.identifiers import Scope, parse_thing_name
from thingmint.registration.registry import things


class DisconnectReasonValue(StrEnum):
    AUTH_ERROR = "AUTH_ERROR"
    CLIENT_INITIATED_DISCONNECT = "CLIENT_INITIATED_DISCONNECT"
    CLIENT_ERROR = "CLIENT_ERROR"
    CONNECTION_LOST = "CONNECTION_LOST"
    DUPLICATE_CLIENTID = "DUPLICATE_CLIENTID"
    FORBIDDEN_ACCESS = "FORBIDDEN_ACCESS"
    MQTT_KEEP_ALIVE_TIMEOUT = "MQTT_KEEP_ALIVE_TIMEOUT"
    SERVER_ERROR = "SERVER_ERROR"
    SERVER_INITIATED_DISCONNECT = "SERVER_INITIATED_DISCONNECT"
    API_INITIATED_DISCONNECT = "API_INITIATED_DISCONNECT"
    THROTTLED = "THROTTLED"
    WEBSOCKET_TTL_EXPIRATION = "WEBSOCKET_TTL_EXPIRATION"
    CUSTOMAUTH_TTL_EXPIRATION = "CUSTOMAUTH_TTL_EXPIRATION"
    UNKNOWN = "UNKNOWN"
    NONE = "NONE"


class GetThingConnectivityDataRequest(Message, frozen=True, kw_only=True):
    thing_name: Annotated[RegistryNameText, PATH]
    include_socket_information: Annotated[bool | None, BODY] = None


class GetThingConnectivityDataResponse(Message, frozen=True, kw_only=True):
    thing_name: str
    connected: bool
    timestamp: Timestamp | None = None
    disconnect_reason: DisconnectReasonValue | None = None
    source_ip: str | None = None
    source_port: int | None = None
    target_ip: str | None = None
    target_port: int | None = None
    vpc_endpoint_id: str | None = None
    keep_alive_duration: int | None = None
    clean_session: bool | None = None
    session_expiry: int | None = None
    client_id: str | None = None


async def get_thing_connectivity_data(
    devices: Devices, caller: Caller, request: GetThingConnectivityDataRequest
) -> GetThingConnectivityDataResponse:
    """Answer whether the client with the thing's name is connected and since when, or when and why it left.

    For a client that has not connected since the service started, the answer has ``connected`` only.
    """
    thing = await things.describe(devices.authority, caller, parse_thing_name(request.thing_name))
    edge = devices.edge_of(caller.scope)
    connection = await edge.connection(thing.name)
    if connection is not None:
        return _connected(connection, shows_sockets=bool(request.include_socket_information))
    ended = await edge.last_connection(thing.name)
    if ended is not None:
        return _disconnected(ended)
    return GetThingConnectivityDataResponse(thing_name=thing.name, connected=False)


def _connected(found: OpenConnection, *, shows_sockets: bool) -> GetThingConnectivityDataResponse:
    return GetThingConnectivityDataResponse(
        thing_name=found.client_id,
        connected=True,
        timestamp=epoch_seconds(found.connected_at),
        source_ip=found.source[0] if shows_sockets else None,
        source_port=found.source[1] if shows_sockets else None,
        target_ip=found.target[0] if shows_sockets else None,
        target_port=found.target[1] if shows_sockets else None,
        keep_alive_duration=found.keep_alive,
        clean_session=found.is_clean,
        session_expiry=found.session_expiry,
        client_id=found.client_id,
    )


def _disconnected(found: EndedConnection) -> GetThingConnectivityDataResponse:
    return GetThingConnectivityDataResponse(
        thing_name=found.client_id,
        connected=False,
        timestamp=epoch_seconds(found.ended_at),
        disconnect_reason=DisconnectReasonValue(found.reason),
        keep_alive_duration=found.keep_alive,
        clean_session=found.is_clean,
        session_expiry=found.session_expiry,
        client_id=found.client_id,
    )


def sockets_asked_for(scope: Scope, request: RawRequest) -> Context:
    """Return as iot:IncludeSocketInformation whether the body requests addresses and ports."""
    del scope
    asked = request.unchecked_members.get("includeSocketInformation") is True
    return {"iot:IncludeSocketInformation": (str(asked).lower(),)}
