"""Owns the properties of each MQTT 5 packet as typed values. Independent of their encoding.

None means that a property is absent. The receiver applies the default values, which MQTT 5 states for each property.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from msgspec import Struct

UserProperties: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectProperties:
    """MQTT 5, 3.1.2.11."""

    session_expiry_interval: int | None = None
    receive_maximum: int | None = None
    maximum_packet_size: int | None = None
    topic_alias_maximum: int | None = None
    request_response_information: bool | None = None
    request_problem_information: bool | None = None
    user_properties: UserProperties = ()
    authentication_method: str | None = None
    authentication_data: bytes | None = field(default=None, repr=False)


class WillProperties(Struct, frozen=True, kw_only=True):
    """MQTT 5, 3.1.3.2."""

    will_delay_interval: int | None = None
    payload_format_indicator: bool | None = None
    message_expiry_interval: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: UserProperties = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnackProperties:
    """MQTT 5, 3.2.2.3."""

    session_expiry_interval: int | None = None
    receive_maximum: int | None = None
    maximum_qos: int | None = None
    retain_available: bool | None = None
    maximum_packet_size: int | None = None
    assigned_client_identifier: str | None = None
    topic_alias_maximum: int | None = None
    reason_string: str | None = None
    user_properties: UserProperties = ()
    wildcard_subscription_available: bool | None = None
    subscription_identifiers_available: bool | None = None
    shared_subscription_available: bool | None = None
    server_keep_alive: int | None = None
    response_information: str | None = None
    server_reference: str | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = field(default=None, repr=False)


class PublishProperties(Struct, frozen=True, kw_only=True):
    """MQTT 5, 3.3.2.3. Only servers send subscription identifiers."""

    payload_format_indicator: bool | None = None
    message_expiry_interval: int | None = None
    topic_alias: int | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: UserProperties = ()
    subscription_identifiers: tuple[int, ...] = ()
    content_type: str | None = None


class AcknowledgementProperties(Struct, frozen=True, kw_only=True):
    """The two properties of PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK."""

    reason_string: str | None = None
    user_properties: UserProperties = ()


class SubscribeProperties(Struct, frozen=True, kw_only=True):
    """MQTT 5, 3.8.2.1."""

    subscription_identifier: int | None = None
    user_properties: UserProperties = ()


class UnsubscribeProperties(Struct, frozen=True, kw_only=True):
    """MQTT 5, 3.10.2.1."""

    user_properties: UserProperties = ()


class DisconnectProperties(Struct, frozen=True, kw_only=True):
    """MQTT 5, 3.14.2.2. Only clients send the expiry interval, only servers the reference to another server."""

    session_expiry_interval: int | None = None
    reason_string: str | None = None
    user_properties: UserProperties = ()
    server_reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthProperties:
    """MQTT 5, 3.15.2.2."""

    authentication_method: str | None = None
    authentication_data: bytes | None = field(default=None, repr=False)
    reason_string: str | None = None
    user_properties: UserProperties = ()


NO_CONNECT_PROPERTIES = ConnectProperties()
NO_WILL_PROPERTIES = WillProperties()
NO_CONNACK_PROPERTIES = ConnackProperties()
NO_PUBLISH_PROPERTIES = PublishProperties()
NO_ACKNOWLEDGEMENT_PROPERTIES = AcknowledgementProperties()
NO_SUBSCRIBE_PROPERTIES = SubscribeProperties()
NO_UNSUBSCRIBE_PROPERTIES = UnsubscribeProperties()
NO_DISCONNECT_PROPERTIES = DisconnectProperties()
NO_AUTH_PROPERTIES = AuthProperties()
