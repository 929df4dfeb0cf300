"""Owns what the built-in broker knows of one client id: its subscriptions, its outbox, its will, and until when."""

from dataclasses import dataclass, field

from thingmint.mqtt.data_plane import DeviceConnection, WillRight
from thingmint.mqtt.outbox import Outbox
from thingmint.mqtt.packets import ProtocolVersion, Publish, QoS, Will
from thingmint.mqtt.properties import PublishProperties
from thingmint.mqtt.reason_codes import ReasonCode
from thingmint.mqtt.router import Readiness
from thingmint.mqtt.topics import TopicFilter


@dataclass(slots=True, eq=False)
class Session:
    """Lives while its client is connected, and for ``expiry`` seconds after. MQTT 3.1.1 and 5 do not share sessions."""

    client_id: str
    version: ProtocolVersion
    outbox: Outbox
    subscriptions: dict[str, TopicFilter] = field(default_factory=dict)
    expiry: int = 0
    connection: DeviceConnection | None = None
    is_receiving: bool = False
    """Set by the first ``resume``: before CONNACK nothing is sent."""
    is_ending: bool = False
    """Whether the connection was told to end."""
    will: Will | None = None
    will_right: WillRight | None = None
    """What decides whether the will may be published when it is due."""
    will_at: float = 0
    """When the will is due, once the client is away."""
    expires_at: float = 0
    """When the session ends, once the client is away."""

    def begin(self, connection: DeviceConnection, will: Will | None, expiry: int) -> None:
        """Set a new connection; a will that waited for the client's return is not published (MQTT-3.1.3-9)."""
        self.connection, self.is_receiving, self.is_ending = connection, False, False
        self.will, self.expiry = will, expiry
        self.will_right = None if will is None else connection.will_right
        self.outbox.begin()

    def leave(self, now: float, *, clean: bool) -> None:
        """Set when what the connection leaves behind is due."""
        self.connection, self.is_receiving = None, False
        self.outbox.interrupt()
        self.expires_at = now + self.expiry
        if clean:
            self.will = None
        if self.will is not None:
            # MQTT 5, 3.1.3.2.2: after the delay, or when the session ends if that is earlier.
            self.will_at = now + min(self.will.properties.will_delay_interval or 0, self.expiry)

    def flush(self, now: float) -> None:
        """Send what waits, if the client is there to receive it."""
        if self.connection is not None and self.is_receiving:
            self.outbox.flush(self.connection, now)

    def end_connection(self, reason_code: ReasonCode) -> None:
        """End the connection, if there is one and it is not ending already; nothing more is sent on it."""
        if self.connection is not None and not self.is_ending:
            self.is_receiving, self.is_ending = False, True
            self.connection.disconnect(reason_code)

    def readiness(self, topic: str) -> Readiness:
        """Say whether it can be given a message of a shared subscription."""
        if self.connection is None or not self.is_receiving:
            return Readiness.AWAY
        return Readiness.CONNECTED if self.connection.may_receive(topic) else Readiness.NOT_ALLOWED


def will_message(will: Will) -> Publish:
    """Return the message that a will is."""
    properties = will.properties
    return Publish(
        will.topic,
        will.payload,
        min(will.qos, QoS.AT_LEAST_ONCE),
        will.retain,
        properties=PublishProperties(
            payload_format_indicator=properties.payload_format_indicator,
            message_expiry_interval=properties.message_expiry_interval,
            content_type=properties.content_type,
            response_topic=properties.response_topic,
            correlation_data=properties.correlation_data,
            user_properties=properties.user_properties,
        ),
    )
