"""Owns the relay's CONNECT to the broker, the terms in the broker's CONNACK, and the translation of its refusals.

If the broker supports MQTT 5, the relay uses it for every device: the broker then gets the device's Receive Maximum and
maximum packet size, gives reasons for refusals, and expires sessions of MQTT 3.1.1 clients as AWS does. For other
brokers the relay uses MQTT 3.1.1, see `mqtt_3_1_1`.
"""

from typing import Final

from msgspec import Struct

from thingmint.mqtt.codec.packets import Connack, Connect, ProtocolVersion
from thingmint.mqtt.codec.properties import ConnectProperties
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.data_plane import DeviceConnection
from thingmint.mqtt.gateway.link.device_protocol import MAX_PACKET_BYTES
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.relay.abilities import BrokerAbilities
from thingmint.mqtt.relay.credentials import Login

KEEP_ALIVE_SECONDS: Final = 300
# Refusals that the device's own CONNECT can cause. Others concern only the relay and the broker.
_REFUSED_BY_BROKER: Final = frozenset(
    {
        ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
        ReasonCode.NOT_AUTHORIZED,
        ReasonCode.SERVER_BUSY,
        ReasonCode.TOPIC_NAME_INVALID,
        ReasonCode.PACKET_TOO_LARGE,
        ReasonCode.QUOTA_EXCEEDED,
        ReasonCode.PAYLOAD_FORMAT_INVALID,
        ReasonCode.RETAIN_NOT_SUPPORTED,
        ReasonCode.QOS_NOT_SUPPORTED,
        ReasonCode.CONNECTION_RATE_EXCEEDED,
    }
)
_ENDED_BY_BROKER: Final = frozenset(
    {
        ReasonCode.NOT_AUTHORIZED,
        ReasonCode.SERVER_BUSY,
        ReasonCode.SERVER_SHUTTING_DOWN,
        ReasonCode.SESSION_TAKEN_OVER,
        ReasonCode.MESSAGE_RATE_TOO_HIGH,
        ReasonCode.QUOTA_EXCEEDED,
        ReasonCode.ADMINISTRATIVE_ACTION,
    }
)


def upstream_connect(connection: DeviceConnection, connect: Connect, limits: BrokerLimits, login: Login) -> Connect:
    """Return the CONNECT for a broker of MQTT 5."""
    properties = connect.properties
    return Connect(
        ProtocolVersion.MQTT_5,
        connection.client_id,
        connect.clean_start,
        KEEP_ALIVE_SECONDS,
        connect.will,
        login.username,
        login.password,
        properties=ConnectProperties(
            session_expiry_interval=limits.session_expiry(connect),
            receive_maximum=connection.receive_window,
            maximum_packet_size=min(properties.maximum_packet_size or MAX_PACKET_BYTES, MAX_PACKET_BYTES),
            user_properties=properties.user_properties,
        ),
    )


def refusal_of_connect(code: ReasonCode) -> PacketRefused:
    """Return the device's refusal if the broker does not accept its CONNECT."""
    told = code if code in _REFUSED_BY_BROKER else ReasonCode.SERVER_UNAVAILABLE
    return PacketRefused(told, "The broker did not accept the connection")


def ending_of(code: ReasonCode) -> ReasonCode:
    """Return the device's reason code if the broker ends the connection."""
    return code if code in _ENDED_BY_BROKER else ReasonCode.SERVER_UNAVAILABLE


class BrokerTerms(Struct, frozen=True):
    """The terms that the broker grants a connection. Times are in seconds; a ``keep_alive`` of 0 means none."""

    session_present: bool
    session_expiry_interval: int
    keep_alive: int
    abilities: BrokerAbilities


def terms_of(connack: Connack, asked: Connect, abilities: BrokerAbilities) -> BrokerTerms:
    """Return the terms that the broker has granted; raise PacketRefused if it has refused."""
    if connack.reason_code.is_failure:
        raise refusal_of_connect(connack.reason_code)
    properties = connack.properties
    granted, wanted = properties.session_expiry_interval, asked.properties.session_expiry_interval or 0
    return BrokerTerms(
        connack.session_present,
        wanted if granted is None else granted,
        KEEP_ALIVE_SECONDS if properties.server_keep_alive is None else properties.server_keep_alive,
        abilities.within(properties),
    )
