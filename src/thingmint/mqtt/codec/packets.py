"""Owns the content of MQTT's control packets as values, for both versions. Independent of their encoding.

Fields that only MQTT 5 has keep their defaults in MQTT 3.1.1: properties, reason codes of acknowledgements and the
options of a subscription. Reprs omit payloads, passwords and authentication data, because answers to devices contain
private keys.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from msgspec import Struct

from thingmint.mqtt.codec.properties import (
    NO_ACKNOWLEDGEMENT_PROPERTIES,
    NO_AUTH_PROPERTIES,
    NO_CONNACK_PROPERTIES,
    NO_CONNECT_PROPERTIES,
    NO_DISCONNECT_PROPERTIES,
    NO_PUBLISH_PROPERTIES,
    NO_SUBSCRIBE_PROPERTIES,
    NO_UNSUBSCRIBE_PROPERTIES,
    NO_WILL_PROPERTIES,
    AcknowledgementProperties,
    AuthProperties,
    ConnackProperties,
    ConnectProperties,
    DisconnectProperties,
    PublishProperties,
    SubscribeProperties,
    UnsubscribeProperties,
    WillProperties,
)
from thingmint.mqtt.codec.reason_codes import ReasonCode


class ProtocolVersion(IntEnum):
    """The protocol level of CONNECT."""

    MQTT_3_1_1 = 4
    MQTT_5 = 5


class QoS(IntEnum):
    """The quality of service: at most once, at least once or exactly once."""

    AT_MOST_ONCE = 0
    AT_LEAST_ONCE = 1
    EXACTLY_ONCE = 2


class RetainHandling(IntEnum):
    """Which retained messages a new subscription receives (MQTT 5, 3.8.3.1)."""

    ALWAYS = 0
    ONLY_IF_NEW = 1
    NEVER = 2


@dataclass(frozen=True, slots=True)
class Will:
    """The message that is published if a client disconnects without DISCONNECT."""

    topic: str
    payload: bytes = field(repr=False)
    qos: QoS = QoS.AT_MOST_ONCE
    retain: bool = False
    properties: WillProperties = NO_WILL_PROPERTIES


@dataclass(frozen=True, slots=True)
class Connect:
    """The client's first packet. ``clean_start`` is MQTT 3.1.1's clean session."""

    version: ProtocolVersion
    client_id: str
    clean_start: bool = True
    keep_alive: int = 0
    will: Will | None = None
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)
    properties: ConnectProperties = NO_CONNECT_PROPERTIES


class Connack(Struct, frozen=True):
    """The server's first packet; MQTT 3.1.1 has only the codes in ``reason_tables.RETURN_CODES``."""

    session_present: bool
    reason_code: ReasonCode
    properties: ConnackProperties = NO_CONNACK_PROPERTIES


class Publish(Struct, frozen=True):
    """A message. ``packet_id`` is 0 at QoS 0; if the topic is empty, ``properties.topic_alias`` is used.

    Its representation leaves out the payload, which may be a secret, and the properties.
    """

    topic: str
    payload: bytes
    qos: QoS = QoS.AT_MOST_ONCE
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    properties: PublishProperties = NO_PUBLISH_PROPERTIES

    def __repr__(self) -> str:
        return f"Publish(topic={self.topic!r}, qos={self.qos!r}, retain={self.retain!r}, packet_id={self.packet_id!r})"


class Puback(Struct, frozen=True):
    """The answer to a QoS 1 message."""

    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: AcknowledgementProperties = NO_ACKNOWLEDGEMENT_PROPERTIES


class Pubrec(Struct, frozen=True):
    """The first answer of QoS 2, decoded only to be refused."""

    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: AcknowledgementProperties = NO_ACKNOWLEDGEMENT_PROPERTIES


class Pubrel(Struct, frozen=True):
    """The second step of QoS 2, decoded only to be refused."""

    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: AcknowledgementProperties = NO_ACKNOWLEDGEMENT_PROPERTIES


class Pubcomp(Struct, frozen=True):
    """The last step of QoS 2, decoded only to be refused."""

    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: AcknowledgementProperties = NO_ACKNOWLEDGEMENT_PROPERTIES


class Subscription(Struct, frozen=True):
    """A topic filter as the client sent it, valid or not, and the options of its delivery."""

    topic_filter: str
    qos: QoS = QoS.AT_MOST_ONCE
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: RetainHandling = RetainHandling.ALWAYS


class Subscribe(Struct, frozen=True):
    """One or more filters."""

    packet_id: int
    subscriptions: tuple[Subscription, ...]
    properties: SubscribeProperties = NO_SUBSCRIBE_PROPERTIES


class Suback(Struct, frozen=True):
    """One code for each filter, in order; MQTT 3.1.1 encodes every failure as 0x80."""

    packet_id: int
    reason_codes: tuple[ReasonCode, ...]
    properties: AcknowledgementProperties = NO_ACKNOWLEDGEMENT_PROPERTIES


class Unsubscribe(Struct, frozen=True):
    """One or more filters."""

    packet_id: int
    topic_filters: tuple[str, ...]
    properties: UnsubscribeProperties = NO_UNSUBSCRIBE_PROPERTIES


class Unsuback(Struct, frozen=True):
    """One code for each filter, in order; MQTT 3.1.1 has no codes."""

    packet_id: int
    reason_codes: tuple[ReasonCode, ...] = ()
    properties: AcknowledgementProperties = NO_ACKNOWLEDGEMENT_PROPERTIES


class Pingreq(Struct, frozen=True):
    """The client's ping."""


class Pingresp(Struct, frozen=True):
    """The server's answer to a ping."""


class Disconnect(Struct, frozen=True):
    """The last packet of a connection; a server sends it in MQTT 5 only."""

    reason_code: ReasonCode = ReasonCode.NORMAL_DISCONNECTION
    properties: DisconnectProperties = NO_DISCONNECT_PROPERTIES


class Auth(Struct, frozen=True):
    """A step of extended authentication, MQTT 5 only."""

    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: AuthProperties = NO_AUTH_PROPERTIES


ClientPacket: TypeAlias = (
    Connect | Publish | Puback | Pubrec | Pubrel | Pubcomp | Subscribe | Unsubscribe | Pingreq | Disconnect | Auth
)
ServerPacket: TypeAlias = (
    Connack | Publish | Puback | Pubrec | Pubrel | Pubcomp | Suback | Unsuback | Pingresp | Disconnect | Auth
)
Packet: TypeAlias = ClientPacket | ServerPacket
