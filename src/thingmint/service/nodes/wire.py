"""Owns the encoding of connections and messages between nodes. Does not read or write tables."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec.structs import replace

from thingmint.api.devices.data_plane import EndedConnection, OpenConnection
from thingmint.core.errors import (
    AccessDenied,
    DeliveryUnconfirmed,
    InvalidRequest,
    ResourceNotFound,
    ServiceUnavailable,
    ThingmintError,
    Throttled,
)
from thingmint.core.policies.device_context import ConnectAttribute
from thingmint.mqtt.codec.codec import decode_server_packet, encode
from thingmint.mqtt.codec.framing import MAX_REMAINING_LENGTH, FrameReader
from thingmint.mqtt.codec.packets import ProtocolVersion, Publish
from thingmint.mqtt.data_plane import KeptWill
from thingmint.mqtt.edges.operator_edge import open_connection
from thingmint.mqtt.events import DisconnectReason
from thingmint.mqtt.gateway.connection import GatewayConnection
from thingmint.mqtt.rights.ports import ConnectionFacts
from thingmint.records.columns import column_of_time
from thingmint.records.nodes.connections import ConnectionRow, EndingRow

_ERRORS: Final[dict[str, Callable[[str], ThingmintError]]] = {
    each.__name__: each
    for each in (
        AccessDenied,
        DeliveryUnconfirmed,
        InvalidRequest,
        ResourceNotFound,
        ServiceUnavailable,
        Throttled,
    )
}


class KeptFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The stored facts of a connection: those that the API shows, and those that policies use."""

    connected_at: datetime
    keep_alive: int
    is_clean: bool
    session_expiry: int
    source: tuple[str, int]
    target: tuple[str, int]
    source_address: str
    server_name: str | None
    attributes: list[str]
    will_topic: str | None
    conditions: dict[str, tuple[str, ...]] = {}


class KeptEnding(msgspec.Struct, frozen=True, kw_only=True):
    """The stored facts of an ended connection."""

    ended_at: datetime
    reason: str
    keep_alive: int
    is_clean: bool
    session_expiry: int


class ForwardedEvent(msgspec.Struct, frozen=True):
    """An event of an account with its topic and payload."""

    topic: str
    payload: bytes


class Disconnection(msgspec.Struct, frozen=True):
    """An operator's request to end a client's connection."""

    client_id: str
    clean_session: bool
    prevent_will: bool


class DirectMessage(msgspec.Struct, frozen=True):
    """An operator's message to one client."""

    client_id: str
    packet: bytes
    confirmed_within: float | None


class Outcome(msgspec.Struct, frozen=True):
    """The result of a request: the name and message of an error, or neither."""

    error: str = ""
    message: str = ""


def row_of_connection(node_id: str, connection: GatewayConnection, will: KeptWill | None) -> ConnectionRow:
    """Return the row of an accepted connection."""
    shown, facts = open_connection(connection), connection.device.whom.facts
    kept = KeptFacts(
        connected_at=shown.connected_at,
        keep_alive=shown.keep_alive,
        is_clean=shown.is_clean,
        session_expiry=shown.session_expiry,
        source=shown.source,
        target=shown.target,
        source_address=facts.source_address,
        server_name=facts.server_name,
        attributes=sorted(facts.attributes),
        will_topic=facts.will_topic,
        conditions=dict(facts.conditions),
    )
    return ConnectionRow(
        connection.device.session_id,
        node_id,
        connection.device.scope,
        connection.client_id,
        connection.principal_id,
        column_of_time(shown.connected_at),
        msgspec.json.encode(kept),
        None if will is None else bytes_of_publish(will.message),
        0 if will is None else will.delay,
    )


def shown_connection(row: ConnectionRow) -> OpenConnection:
    """Return a connection in the form of the API."""
    facts = msgspec.json.decode(row.facts, type=KeptFacts)
    return OpenConnection(
        row.client_id,
        facts.connected_at,
        facts.keep_alive,
        facts.is_clean,
        facts.session_expiry,
        facts.source,
        facts.target,
    )


def facts_of(row: ConnectionRow) -> ConnectionFacts:
    """Return the facts of a connection that policies use."""
    facts = msgspec.json.decode(row.facts, type=KeptFacts)
    attributes = frozenset(ConnectAttribute(each) for each in facts.attributes)
    return ConnectionFacts(
        row.client_id, facts.source_address, facts.server_name, attributes, facts.will_topic, facts.conditions
    )


def ending_row(row: ConnectionRow, at: datetime, reason: DisconnectReason) -> EndingRow:
    """Return the row of a connection's end."""
    facts = msgspec.json.decode(row.facts, type=KeptFacts)
    ending = KeptEnding(
        ended_at=at,
        reason=str(reason),
        keep_alive=facts.keep_alive,
        is_clean=facts.is_clean,
        session_expiry=facts.session_expiry,
    )
    return EndingRow(row.session_id, row.scope, row.client_id, column_of_time(at), msgspec.json.encode(ending))


def shown_ending(client_id: str, kept: bytes) -> EndedConnection:
    """Return the end of a connection in the form of the API."""
    ending = msgspec.json.decode(kept, type=KeptEnding)
    return EndedConnection(
        client_id, ending.ended_at, ending.reason, ending.keep_alive, ending.is_clean, ending.session_expiry
    )


def bytes_of_publish(message: Publish) -> bytes:
    """Return a message as an MQTT 5 PUBLISH packet."""
    # A placeholder: the sender sets the real packet identifier.
    return encode(replace(message, packet_id=1 if message.qos else 0), ProtocolVersion.MQTT_5)


def publish_of_bytes(kept: bytes) -> Publish:
    """Return the message of a packet, without a packet identifier."""
    reader = FrameReader(MAX_REMAINING_LENGTH)
    reader.feed(kept)
    frame = reader.next_frame()
    assert frame is not None, "nodes write whole packets"
    packet = decode_server_packet(frame, ProtocolVersion.MQTT_5)
    assert isinstance(packet, Publish), "nodes write nothing else"
    return replace(packet, packet_id=0)


def outcome_of(error: ThingmintError | None) -> bytes:
    """Return the encoded result of a request."""
    outcome = Outcome() if error is None else Outcome(type(error).__name__, error.message)
    return msgspec.json.encode(outcome)


def raise_outcome(kept: bytes) -> None:
    """Return if the request was carried out; raise its error otherwise."""
    outcome = msgspec.json.decode(kept, type=Outcome)
    if outcome.error:
        raise _ERRORS.get(outcome.error, ServiceUnavailable)(outcome.message)


def due_column(now: datetime, delay: int) -> int:
    """Return the time at which a will is due, as the value of a column."""
    return column_of_time(now.astimezone(UTC) + timedelta(seconds=delay))
