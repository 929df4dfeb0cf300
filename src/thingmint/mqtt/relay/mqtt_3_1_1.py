"""Owns the translation of devices' requests for a broker that supports only MQTT 3.1.1, and the refusal of the others.

MQTT 3.1.1 has one flag for two options of MQTT 5: whether the session is new, and whether it lasts after the
connection. The two mixed cases need a second connection: see `begins_anew_and_lasts` and `is_resumed_and_ends`.
"""

from collections.abc import Sequence
from dataclasses import replace

from thingmint.mqtt.codec.packets import Connect, ProtocolVersion, Publish, RetainHandling, Subscription
from thingmint.mqtt.codec.properties import NO_CONNECT_PROPERTIES, NO_PUBLISH_PROPERTIES, NO_WILL_PROPERTIES
from thingmint.mqtt.codec.reason_codes import ReasonCode


def in_3_1_1(connect: Connect) -> Connect:
    """Return the CONNECT for a broker of MQTT 3.1.1; the session expiry becomes the clean session flag.

    A will is published without its properties, and at once even if it has a delay.
    """
    will = None if connect.will is None else replace(connect.will, properties=NO_WILL_PROPERTIES)
    return replace(
        connect,
        version=ProtocolVersion.MQTT_3_1_1,
        clean_start=not _lasts(connect) and connect.clean_start,
        will=will,
        properties=NO_CONNECT_PROPERTIES,
    )


def begins_anew_and_lasts(connect: Connect) -> bool:
    """Return whether an earlier session must be ended first, by a connection with a clean session."""
    return connect.clean_start and _lasts(connect)


def is_resumed_and_ends(connect: Connect) -> bool:
    """Return whether the session must be ended afterwards, by a connection with a clean session."""
    return not connect.clean_start and not _lasts(connect)


def ending_of_session(connect: Connect) -> Connect:
    """Return the CONNECT of a connection that only ends the client's session."""
    return replace(in_3_1_1(connect), clean_start=True, will=None)


def loses(message: Publish) -> bool:
    """Return whether a part of the message cannot be sent in MQTT 3.1.1."""
    return message.properties != NO_PUBLISH_PROPERTIES


def refusals(subscriptions: Sequence[Subscription]) -> dict[str, ReasonCode]:
    """Return the filters whose options MQTT 3.1.1 does not have, with the code that refuses each.

    Retain As Published is not refused: without it, new messages have RETAIN 0, as in MQTT 3.1.1.
    """
    return {
        each.topic_filter: ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR
        for each in subscriptions
        if each.no_local or each.retain_handling is not RetainHandling.ALWAYS
    }


def _lasts(connect: Connect) -> bool:
    return bool(connect.properties.session_expiry_interval)
