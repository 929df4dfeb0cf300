"""Owns the facts of one device's connection: its client, its account, its session and its addresses."""

from datetime import datetime

from thingmint.core.identifiers import PrincipalId, Scope
from thingmint.mqtt.gateway.link.device_link import DeviceLink
from thingmint.mqtt.gateway.link.device_protocol import DeviceProtocol
from thingmint.mqtt.transport.device_transport import DeviceTransport


class ObservedConnection:
    """The read-only facts of a connection, for the gateway, for events and for operators."""

    __slots__ = ("_opened_at", "_session_expiry", "_transport", "device", "principal_id", "protocol")

    principal_id: PrincipalId
    device: DeviceLink
    _transport: DeviceTransport
    _opened_at: datetime

    def __init__(self, protocol: DeviceProtocol) -> None:
        """Take the protocol; the handshake and CONNECT set the other facts."""
        self.protocol = protocol
        self._session_expiry = 0

    @property
    def client_id(self) -> str:
        """The client id; empty before CONNECT."""
        return self.protocol.client_id

    @property
    def scope(self) -> Scope | None:
        """The account and region of the device; None until it is identified."""
        return self.device.owner

    @property
    def opened_at(self) -> datetime:
        """When its CONNECT was accepted."""
        return self._opened_at

    @property
    def is_clean(self) -> bool:
        """Whether its CONNECT requested a clean session (MQTT 3.1.1) or a clean start (MQTT 5)."""
        return self.protocol.connect is not None and self.protocol.connect.clean_start

    @property
    def session_expiry(self) -> int:
        """The granted session expiry in seconds after the end of the connection."""
        return self._session_expiry

    @property
    def sockets(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """The addresses and ports of the client and of the gateway."""
        return self._transport.sockets

    @property
    def valid_until(self) -> datetime:
        """When the certificate or access key expires; only after CONNECT was accepted."""
        return self.device.whom.device.valid_until
