"""Owns the handling of CONNECT: admits the client, checks the limits, and opens its session at the data plane."""

import uuid
from typing import Protocol, TypeVar

from thingmint.core.identifiers import Scope
from thingmint.mqtt.codec.packets import Connect
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.counters import Loss
from thingmint.mqtt.data_plane import Opened
from thingmint.mqtt.gateway.connection_index import ConnectionIndex, IndexedConnection
from thingmint.mqtt.gateway.link.device_link import DeviceLink
from thingmint.mqtt.gateway.services import Services
from thingmint.mqtt.rights.admission import Admitted, NotAdmitted, admit
from thingmint.mqtt.rights.ports import Presented
from thingmint.mqtt.rights.will_right import DeviceWillRight


class ConnectingDevice(IndexedConnection, Protocol):
    """A connection whose CONNECT is being answered."""

    device: DeviceLink

    is_stale: bool
    """Whether policies have changed since they were read for this connection."""

    is_open_above: bool
    """Whether the data plane has opened a session for the connection, which must be closed there."""

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended."""
        ...


T = TypeVar("T", bound=ConnectingDevice)


async def enter(
    connection: T, services: Services, index: ConnectionIndex[T], peer: Presented, connect: Connect
) -> Opened | None:
    """Admit the client and open its session; return None if the connection has ended meanwhile.

    Raises NotAdmitted if the client may not connect or a limit is reached, PacketRefused if the data plane refuses it,
    its certificate was transferred to another account meanwhile, or it does not accept a packet of CONNACK's size.
    """
    device = connection.device
    admitted = await _admitted_with_room(connection, services, index, peer, connect)
    device.owner = admitted.device.scope
    if connection.is_over:
        return None
    device.will_right = DeviceWillRight(admitted.device, admitted.facts, services.counters)
    opened = await services.data_plane.open(device, connect)
    connection.is_open_above = True
    current = await _with_current_policies(admitted, connection, services, index, peer, connect)
    if current is None:
        return None
    device.protocol.require_connack_fits(opened)
    device.admitted, device.session_id = current, str(uuid.uuid4())
    return opened


async def _with_current_policies(
    admitted: Admitted, connection: T, services: Services, index: ConnectionIndex[T], peer: Presented, connect: Connect
) -> Admitted | None:
    """Return the device with its current policies; None if the connection has ended."""
    while connection.is_stale and not connection.is_over:
        admitted = await _admitted_with_room(connection, services, index, peer, connect)
        if admitted.device.scope != connection.device.owner:
            # Its session is that of another account's client. The client is identified anew when it connects again.
            raise PacketRefused(ReasonCode.SERVER_UNAVAILABLE, "The certificate has changed hands")
    return None if connection.is_over else admitted


async def _admitted_with_room(
    connection: T, services: Services, index: ConnectionIndex[T], peer: Presented, connect: Connect
) -> Admitted:
    connection.is_stale, device = False, connection.device
    admitted = await admit(services.registry, services.data_plane, peer, device.address, connect, device.client_id)
    _require_room(services, index, device, admitted.device.scope)
    return admitted


def _require_room(services: Services, index: ConnectionIndex[T], device: DeviceLink, scope: Scope) -> None:
    """Raise NotAdmitted if the certificate or access key has its maximum number of connections."""
    limit = services.limits.max_connections_per_certificate
    if not index.has_room_for(scope, device.client_id, device.principal_id, limit):
        services.counters.lost(Loss.CERTIFICATE_CONNECTIONS)
        message = "The certificate or access key has too many connections"
        raise NotAdmitted(ReasonCode.QUOTA_EXCEEDED, message, message)
