"""What cannot be said in MQTT is not written: whoever asks for it has made a mistake."""

import pytest
from tests.support.devices.packets import V3, V5

from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.framing import MAX_REMAINING_LENGTH, frame_bytes
from thingmint.mqtt.codec.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    ProtocolVersion,
    Puback,
    Publish,
    QoS,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from thingmint.mqtt.codec.properties import (
    AcknowledgementProperties,
    AuthProperties,
    ConnackProperties,
    ConnectProperties,
    PublishProperties,
    SubscribeProperties,
)
from thingmint.mqtt.codec.reason_codes import ReasonCode

LONG = "x" * 65_536
IN_BOTH: dict[str, Packet] = {
    "a topic with a wildcard": Publish("a/+", b""),
    "a topic with NUL": Publish("\0", b""),
    "a topic with a surrogate": Publish("\ud800", b""),
    "a topic that is too long": Publish(LONG, b""),
    "QoS 1 without a packet identifier": Publish("a", b"", QoS.AT_LEAST_ONCE),
    "QoS 0 with a packet identifier": Publish("a", b"", packet_id=1),
    "a packet identifier that is too large": Publish("a", b"", QoS.AT_LEAST_ONCE, packet_id=0x10000),
    "DUP at QoS 0": Publish("a", b"", dup=True),
    "PUBACK of packet 0": Puback(0),
    "PUBACK of a negative packet": Puback(-1),
    "SUBSCRIBE to nothing": Subscribe(1, ()),
    "SUBSCRIBE to an empty filter": Subscribe(1, (Subscription(""),)),
    "UNSUBSCRIBE from nothing": Unsubscribe(1, ()),
    "SUBACK without a code": Suback(1, ()),
    "SUBACK with a code that it has not": Suback(1, (ReasonCode.SERVER_BUSY,)),
    "CONNACK with a session and a refusal": Connack(True, ReasonCode.NOT_AUTHORIZED),
}
IN_3_1_1: dict[str, Packet] = {
    "an alias": Publish("", b"", properties=PublishProperties(topic_alias=1)),
    "AUTH": Auth(),
    "a refusal without a return code": Connack(False, ReasonCode.QUOTA_EXCEEDED),
}
IN_5: dict[str, Packet] = {
    "neither topic nor alias": Publish("", b""),
    "alias 0": Publish("a", b"", properties=PublishProperties(topic_alias=0)),
    "Maximum QoS 2": Connack(False, ReasonCode.SUCCESS, ConnackProperties(maximum_qos=2)),
    "CONNACK with a code that it has not": Connack(False, ReasonCode.SESSION_TAKEN_OVER),
    "PUBACK with a code that it has not": Puback(1, ReasonCode.SERVER_BUSY),
    "UNSUBACK without a code": Unsuback(1),
    "DISCONNECT with a code that it has not": Disconnect(ReasonCode.NO_MATCHING_SUBSCRIBERS),
    "AUTH without a method": Auth(ReasonCode.CONTINUE_AUTHENTICATION),
    "AUTH with a code that it has not": Auth(ReasonCode.NOT_AUTHORIZED, AuthProperties(authentication_method="method")),
    "a reason that is too long": Puback(1, properties=AcknowledgementProperties(reason_string=LONG)),
    "subscription identifier 0": Subscribe(1, (Subscription("a"),), SubscribeProperties(subscription_identifier=0)),
    "No Local on what is shared": Subscribe(1, (Subscription("$share/g/a", no_local=True),)),
}
CONNECTS = {
    "3.1.1 with a password alone": Connect(V3, "c", password=b""),
    "a will without a topic": Connect(V3, "c", will=Will("", b"")),
    "a will with a wildcard": Connect(V5, "c", will=Will("#", b"")),
    "a keep-alive that is too long": Connect(V3, "c", keep_alive=0x10000),
    "Receive Maximum 0": Connect(V5, "c", properties=ConnectProperties(receive_maximum=0)),
    "an expiry that is too long": Connect(V5, "c", properties=ConnectProperties(session_expiry_interval=1 << 32)),
}


def assert_unsayable(packet: Packet, version: ProtocolVersion) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each line of the tables has its own message, and none is parsed
        encode(packet, version)


@pytest.mark.parametrize("version", ProtocolVersion)
@pytest.mark.parametrize("packet", IN_BOTH.values(), ids=IN_BOTH.keys())
def test_it_cannot_be_said_in_either_version(packet: Packet, version: ProtocolVersion) -> None:
    assert_unsayable(packet, version)


@pytest.mark.parametrize("packet", IN_3_1_1.values(), ids=IN_3_1_1.keys())
def test_it_cannot_be_said_in_3_1_1(packet: Packet) -> None:
    assert_unsayable(packet, V3)


@pytest.mark.parametrize("packet", IN_5.values(), ids=IN_5.keys())
def test_it_cannot_be_said_in_5(packet: Packet) -> None:
    assert_unsayable(packet, V5)


@pytest.mark.parametrize("packet", CONNECTS.values(), ids=CONNECTS.keys())
def test_it_cannot_be_said_in_connect(packet: Connect) -> None:
    assert_unsayable(packet, packet.version)


def test_what_3_1_1_merely_lacks_is_left_out() -> None:
    denied = Puback(7, ReasonCode.NOT_AUTHORIZED, AcknowledgementProperties(reason_string="no"))
    assert encode(denied, V3) == b"\x40\x02\x00\x07"
    assert encode(Disconnect(ReasonCode.SESSION_TAKEN_OVER), V3) == b"\xe0\x00"
    assert encode(Unsuback(7, (ReasonCode.SUCCESS,)), V3) == b"\xb0\x02\x00\x07"


def test_every_failure_of_suback_is_0x80_in_3_1_1() -> None:
    codes = (ReasonCode.GRANTED_QOS_1, ReasonCode.TOPIC_FILTER_INVALID, ReasonCode.NOT_AUTHORIZED)
    assert encode(Suback(7, codes), V3) == b"\x90\x05\x00\x07\x01\x80\x80"


def test_a_body_beyond_mqtts_limit_has_no_frame() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return MAX_REMAINING_LENGTH + 1

    with pytest.raises(ValueError, match="268435455"):
        frame_bytes(0x30, Huge())
