"""Owns the reasons for the end of a connection in events, and its closing at the data plane."""

import logging
from typing import Final

from msgspec import Struct

from thingmint.mqtt.codec.packets import Disconnect
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.events import DisconnectReason
from thingmint.mqtt.gateway.link.device_link import DeviceLink
from thingmint.mqtt.gateway.services import Services

log = logging.getLogger(__name__)

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


# What MQTT 5 tells the client where the code alone would not say enough.
_SAID: Final = {
    ReasonCode.SERVER_UNAVAILABLE: "The broker behind the service has closed the connection",
    ReasonCode.SERVER_BUSY: "The broker behind the service does not answer",
    ReasonCode.SESSION_TAKEN_OVER: "Another connection of this client id has taken over",
    ReasonCode.QUOTA_EXCEEDED: "The client does not take its messages fast enough",
}


def reason_string(code: ReasonCode) -> str:
    """Return the reason string for an end by the data plane; empty if the code is sufficient."""
    return _SAID.get(code, "")


class DisconnectTerms(Struct, frozen=True):
    """How a client has left; a connection that is ended without DISCONNECT was not left cleanly."""

    cleanly: bool = False
    session_expiry_interval: int | None = None


def reason_of(code: ReasonCode) -> DisconnectReason:
    """Return AWS IoT's term for an end by the gateway; other ends count as errors of the client."""
    return _REASONS.get(code, DisconnectReason.CLIENT_ERROR)


def disconnect_terms(disconnect: Disconnect) -> DisconnectTerms:
    """Return how a client leaves with this DISCONNECT. Only code 0 removes the will (MQTT-3.1.2-8, MQTT-3.1.2-10)."""
    return DisconnectTerms(
        cleanly=disconnect.reason_code is ReasonCode.NORMAL_DISCONNECTION,
        session_expiry_interval=disconnect.properties.session_expiry_interval,
    )


async def close_above(services: Services, device: DeviceLink, terms: DisconnectTerms) -> None:
    """Close the connection at the data plane; log if that fails."""
    # A client that has left cleanly must not be taken for a lost one if it is back at once.
    if not terms.cleanly and services.slow_turns.is_over:
        await services.slow_turns.later(device.owner)
    # A client whose CONNECT was never accepted has no will.
    cleanly = terms.cleanly or device.admitted is None
    try:
        await services.data_plane.close(device, clean=cleanly, session_expiry_interval=terms.session_expiry_interval)
    except Exception:
        log.exception("the data plane could not close a connection")
