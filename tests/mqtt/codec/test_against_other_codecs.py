"""Two independent codecs judge ours: zmqtt in both versions, mqtt5 (written in Rust) in MQTT 5.

Each reads what we write, and what it has read is compared field by field, under its own names. Then it writes, and we
read that. Neither is stricter than ours, so a refusal of theirs would be a mistake of ours.
"""

from inspect import get_annotations
from typing import Any

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.devices.packets import V3, V5, client_packets, connects, read_client, read_server, server_packets
from zmqtt._internal.packets import codec as zmqtt

from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.packets import Auth, Connack, Connect, Packet, ProtocolVersion, Publish

# Where their names are not the specification's, which ours are.
ZMQTT_NAMES = {
    "clean_start": "clean_session",
    "keep_alive": "keepalive",
    "subscription_identifiers_available": "subscription_identifier_available",
}
MQTT5_NAMES = {
    "receive_maximum": "receive_max",
    "topic_alias_maximum": "topic_alias_max",
    "maximum_packet_size": "max_packet_size",
    "maximum_qos": "max_qos",
    "request_problem_information": "request_problem_info",
    "request_response_information": "request_response_info",
    "response_information": "response_info",
    "assigned_client_identifier": "assigned_client_id",
    "reason_string": "reason_str",
    "subscription_identifier": "subscription_id",
    "subscription_identifiers": "subscription_ids",
    "subscription_identifiers_available": "subscription_id_available",
    "dup": "duplicate",
    "subscriptions": "topic_filters",
    "topic_filters": "patterns",
    "topic_filter": "pattern",
    "qos": "max_qos",
}
# What mqtt5 reads where a property is absent: the specification's default, where there is one.
MQTT5_DEFAULTS: dict[str, object] = {
    "session_expiry_interval": 0,
    "will_delay_interval": 0,
    "payload_format_indicator": 0,
    "receive_maximum": 65_535,
    "topic_alias_maximum": 0,
    "request_problem_information": True,
    "request_response_information": False,
    "maximum_qos": 2,
    "retain_available": True,
    "wildcard_subscription_available": True,
    "subscription_identifiers_available": True,
    "shared_subscription_available": True,
}


def assert_zmqtt_agrees(packet: Packet, version: ProtocolVersion) -> None:
    wire = encode(packet, version)
    read = zmqtt.decode(wire, version=_zmqtt_version(version))
    assert read is not None
    theirs, length = read
    assert length == len(wire)
    _compare_with_zmqtt(packet, theirs)


def _zmqtt_version(version: ProtocolVersion) -> Any:
    return "5.0" if version is V5 else "3.1.1"


def _compare_with_zmqtt(ours: Any, theirs: Any) -> None:
    for field in get_annotations(type(ours)):
        mine, name = getattr(ours, field), ZMQTT_NAMES.get(field, field)
        if field == "version" or (field == "properties" and theirs.properties is None):
            continue
        if field == "subscription_identifiers":
            mine, name = (mine[0] if mine else None), "subscription_identifier"
        if field in ("reason_code", "reason_codes") and not hasattr(theirs, name):
            name = name.replace("reason", "return")
        his = getattr(theirs, name)
        if field in ("properties", "will") and mine is not None:
            _compare_with_zmqtt(mine, his)
        elif field == "subscriptions":
            for subscription, request in zip(mine, his, strict=True):
                _compare_with_zmqtt(subscription, request)
        else:
            assert (mine or None) == (his or None), field


def _is_said_by_zmqtt(packet: Packet) -> bool:
    # It knows one subscription identifier of a message, and MQTT 5's codes of CONNACK only by their numbers.
    return not isinstance(packet, Publish) or len(packet.properties.subscription_identifiers) <= 1


@pytest.mark.parametrize("version", ProtocolVersion)
@given(data=st.data())
def test_zmqtt_reads_what_we_write_and_we_read_what_it_writes(version: ProtocolVersion, data: st.DataObject) -> None:
    packet = data.draw(connects(version) | client_packets(version))
    assert_zmqtt_agrees(packet, version)
    theirs, _ = zmqtt.decode(encode(packet, version), version=_zmqtt_version(version))  # type: ignore[misc] # Not None.
    first = isinstance(packet, Connect)
    assert read_client(zmqtt.encode(theirs, version=_zmqtt_version(version)), None if first else version) == packet


@pytest.mark.parametrize("version", ProtocolVersion)
@given(data=st.data())
def test_zmqtt_reads_what_a_server_writes(version: ProtocolVersion, data: st.DataObject) -> None:
    packet = data.draw(server_packets(version).filter(_is_said_by_zmqtt))
    # Success without properties is nothing at all; zmqtt wants the reason code.
    if packet == Auth():
        return
    if isinstance(packet, Connack) and version is V3:
        return
    assert_zmqtt_agrees(packet, version)


def _compare_with_mqtt5(ours: Any, theirs: Any) -> None:
    for field in get_annotations(type(ours)):
        mine = getattr(ours, field)
        if field == "version":
            continue
        if field == "properties":
            _compare_with_mqtt5(mine, theirs)
            continue
        name = MQTT5_NAMES.get(field, field)
        if not hasattr(theirs, name):
            name = field
        his = getattr(theirs, name)
        if field == "will" and mine is not None:
            _compare_with_mqtt5(mine, his)
        elif field == "subscriptions":
            for subscription, topic_filter in zip(mine, his, strict=True):
                _compare_with_mqtt5(subscription, topic_filter)
        elif mine is None or (field == "packet_id" and not mine):
            assert _plain(his) in (None, MQTT5_DEFAULTS.get(field)), field
        else:
            assert _plain(mine) == _plain(his), field


def _plain(value: Any) -> Any:
    # What is empty is absent there, and numbers with names are of types of their own.
    if isinstance(value, list | tuple):
        return [_plain(item) if not isinstance(item, tuple) else item for item in value]
    return value or None if value is None or isinstance(value, str | bytes) else int(value)


@given(st.one_of(connects(V5), client_packets(V5), server_packets(V5)))
def test_mqtt5_reads_what_we_write(packet: Packet) -> None:
    wire = encode(packet, V5)
    theirs, length = mqtt5.read(memoryview(wire))
    assert length == len(wire)
    _compare_with_mqtt5(packet, theirs)


@given(st.one_of(connects(V5), client_packets(V5)))
def test_we_read_what_mqtt5_writes_for_a_client(packet: Packet) -> None:
    theirs, _ = mqtt5.read(memoryview(encode(packet, V5)))
    read = read_client(theirs.write(), None if isinstance(packet, Connect) else V5)
    _compare_with_mqtt5(read, theirs)


@given(server_packets(V5))
def test_we_read_what_mqtt5_writes_for_a_server(packet: Packet) -> None:
    theirs, _ = mqtt5.read(memoryview(encode(packet, V5)))
    _compare_with_mqtt5(read_server(theirs.write(), V5), theirs)
