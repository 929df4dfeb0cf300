"""Owns the life-cycle events of connections in AWS IoT's form: their topics and their JSON. Publishes nothing."""

from datetime import datetime
from typing import Final

import msgspec

from thingmint.core.principals import shown_principal
from thingmint.core.topics.patterns import event_topic
from thingmint.core.topics.texts import has_unsafe_character
from thingmint.mqtt.events import (
    ActionRefused,
    ClientConnected,
    ClientDisconnected,
    ClientSubscribed,
    ClientUnsubscribed,
    ConnectRefused,
    GatewayEvent,
    Link,
    MessageNotServed,
)

_WILDCARDS: Final = frozenset("+#")


def life_cycle_event(event: GatewayEvent) -> tuple[str, bytes] | None:
    """Return topic and payload of the message that AWS publishes for the event; None if AWS publishes none.

    Nothing is published for clients whose id contains a wildcard, because their topics would be filters, or a character
    because of which a receiver may end its connection.
    """
    match event:
        case ClientConnected():
            kind = "presence/connected"
            members: dict[str, object] = {
                "ipAddress": event.link.source_address,
                "versionNumber": _milliseconds(event.at),
            }
        case ClientDisconnected():
            kind = "presence/disconnected"
            members = {
                "clientInitiatedDisconnect": event.client_initiated,
                "disconnectReason": str(event.reason),
                "versionNumber": _milliseconds(event.at),
            }
        case ClientSubscribed():
            kind, members = "subscriptions/subscribed", {"topics": list(event.topic_filters)}
        case ClientUnsubscribed():
            kind, members = "subscriptions/unsubscribed", {"topics": list(event.topic_filters)}
        case ConnectRefused() | ActionRefused() | MessageNotServed():
            return None
    if not _WILDCARDS.isdisjoint(event.link.client_id) or has_unsafe_character(event.link.client_id):
        return None
    everything = _common(event.link, event.at, kind.rpartition("/")[2]) | members
    return event_topic(f"{kind}/{event.link.client_id}"), msgspec.json.encode(everything)


def _common(link: Link, at: datetime, event_type: str) -> dict[str, object]:
    return {
        "clientId": link.client_id,
        "timestamp": _milliseconds(at),
        "eventType": event_type,
        "sessionIdentifier": link.session_id,
        "principalIdentifier": shown_principal(link.principal_id),
    }


def _milliseconds(at: datetime) -> int:
    # Also the version number, which AWS documents as increasing, so that receivers can order late events.
    return int(at.timestamp() * 1000)
