"""Owns the decision whether a CONNECT is accepted, by the device's credentials and policies. Changes nothing."""

from datetime import datetime
from typing import Final

from msgspec import Struct

from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import PrincipalId, Scope
from thingmint.core.topics.names import is_reserved
from thingmint.mqtt.codec.packets import Connect
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.data_plane import DataPlane
from thingmint.mqtt.events import ConnectRefused, Refused
from thingmint.mqtt.rights.permissions import attributes_of, of_connect, to_connect
from thingmint.mqtt.rights.ports import (
    ConnectionFacts,
    Device,
    DeviceAuthorizer,
    DeviceRefused,
    DeviceRegistry,
    HandshakeSigner,
    Presented,
)

_NOT_AUTHORIZED: Final = "Not authorized"


class NotAdmitted(PacketRefused):
    """The CONNECT is refused; ``why`` is for operators, because the client must not learn the details."""

    def __init__(
        self,
        reason_code: ReasonCode,
        message: str,
        why: str,
        refused: Refused | None = None,
        scope: Scope | None = None,
    ) -> None:
        super().__init__(reason_code, message)
        self.why = why
        self.refused = refused
        self.scope = scope


class Admitted(Struct):
    """A device that may connect; its authorizer is replaced when policies change."""

    device: Device
    facts: ConnectionFacts
    authorizer: DeviceAuthorizer


async def admit(
    registry: DeviceRegistry, data_plane: DataPlane, peer: Presented, address: str, connect: Connect, client_id: str
) -> Admitted:
    """Return the device that sent CONNECT, with its policies; raise NotAdmitted if it may not connect."""
    if connect.will is not None and is_reserved(connect.will.topic):
        message = "A will cannot go to a reserved topic"
        raise NotAdmitted(ReasonCode.TOPIC_NAME_INVALID, message, message)
    facts = ConnectionFacts(
        client_id=client_id,
        source_address=address,
        server_name=peer.server_name,
        attributes=attributes_of(connect),
        will_topic=connect.will.topic if connect.will else None,
        conditions=peer.conditions if isinstance(peer, HandshakeSigner) else {},
    )
    needed = to_connect(client_id)
    try:
        if isinstance(peer, HandshakeSigner):
            device = await registry.identify_signer(peer, address)
        else:
            device = await registry.identify(peer.chain, peer.server_name, address)
        if not data_plane.serves(device.scope):
            why = f"the broker behind this service does not serve account {device.scope.account}"
            refused = Refused(needed.action, "ACCOUNT_NOT_SERVED", needed.resource, detail=why)
            raise NotAdmitted(ReasonCode.NOT_AUTHORIZED, _NOT_AUTHORIZED, why, refused, device.scope)
        authorizer = await device.authorizer(facts)
    except DeviceRefused as error:
        refused = Refused(needed.action, error.reason, needed.resource, detail=error.detail or None)
        raise NotAdmitted(ReasonCode.NOT_AUTHORIZED, _NOT_AUTHORIZED, error.reason, refused, error.scope) from error
    except ThingmintError as error:
        raise NotAdmitted(ReasonCode.SERVER_UNAVAILABLE, error.message, error.message) from error
    for needed in of_connect(connect, client_id):
        if not needed.is_given_by(authorizer):
            why, refused = f"{needed.action} is not allowed", needed.refused_by(authorizer)
            raise NotAdmitted(ReasonCode.NOT_AUTHORIZED, _NOT_AUTHORIZED, why, refused, device.scope)
    return Admitted(device, facts, authorizer)


def connect_refused(
    refusal: PacketRefused,
    principal_id: PrincipalId,
    address: str,
    at: datetime,
    client_id: str,
    scope: Scope | None,
) -> ConnectRefused:
    """Return the event for operators about a CONNECT that was refused here, for its form, or by the data plane."""
    why, refused = refusal.message, to_connect(client_id).refused_for(refusal.reason_code.name)
    if isinstance(refusal, NotAdmitted):
        why, refused, scope = refusal.why, refusal.refused or refused, scope or refusal.scope
    return ConnectRefused(principal_id, address, at, why, client_id, scope, refused)
