"""Owns what the gateway tells of connections, in AWS IoT's words; knows nobody who listens."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from thingmint.core.identifiers import CertificateId, Scope


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


@dataclass(frozen=True, slots=True)
class Link:
    """Which connection an event is about; ``session_id`` tells connections of one client apart.

    An event is for the account of its ``scope`` and for nobody else.
    """

    client_id: str
    certificate_id: CertificateId
    session_id: str
    source_address: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class ClientConnected:
    """A CONNECT was accepted."""

    link: Link
    at: datetime


@dataclass(frozen=True, slots=True)
class ClientDisconnected:
    """An accepted connection has ended."""

    link: Link
    at: datetime
    reason: DisconnectReason

    @property
    def client_initiated(self) -> bool:
        """Whether the client said that it would leave."""
        return self.reason is DisconnectReason.CLIENT_INITIATED_DISCONNECT


@dataclass(frozen=True, slots=True)
class ClientSubscribed:
    """Subscriptions were granted."""

    link: Link
    at: datetime
    topic_filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClientUnsubscribed:
    """Subscriptions were ended by the client."""

    link: Link
    at: datetime
    topic_filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """What was refused to a device, and why, in words for operators.

    ``action`` and ``reason`` come from tables, so that they can be counted. ``resource`` is the last part of an ARN,
    ``detail`` any text. ``policy`` is the name of the policy that denies, if one does.
    """

    action: str
    reason: str
    resource: str = ""
    policy: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class ConnectRefused:
    """A peer that had shown a certificate was turned away at CONNECT; ``why`` is for operators."""

    certificate_id: CertificateId
    source_address: str
    at: datetime
    why: str
    client_id: str = ""
    scope: Scope | None = None
    """The account and region of the certificate, if they were found out."""
    refused: Refused | None = None


@dataclass(frozen=True, slots=True)
class ActionRefused:
    """A message, a subscription, a delivery or a provisioning request was refused on an accepted connection."""

    link: Link
    at: datetime
    refused: Refused


@dataclass(frozen=True, slots=True)
class MessageNotServed:
    """A message to a topic that AWS IoT serves and this service does not was dropped."""

    link: Link
    at: datetime
    topic: str


LifeCycleEvent: TypeAlias = ClientConnected | ClientDisconnected | ClientSubscribed | ClientUnsubscribed

GatewayEvent: TypeAlias = LifeCycleEvent | ConnectRefused | ActionRefused | MessageNotServed
