"""Owns the gateway's events about connections, in AWS IoT's terms. Independent of the listeners."""

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from thingmint.core.identifiers import PrincipalId, Scope


class DisconnectReason(StrEnum):
    """Why a connection ended: the reasons of AWS IoT's life-cycle events."""

    AUTH_ERROR = "AUTH_ERROR"
    CLIENT_ERROR = "CLIENT_ERROR"
    CLIENT_INITIATED_DISCONNECT = "CLIENT_INITIATED_DISCONNECT"
    CONNECTION_LOST = "CONNECTION_LOST"
    DUPLICATE_CLIENTID = "DUPLICATE_CLIENTID"
    MQTT_KEEP_ALIVE_TIMEOUT = "MQTT_KEEP_ALIVE_TIMEOUT"
    SERVER_ERROR = "SERVER_ERROR"
    API_INITIATED_DISCONNECT = "API_INITIATED_DISCONNECT"
    SERVER_INITIATED_DISCONNECT = "SERVER_INITIATED_DISCONNECT"


class Link(Struct, frozen=True):
    """The connection of an event; ``session_id`` distinguishes connections of one client.

    An event is only for the account of its ``scope``.
    """

    client_id: str
    principal_id: PrincipalId
    session_id: str
    source_address: str
    scope: Scope


class ClientConnected(Struct, frozen=True):
    """A CONNECT was accepted."""

    link: Link
    at: datetime


class ClientDisconnected(Struct, frozen=True):
    """An accepted connection has ended."""

    link: Link
    at: datetime
    reason: DisconnectReason

    @property
    def client_initiated(self) -> bool:
        """Whether the client sent DISCONNECT."""
        return self.reason is DisconnectReason.CLIENT_INITIATED_DISCONNECT


class ClientSubscribed(Struct, frozen=True):
    """Subscriptions were granted."""

    link: Link
    at: datetime
    topic_filters: tuple[str, ...]


class ClientUnsubscribed(Struct, frozen=True):
    """The client ended subscriptions."""

    link: Link
    at: datetime
    topic_filters: tuple[str, ...]


class Refused(Struct, frozen=True):
    """What was refused to a device, and why, for operators.

    ``action`` and ``reason`` come from tables, so that they can be labels of counters. ``resource`` is the last part of
    an ARN, ``detail`` is any text. ``policy`` is the name of the policy with the explicit deny, if there is one.
    """

    action: str
    reason: str
    resource: str = ""
    policy: str | None = None
    detail: str | None = None


class ConnectRefused(Struct, frozen=True):
    """A CONNECT of a peer with a certificate was refused; ``why`` is for operators."""

    principal_id: PrincipalId
    source_address: str
    at: datetime
    why: str
    client_id: str = ""
    scope: Scope | None = None
    """The account and region of the certificate, if they are known."""
    refused: Refused | None = None


class ActionRefused(Struct, frozen=True):
    """A message, a subscription, a delivery or a provisioning request was refused on an accepted connection."""

    link: Link
    at: datetime
    refused: Refused


class MessageNotServed(Struct, frozen=True):
    """A message was dropped because AWS IoT serves its topic and this service does not."""

    link: Link
    at: datetime
    topic: str


LifeCycleEvent: TypeAlias = ClientConnected | ClientDisconnected | ClientSubscribed | ClientUnsubscribed

GatewayEvent: TypeAlias = LifeCycleEvent | ConnectRefused | ActionRefused | MessageNotServed
