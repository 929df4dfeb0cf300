"""The life-cycle events of connections, in AWS IoT's words."""

import json
from datetime import UTC, datetime

import pytest
from tests.support.brokers.broker import SCOPE

from thingmint.core.identifiers import CertificateId
from thingmint.mqtt.edges.life_cycle import life_cycle_event
from thingmint.mqtt.events import (
    ClientConnected,
    ClientDisconnected,
    ClientSubscribed,
    ClientUnsubscribed,
    ConnectRefused,
    DisconnectReason,
    GatewayEvent,
    Link,
)

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MILLISECONDS = 1767323045678
CERTIFICATE = CertificateId("ab" * 32)
LINK = Link("pump", CERTIFICATE, "session-1", "192.0.2.1", SCOPE)
COMMON = {
    "clientId": "pump",
    "timestamp": MILLISECONDS,
    "sessionIdentifier": "session-1",
    "principalIdentifier": CERTIFICATE,
}


@pytest.mark.parametrize(
    ("event", "topic", "members"),
    [
        (
            ClientConnected(LINK, AT),
            "presence/connected/pump",
            {"eventType": "connected", "ipAddress": "192.0.2.1", "versionNumber": MILLISECONDS},
        ),
        (
            ClientDisconnected(LINK, AT, DisconnectReason.CLIENT_INITIATED_DISCONNECT),
            "presence/disconnected/pump",
            {
                "eventType": "disconnected",
                "clientInitiatedDisconnect": True,
                "disconnectReason": "CLIENT_INITIATED_DISCONNECT",
                "versionNumber": MILLISECONDS,
            },
        ),
        (
            ClientDisconnected(LINK, AT, DisconnectReason.MQTT_KEEP_ALIVE_TIMEOUT),
            "presence/disconnected/pump",
            {
                "eventType": "disconnected",
                "clientInitiatedDisconnect": False,
                "disconnectReason": "MQTT_KEEP_ALIVE_TIMEOUT",
                "versionNumber": MILLISECONDS,
            },
        ),
        (
            ClientSubscribed(LINK, AT, ("a/+", "b")),
            "subscriptions/subscribed/pump",
            {"eventType": "subscribed", "topics": ["a/+", "b"]},
        ),
        (
            ClientUnsubscribed(LINK, AT, ("a/+",)),
            "subscriptions/unsubscribed/pump",
            {"eventType": "unsubscribed", "topics": ["a/+"]},
        ),
    ],
)
def test_an_event_has_the_topic_and_members_of_aws(event: GatewayEvent, topic: str, members: dict[str, object]) -> None:
    published = life_cycle_event(event)
    assert published is not None
    assert published[0] == f"$aws/events/{topic}"
    assert json.loads(published[1]) == COMMON | members


@pytest.mark.parametrize("client_id", ["a+", "#", "a/#", "a\t", "\x7f", "\uffff"])
def test_nothing_is_published_of_clients_whose_id_no_topic_may_have(client_id: str) -> None:
    assert life_cycle_event(ClientConnected(Link(client_id, CERTIFICATE, "s", "192.0.2.1", SCOPE), AT)) is None


def test_a_refused_connect_is_for_operators_alone() -> None:
    assert life_cycle_event(ConnectRefused(CERTIFICATE, "192.0.2.1", AT, "why")) is None
