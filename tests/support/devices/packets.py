"""Owns how tests draw MQTT packets that a client or a server may send, in a version, and how they read them back."""

from dataclasses import replace
from inspect import get_annotations
from typing import Any

from hypothesis import strategies as st

from thingmint.mqtt.codec import packets as p
from thingmint.mqtt.codec import properties, reason_tables
from thingmint.mqtt.codec.codec import decode_client_packet, decode_server_packet
from thingmint.mqtt.codec.framing import Frame, FrameReader
from thingmint.mqtt.codec.packets import ClientPacket, Packet, ProtocolVersion, QoS, ServerPacket

V3, V5 = ProtocolVersion.MQTT_3_1_1, ProtocolVersion.MQTT_5
VERSIONS = st.sampled_from((V3, V5))

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
TOPICS = st.text(st.characters(codec="utf-8", exclude_characters="\0+#"), min_size=1, max_size=12)
BINARIES = st.binary(max_size=12)
PACKET_IDS = st.integers(1, 0xFFFF)
_BYTE2, _POSITIVE2 = st.integers(0, 0xFFFF), st.integers(1, 0xFFFF)
_BYTE4, _POSITIVE4 = st.integers(0, 0xFFFF_FFFF), st.integers(1, 0xFFFF_FFFF)
_VARIABLE = st.one_of(st.integers(1, 268_435_455), st.sampled_from((127, 128, 16_383, 16_384, 2_097_151, 2_097_152)))

_PROPERTY_VALUES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(
        ("session_expiry_interval", "message_expiry_interval", "will_delay_interval"),
        _BYTE4,
    ),
    **dict.fromkeys(("receive_maximum", "topic_alias"), _POSITIVE2),
    **dict.fromkeys(("topic_alias_maximum", "server_keep_alive"), _BYTE2),
    "maximum_packet_size": _POSITIVE4,
    "maximum_qos": st.integers(0, 1),
    "subscription_identifier": _VARIABLE,
    "subscription_identifiers": st.lists(_VARIABLE, min_size=1, max_size=3).map(tuple),
    "user_properties": st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3).map(tuple),
    **dict.fromkeys(("authentication_data", "correlation_data"), BINARIES),
    "response_topic": TOPICS,
    **dict.fromkeys(
        (
            *("payload_format_indicator", "request_response_information", "request_problem_information"),
            *("retain_available", "wildcard_subscription_available", "subscription_identifiers_available"),
            "shared_subscription_available",
        ),
        st.booleans(),
    ),
    **dict.fromkeys(
        (
            *("content_type", "assigned_client_identifier", "authentication_method", "response_information"),
            *("server_reference", "reason_string"),
        ),
        TEXTS,
    ),
}


def property_sets(kind: type[Any], *never: str) -> st.SearchStrategy[Any]:
    """Draw properties of a kind, each present or not, but for those that the sender may not send."""
    names = [name for name in get_annotations(kind) if name not in never]
    return st.fixed_dictionaries({}, optional={name: _PROPERTY_VALUES[name] for name in names}).map(
        lambda values: _with_method(kind(**values))
    )


def _with_method(drawn: Any) -> Any:
    # Authentication data without a method is a protocol error.
    if getattr(drawn, "authentication_data", None) is not None and drawn.authentication_method is None:
        return replace(drawn, authentication_method="method")
    return drawn


def _properties(version: ProtocolVersion, kind: type[Any], *never: str) -> st.SearchStrategy[Any]:
    return property_sets(kind, *never) if version is V5 else st.just(kind())


def _codes(version: ProtocolVersion, codes: reason_tables.Codes) -> st.SearchStrategy[Any]:
    return st.sampled_from(sorted(codes.values())) if version is V5 else st.just(codes[0])


def wills(version: ProtocolVersion) -> st.SearchStrategy[p.Will]:
    """Draw a will."""
    return st.builds(
        p.Will, TOPICS, BINARIES, st.sampled_from(QoS), st.booleans(), _properties(version, properties.WillProperties)
    )


@st.composite
def connects(draw: st.DrawFn, version: ProtocolVersion) -> p.Connect:
    """Draw a CONNECT."""
    username = draw(st.none() | TEXTS)
    return p.Connect(
        version,
        draw(TEXTS),
        draw(st.booleans()),
        draw(_BYTE2),
        draw(st.none() | wills(version)),
        username,
        draw(st.none() | BINARIES) if version is V5 or username is not None else None,
        draw(_properties(version, properties.ConnectProperties)),
    )


@st.composite
def publishes(draw: st.DrawFn, version: ProtocolVersion, *never: str) -> p.Publish:
    """Draw a PUBLISH without the properties that the sender may not send."""
    qos, drawn = draw(st.sampled_from(QoS)), draw(_properties(version, properties.PublishProperties, *never))
    return p.Publish(
        draw(TOPICS) if drawn.topic_alias is None else draw(st.just("") | TOPICS),
        draw(st.binary(max_size=300)),
        qos,
        draw(st.booleans()),
        bool(qos) and draw(st.booleans()),
        draw(PACKET_IDS) if qos else 0,
        drawn,
    )


def _answers(version: ProtocolVersion) -> list[st.SearchStrategy[Any]]:
    kinds = (
        (p.Puback, reason_tables.PUBACK),
        (p.Pubrec, reason_tables.PUBREC),
        (p.Pubrel, reason_tables.PUBREL),
        (p.Pubcomp, reason_tables.PUBCOMP),
    )
    drawn = _properties(version, properties.AcknowledgementProperties)
    return [st.builds(kind, PACKET_IDS, _codes(version, codes), drawn) for kind, codes in kinds]


@st.composite
def _subscriptions(draw: st.DrawFn, version: ProtocolVersion) -> p.Subscription:
    topic_filter, qos = draw(TEXTS.filter(bool)), draw(st.sampled_from(QoS))
    if version is V3:
        return p.Subscription(topic_filter, qos)
    handling = draw(st.sampled_from(p.RetainHandling))
    no_local = draw(st.booleans()) and not topic_filter.startswith("$share/")
    return p.Subscription(topic_filter, qos, no_local, draw(st.booleans()), handling)


def _disconnects(version: ProtocolVersion, codes: reason_tables.Codes, never: str) -> st.SearchStrategy[p.Disconnect]:
    return st.builds(p.Disconnect, _codes(version, codes), _properties(version, properties.DisconnectProperties, never))


def _auths(codes: reason_tables.Codes) -> st.SearchStrategy[p.Auth]:
    drawn = property_sets(properties.AuthProperties).map(lambda auth: replace(auth, authentication_method="method"))
    return st.builds(p.Auth, _codes(V5, codes), drawn)


def client_packets(version: ProtocolVersion) -> st.SearchStrategy[ClientPacket]:
    """Draw what a client may send after CONNECT."""
    drawn = [
        publishes(version, "subscription_identifiers"),
        *_answers(version),
        st.builds(
            p.Subscribe,
            PACKET_IDS,
            st.lists(_subscriptions(version), min_size=1, max_size=4).map(tuple),
            _properties(version, properties.SubscribeProperties),
        ),
        st.builds(
            p.Unsubscribe,
            PACKET_IDS,
            st.lists(TEXTS.filter(bool), min_size=1, max_size=4).map(tuple),
            _properties(version, properties.UnsubscribeProperties),
        ),
        st.just(p.Pingreq()),
        _disconnects(version, reason_tables.DISCONNECT_OF_CLIENT, "server_reference"),
    ]
    return st.one_of(*drawn, *([_auths(reason_tables.AUTH_OF_CLIENT)] if version is V5 else []))


def server_packets(version: ProtocolVersion) -> st.SearchStrategy[ServerPacket]:
    """Draw what a server may send."""
    answers = _properties(version, properties.AcknowledgementProperties)
    connack_codes = reason_tables.CONNACK if version is V5 else reason_tables.RETURN_CODES
    codes = sorted(reason_tables.SUBACK.values() if version is V5 else reason_tables.SUBACK_3_1_1.values())
    unsuback_codes = st.sampled_from(sorted(reason_tables.UNSUBACK.values()))
    drawn = [
        st.builds(
            lambda code, present, properties: p.Connack(present and not code, code, properties),
            st.sampled_from(sorted(connack_codes.values() if version is V5 else reason_tables.RETURN_CODES)),
            st.booleans(),
            _properties(version, properties.ConnackProperties),
        ),
        publishes(version),
        *_answers(version),
        st.builds(p.Suback, PACKET_IDS, st.lists(st.sampled_from(codes), min_size=1).map(tuple), answers),
        st.builds(
            p.Unsuback,
            PACKET_IDS,
            st.lists(unsuback_codes, min_size=1).map(tuple) if version is V5 else st.just(()),
            answers,
        ),
        st.just(p.Pingresp()),
    ]
    if version is V5:
        drawn += [
            _disconnects(version, reason_tables.DISCONNECT_OF_SERVER, "session_expiry_interval"),
            _auths(reason_tables.AUTH_OF_SERVER),
        ]
    return st.one_of(*drawn)


def frame_of(wire: bytes) -> Frame:
    """Return the one packet that the bytes are."""
    reader = FrameReader(1 << 28)
    reader.feed(wire)
    frame = reader.next_frame()
    assert frame is not None
    assert not reader.buffered
    return frame


def read_client(wire: bytes, version: ProtocolVersion | None) -> Packet:
    """Return the packet that a client's bytes say."""
    return decode_client_packet(frame_of(wire), version)


def read_server(wire: bytes, version: ProtocolVersion) -> Packet:
    """Return the packet that a server's bytes say."""
    return decode_server_packet(frame_of(wire), version)
