"""Owns what the end of a connection is called in events, and what the data plane is told of it."""

from dataclasses import dataclass
from typing import Final

from thingmint.mqtt.events import DisconnectReason
from thingmint.mqtt.reason_codes import ReasonCode

_REASONS: Final = {
    ReasonCode.NOT_AUTHORIZED: DisconnectReason.AUTH_ERROR,
    ReasonCode.SESSION_TAKEN_OVER: DisconnectReason.DUPLICATE_CLIENTID,
    ReasonCode.KEEP_ALIVE_TIMEOUT: DisconnectReason.MQTT_KEEP_ALIVE_TIMEOUT,
    ReasonCode.ADMINISTRATIVE_ACTION: DisconnectReason.SERVER_INITIATED_DISCONNECT,
    ReasonCode.SERVER_SHUTTING_DOWN: DisconnectReason.SERVER_INITIATED_DISCONNECT,
    ReasonCode.UNSPECIFIED_ERROR: DisconnectReason.SERVER_ERROR,
    ReasonCode.SERVER_UNAVAILABLE: DisconnectReason.SERVER_ERROR,
    ReasonCode.SERVER_BUSY: DisconnectReason.SERVER_ERROR,
}


@dataclass(frozen=True, slots=True)
class Leave:
    """How the data plane is to be told of the end; a connection that is cut off has not left cleanly."""

    cleanly: bool = False
    session_expiry_interval: int | None = None


def reason_of(code: ReasonCode) -> DisconnectReason:
    """Return AWS IoT's word for an end that the gateway made; what is not its own doing is the client's fault."""
    return _REASONS.get(code, DisconnectReason.CLIENT_ERROR)
