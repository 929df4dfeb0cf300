"""Owns the gateway's interfaces to the registry, policies, devices' operations, a clock and listeners."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as data_field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

from msgspec import Struct, field

from thingmint.api.wire.device_operation import DeviceRequest
from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import PrincipalId, Scope
from thingmint.core.policies.device_context import ConnectAttribute
from thingmint.core.principals import AccessKeyTarget
from thingmint.host.connections.peer_tls import Peer
from thingmint.mqtt.events import GatewayEvent, Refused


class DeviceRefusal(StrEnum):
    """Why a principal may not open a connection; of certificates, in the terms of AWS IoT's logs."""

    NOT_REGISTERED = "DEVICE_CERTIFICATE_NOT_REGISTERED"
    INACTIVE = "DEVICE_CERTIFICATE_INACTIVE"
    REVOKED = "DEVICE_CERTIFICATE_REVOKED"
    PENDING = "DEVICE_CERTIFICATE_PENDING"
    NOT_VALID_NOW = "DEVICE_CERTIFICATE_EXPIRED"
    SNI_MISSING = "SNI_MISUSED"
    ACCOUNT_AMBIGUOUS = "DEVICE_CERTIFICATE_ACCOUNT_AMBIGUOUS"
    POLICIES_TOO_LARGE = "POLICIES_TOO_LARGE"
    ACCESS_KEY_INVALID = "ACCESS_KEY_INVALID"


class DeviceRefused(Exception):
    """The principal may not open a connection; ``scope`` is where it is registered, or was looked for.

    ``detail`` tells operators why a certificate that their registered CA signed was not registered automatically.
    """

    def __init__(self, reason: DeviceRefusal, scope: Scope | None = None, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.scope = scope
        self.detail = detail


class HandshakeSigner(Struct, frozen=True):
    """The access key that signed the opening handshake of a WebSocket, whose signature has been verified.

    ``server_name`` is the host name of the handshake, and ``conditions`` are its condition keys.
    """

    target: AccessKeyTarget
    server_name: str
    conditions: Mapping[str, tuple[str, ...]]


Presented: TypeAlias = Peer | HandshakeSigner
"""What the peer of a connection has proved: that it holds a certificate's key, or an access key's secret."""


class ConnectionFacts(Struct, frozen=True):
    """The facts about a connection that policies may test, which do not change while it lasts."""

    client_id: str
    source_address: str
    server_name: str | None
    attributes: frozenset[ConnectAttribute] = frozenset()
    will_topic: str | None = None
    conditions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The condition keys of the opening handshake of a WebSocket."""


class Denial(Struct, frozen=True):
    """Why policies do not allow an action: EXPLICIT_DENY by the policy of this name, or IMPLICIT_DENY."""

    reason: str
    policy: str | None = None


class DeviceAuthorizer(Protocol):
    """The compiled policies of one connection."""

    def allows(self, action: str, resource: str) -> bool:
        """Return whether an action such as ``iot:Publish`` is allowed on a resource such as ``topic/a/b``.

        The resource is the last part of an ARN; account and region are the device's. The resource of a shared
        subscription begins with ``topicfilter/$share/GROUP/`` or ``topic/$share/GROUP/``: see
        `core.policies.shared_subscriptions`.
        """
        ...

    def denial(self, action: str, resource: str) -> Denial:
        """Return why an action is not allowed on a resource; call this after ``allows`` has returned False."""
        ...


class Device(Protocol):
    """A device with a registered certificate, or a client with an access key, that may open connections now."""

    @property
    def scope(self) -> Scope:
        """The account and region of the certificate or the access key."""
        ...

    @property
    def principal_id(self) -> PrincipalId:
        """The SHA-256 of the certificate, or the id of the access key and its user."""
        ...

    @property
    def valid_until(self) -> datetime:
        """The last moment at which the certificate or the access key may be used."""
        ...

    async def check(self) -> None:
        """Raise DeviceRefused unless the principal may open a connection now."""
        ...

    async def authorizer(self, facts: ConnectionFacts) -> DeviceAuthorizer:
        """Compile the policies that are attached now. Called at CONNECT, and again when policies change."""
        ...


class DeviceRegistry(Protocol):
    """Finds registered certificates and access keys."""

    async def identify(self, chain: Sequence[bytes], server_name: str | None, source_address: str) -> Device:
        """Return the device that showed this chain of DER certificates, its own first; raise DeviceRefused.

        Called at CONNECT, when the peer has proved that it holds the first certificate's key. All other
        data from the peer is unproven. Just-in-time registration happens here.
        """
        ...

    async def identify_signer(self, signer: HandshakeSigner, source_address: str) -> Device:
        """Return the client with the access key; raise DeviceRefused if the key has ended. Called at CONNECT."""
        ...


class Requester(Struct, frozen=True):
    """The device that calls an operation of the service."""

    device: Device
    client_id: str
    source_address: str


@dataclass(frozen=True, slots=True)
class DeviceAnswer:
    """The answer, only for the requesting connection; the payload may contain a private key."""

    topic: str
    payload: bytes = data_field(repr=False)
    refused: Refused | None = None
    """What was refused, and why; None if the request succeeded."""
    most_qos: int = 1
    """The highest QoS at which the answer may be sent."""


class Responder(Protocol):
    """Answers the requests of devices on reserved topics."""

    async def answer(self, requester: Requester, request: DeviceRequest, payload: bytes) -> DeviceAnswer:
        """Execute a published request, and return its result.

        A refusal is an answer, too, on ``…/rejected``; exceptions are failures of the service. The gateway has already
        checked iot:Publish on the topic.
        """
        ...

    def rejection(self, request: DeviceRequest, error: ThingmintError) -> DeviceAnswer:
        """Return the answer to a request that is refused before it is executed."""
        ...


class GatewayEventSink(Protocol):
    """Is notified of connections. The methods must not raise or block."""

    def receive(self, event: GatewayEvent) -> None:
        """Receive an event."""
        ...
