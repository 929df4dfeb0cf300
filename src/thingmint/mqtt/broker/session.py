"""Owns the state of one client id in the built-in broker: subscriptions, outbox, will and expiry."""

from msgspec import Struct, field

from thingmint.core.topics.names import TopicFilter
from thingmint.mqtt.codec.packets import ProtocolVersion, Publish, QoS, Will
from thingmint.mqtt.codec.properties import PublishProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.codec.shared_publish import SharedPublish
from thingmint.mqtt.data_plane import DeviceConnection, WillRight
from thingmint.mqtt.queues.kept_message import KeptMessage
from thingmint.mqtt.queues.outbox import Outbox


class Session(Struct, eq=False):
    """Lasts while its client is connected, and ``expiry`` seconds longer. MQTT 3.1.1 and 5 do not share sessions."""

    client_id: str
    version: ProtocolVersion
    outbox: Outbox
    subscriptions: dict[str, TopicFilter] = field(default_factory=dict)
    shared_filters: tuple[str, ...] = ()
    expiry: int = 0
    connection: DeviceConnection | None = None
    is_receiving: bool = False
    """Set by the first ``resume``; nothing is sent before CONNACK."""
    is_ending: bool = False
    """Whether the connection was told to end."""
    will: KeptMessage | None = None
    will_right: WillRight | None = None
    """Decides whether the will may be published when it is due."""
    will_delay: int = 0
    will_at: float = 0
    """When the will is due, once the client is away."""
    expires_at: float = 0
    """When the session ends, once the client is away."""
    due_at: float = 0
    """When the broker examines the session next, once the client is away."""

    def begin(self, connection: DeviceConnection, expiry: int, now: float) -> None:
        """Use a new connection; nothing is sent on it before the first ``resume``."""
        self.connection, self.is_receiving, self.is_ending = connection, False, False
        self.expiry = expiry
        self.outbox.begin(now)

    def leave(self, now: float) -> None:
        """Set the times at which the will and the end of the session are due."""
        self.connection, self.is_receiving = None, False
        self.outbox.interrupt()
        self.expires_at = now + self.expiry
        # MQTT 5, 3.1.3.2.2: after the delay, or when the session ends if that is earlier.
        self.will_at = now + min(self.will_delay, self.expiry)

    def flush(self, now: float, shared: SharedPublish | None = None) -> None:
        """Send waiting messages, if the client is connected."""
        if self.connection is not None and self.is_receiving:
            self.outbox.flush(self.connection, now, shared)

    def end_connection(self, reason_code: ReasonCode) -> bool:
        """End the connection and return True; return False if there is none or it is already ending.

        Nothing more is sent on the connection.
        """
        if self.connection is None or self.is_ending:
            return False
        self.is_receiving, self.is_ending = False, True
        self.connection.disconnect(reason_code)
        return True


def will_message(will: Will) -> Publish:
    """Return a will as a message."""
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
