"""Owns the answer to one CONNECT: admission, and the certificate's room."""

from typing import TypeVar

from thingmint.core.identifiers import Scope
from thingmint.mqtt.codec.packets import Connect
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.counters import Loss
from thingmint.mqtt.gateway.device_link import DeviceLink
from thingmint.mqtt.gateway.roster import Roster, RosterEntry
from thingmint.mqtt.gateway.services import Services
from thingmint.mqtt.rights.admission import Admitted, NotAdmitted, admit
from thingmint.mqtt.transport.tls import Peer

T = TypeVar("T", bound=RosterEntry)


async def admitted_with_room(
    services: Services, roster: Roster[T], device: DeviceLink, peer: Peer, connect: Connect
) -> Admitted:
    """Return the device that asks to connect, with its policies; raise NotAdmitted if it may not, or has no room."""
    admitted = await admit(services.registry, services.data_plane, peer, device.address, connect, device.client_id)
    _require_room(services, roster, device, admitted.device.scope)
    return admitted


def _require_room(services: Services, roster: Roster[T], device: DeviceLink, scope: Scope) -> None:
    """Raise NotAdmitted if the certificate has so many connections that others would find no room."""
    limit = services.limits.max_connections_per_certificate
    if not roster.has_room_for(scope, device.client_id, device.certificate_id, limit):
        services.counters.lost(Loss.CERTIFICATE_CONNECTIONS)
        message = "The certificate has too many connections"
        raise NotAdmitted(ReasonCode.QUOTA_EXCEEDED, message, message)
