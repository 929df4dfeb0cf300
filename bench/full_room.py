"""Owns the time of a publish in a room that is full: the built-in broker alone, with clients that are all away."""

import time
from typing import Final

from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope
from thingmint.mqtt.broker.broker import LocalBroker
from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Publish, QoS, Subscription
from thingmint.mqtt.codec.properties import ConnectProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.codec.shared_publish import SharedPublish
from thingmint.mqtt.data_plane import Delivery, NoWill
from thingmint.mqtt.queues.limits import BrokerLimits

PUBLISHES: Final = 400
PAYLOAD: Final = bytes(1_000)
HOARDERS: Final = 8
BYTES_EACH: Final = 4_000


class Absent:
    """A connection that is about to end."""

    scope = Scope(AccountId("000000000000"), Region("us-east-1"))
    principal_id = CertificateId("ab" * 32)
    version = ProtocolVersion.MQTT_5
    is_over = False
    receive_window = 100
    own_filters = 0
    will_right = NoWill()

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id

    def may_receive(self, topic: str) -> bool:
        """Allow everything."""
        return bool(topic)

    def deliver(self, message: Publish) -> Delivery:
        """Take nothing."""
        del message
        return Delivery.FULL

    def deliver_shared(self, message: SharedPublish, packet_id: int) -> Delivery:
        """Take nothing."""
        del message, packet_id
        return Delivery.FULL

    def disconnect(self, reason_code: ReasonCode) -> None:
        """Do nothing."""


def us_per_publish(sessions: int) -> float:
    """Fill the room with so many sessions, of which a few have most, and return the microseconds of a publish then."""
    broker = LocalBroker(BrokerLimits(queued_bytes_in_all=sessions * BYTES_EACH, offline_sessions=sessions))
    for number in range(sessions):
        device = Absent(f"device{number}")
        properties = ConnectProperties(session_expiry_interval=3600)
        broker.open(device, Connect(device.version, device.client_id, properties=properties), 0.0)
        broker.subscribe(device, [Subscription(f"to/{number}", QoS.AT_LEAST_ONCE)], 0.0)
        broker.close(device, 0.0, clean=True)
    number = 0
    while broker.publish(None, _message(number % HOARDERS), 0.0) is ReasonCode.SUCCESS:
        number += 1
    began_at = time.perf_counter()
    for each in range(PUBLISHES):
        code = broker.publish(None, _message(HOARDERS + each % (sessions - HOARDERS)), 0.0)
        if code is not ReasonCode.SUCCESS:
            raise RuntimeError("a message for a client that has little was refused")
    return (time.perf_counter() - began_at) / PUBLISHES * 1e6


def _message(number: int) -> Publish:
    return Publish(f"to/{number}", PAYLOAD, QoS.AT_LEAST_ONCE)
