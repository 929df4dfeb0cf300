"""Owns what the gateway asks of the outside: who a device is, what it may do, its certificates, a clock, a listener."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from thingmint.api.wire.device_operation import DeviceRequest
from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import CertificateId, Scope
from thingmint.core.policies.device_context import ConnectAttribute
from thingmint.mqtt.events import GatewayEvent, Refused


class DeviceRefusal(StrEnum):
    """Why a certificate opens no connection; AWS IoT's words in its logs."""

    NOT_REGISTERED = "DEVICE_CERTIFICATE_NOT_REGISTERED"
    INACTIVE = "DEVICE_CERTIFICATE_INACTIVE"
    REVOKED = "DEVICE_CERTIFICATE_REVOKED"
    PENDING = "DEVICE_CERTIFICATE_PENDING"
    NOT_VALID_NOW = "DEVICE_CERTIFICATE_EXPIRED"
    SNI_MISSING = "SNI_MISUSED"
    ACCOUNT_AMBIGUOUS = "DEVICE_CERTIFICATE_ACCOUNT_AMBIGUOUS"
    POLICIES_TOO_LARGE = "POLICIES_TOO_LARGE"


class DeviceRefused(Exception):
    """The certificate opens no connection; ``scope`` is where it is registered, or was looked for.

    ``detail`` tells operators why a certificate that a CA of theirs has signed did not register itself.
    """

    def __init__(self, reason: DeviceRefusal, scope: Scope | None = None, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.scope = scope
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """What policies may ask about a connection; nothing of it changes while the connection lasts."""

    client_id: str
    source_address: str
    server_name: str | None
    attributes: frozenset[ConnectAttribute] = frozenset()
    will_topic: str | None = None


@dataclass(frozen=True, slots=True)
class Denial:
    """Why policies do not allow something: EXPLICIT_DENY by the policy of this name, or IMPLICIT_DENY."""

    reason: str
    policy: str | None = None


class DeviceAuthorizer(Protocol):
    """The policies of one connection, compiled."""

    def allows(self, action: str, resource: str) -> bool:
        """Return whether an action such as ``iot:Publish`` is allowed on a resource such as ``topic/a/b``.

        The resource is the last part of an ARN; account and region are the device's. That of a shared subscription
        begins with ``topicfilter/$share/GROUP/`` or ``topic/$share/GROUP/``: see `core.policies.shared_subscriptions`.
        """
        ...

    def denial(self, action: str, resource: str) -> Denial:
        """Return why an action is not allowed on a resource; asked about what ``allows`` has refused."""
        ...


class Device(Protocol):
    """A registered certificate that may open connections now."""

    @property
    def scope(self) -> Scope:
        """The account and region that have registered it."""
        ...

    @property
    def certificate_id(self) -> CertificateId:
        """The SHA-256 of the certificate."""
        ...

    @property
    def valid_until(self) -> datetime:
        """The last moment at which the certificate may be used."""
        ...

    async def check(self) -> None:
        """Return if the certificate may open a connection now; raise DeviceRefused."""
        ...

    async def authorizer(self, facts: ConnectionFacts) -> DeviceAuthorizer:
        """Compile the policies that are attached now. Asked at CONNECT, and again when policies change."""
        ...


class DeviceRegistry(Protocol):
    """Knows which certificates are registered."""

    async def identify(self, chain: Sequence[bytes], server_name: str | None, source_address: str) -> Device:
        """Return the device that showed this chain of DER certificates, its own first; raise DeviceRefused.

        Asked at CONNECT, when the peer has proved that it holds the first certificate's key. What the peer shows
        beyond that is unproven. Just-in-time registration happens here.
        """
        ...


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks for an operation of the service."""

    device: Device
    client_id: str
    source_address: str


@dataclass(frozen=True, slots=True)
class DeviceAnswer:
    """What goes to the requesting connection and nowhere else; the payload may hold a private key."""

    topic: str
    payload: bytes = field(repr=False)
    refused: Refused | None = None
    """What was refused, and why; None for a request that was carried out."""
    most_qos: int = 1
    """The highest QoS at which it may be sent."""


class Responder(Protocol):
    """Answers the requests of devices on reserved topics."""

    async def answer(self, requester: Requester, request: DeviceRequest, payload: bytes) -> DeviceAnswer:
        """Carry out the request that was published, and return what came of it.

        A refusal is an answer too, on ``…/rejected``; what is raised is a failure of the service. The gateway has
        decided iot:Publish on the topic.
        """
        ...

    def rejection(self, request: DeviceRequest, error: ThingmintError) -> DeviceAnswer:
        """Return the answer to a request that is not carried out."""
        ...


class GatewayEventSink(Protocol):
    """Hears of connections; must neither fail nor wait."""

    def heard(self, event: GatewayEvent) -> None:
        """Take an event."""
        ...


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the present, aware, UTC."""
        ...
