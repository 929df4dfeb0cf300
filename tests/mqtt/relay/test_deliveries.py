"""What the broker sends one device: ids translated both ways, the device's window kept, order kept, nothing lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.brokers.broker import Device, Losses

from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.framing import FrameReader
from thingmint.mqtt.codec.packets import ProtocolVersion, Publish, QoS
from thingmint.mqtt.codec.reason_codes import PacketRefused
from thingmint.mqtt.counters import Counters, Loss, Traffic
from thingmint.mqtt.data_plane import DATA_PLANE_PACKET_IDS, Delivery
from thingmint.mqtt.relay.connections.deliveries import RelayDeliveries


class Way:
    """A device, what the broker was told, and the way between them."""

    def __init__(self) -> None:
        self.device = Device("device")
        self.acknowledged: list[int] = []
        self.losses = Losses()
        self.counters = Counters(self.losses)
        self.deliveries = RelayDeliveries(self.device, self.acknowledged.append, self.counters)

    def is_full(self) -> bool:
        return self.deliveries.is_full

    def take(self, packet_id: int, payload: bytes = b"", topic: str = "a/b") -> None:
        qos = QoS.AT_LEAST_ONCE if packet_id else QoS.AT_MOST_ONCE
        self.deliveries.take(Publish(topic, payload, qos, packet_id=packet_id))

    def take_repeated(self, payload: bytes, topic: str = "a/b") -> bool:
        """Hand over the bytes of a message of QoS 0; return whether they were passed on without being decoded."""
        # The device of these tests speaks MQTT 5 only, as does the broker.
        self.device.deliver_shared = lambda message, packet_id: self.device.deliver(  # type: ignore[method-assign]  # its other check is for both versions
            message.message(packet_id)
        )
        reader = FrameReader(1_000)
        reader.feed(encode(Publish(topic, payload), ProtocolVersion.MQTT_5))
        return self.deliveries.take_repeated(reader)

    @property
    def sent(self) -> int:
        """How many messages are counted as sent to the device."""
        self.counters.tick(0.0)
        return self.losses.messages[Traffic.SENT.value]


@pytest.fixture
def way() -> Way:
    return Way()


@given(st.lists(st.integers(1, 0xFFFF), unique=True, max_size=90))
def test_ids_are_the_data_planes_unique_and_translated_back(broker_ids: list[int]) -> None:
    way = Way()
    for broker_id in broker_ids:
        way.take(broker_id, b"%d" % broker_id)

    assert [int(message.payload) for message in way.device.delivered] == broker_ids
    ids = [message.packet_id for message in way.device.delivered]
    assert len(set(ids)) == len(ids)
    assert set(ids) <= set(DATA_PLANE_PACKET_IDS)
    for packet_id in ids:
        way.deliveries.acknowledged(packet_id)
    assert way.acknowledged == broker_ids


def test_id_of_the_lower_half_is_kept(way: Way) -> None:
    way.take(77)
    assert way.device.delivered[0].packet_id == 77


@pytest.mark.parametrize(
    ("broker_ids", "expected"), [([5, 0x8005], [5, 6]), ([0x7FFF, 0xFFFF], [0x7FFF, 1]), ([0x8000], [1])]
)
def test_id_in_use_or_out_of_range_makes_way_for_the_next(way: Way, broker_ids: list[int], expected: list[int]) -> None:
    for broker_id in broker_ids:
        way.take(broker_id)
    assert [message.packet_id for message in way.device.delivered] == expected


def test_unknown_acknowledgement_tells_the_broker_nothing(way: Way) -> None:
    way.deliveries.acknowledged(3)
    assert way.acknowledged == []


def test_window_holds_messages_back_in_order_and_lets_qos_0_pass(way: Way) -> None:
    way.device.receive_window = 2
    for packet_id in (1, 2, 3, 4):
        way.take(packet_id, b"%d" % packet_id)
    way.take(0, b"now")
    assert way.device.payloads == [b"1", b"2", b"now"]
    assert not way.is_full()

    way.deliveries.acknowledged(1)
    way.deliveries.acknowledged(2)
    assert way.device.payloads == [b"1", b"2", b"now", b"3", b"4"]


@pytest.mark.parametrize("packet_id", [0, 1])
def test_device_that_does_not_read_gets_the_message_when_it_does(way: Way, packet_id: int) -> None:
    way.device.outcome = Delivery.FULL
    way.take(packet_id, b"late")
    assert way.is_full()
    way.deliveries.resume()
    assert way.is_full()

    way.device.outcome = Delivery.WRITTEN
    way.deliveries.resume()
    assert not way.is_full()
    assert way.device.payloads == [b"late"]


@pytest.mark.parametrize("why", ["too large", "not allowed", "reserved"])
def test_message_that_is_not_for_the_device_is_acknowledged_and_dropped(way: Way, why: str) -> None:
    if why == "too large":
        way.device.outcome = Delivery.TOO_LARGE
    if why == "not allowed":
        way.device.may_receive = lambda topic: False
    topic = "$SYS/uptime" if why == "reserved" else "a/b"
    way.take(9, topic=topic)
    way.take(0, topic=topic)

    assert way.acknowledged == [9]
    assert way.device.delivered == []
    assert not way.is_full()
    assert way.losses.of(Loss.TOO_LARGE_FOR_CLIENT if why == "too large" else Loss.NOT_ALLOWED) == 2
    assert way.sent == 0


def test_messages_of_all_kinds_are_counted_as_sent_when_they_are_written(way: Way) -> None:
    way.take(1)
    for _ in range(2):
        way.take(0)
    assert way.take_repeated(b"again")
    assert way.sent == 4
    way.device.outcome = Delivery.FULL
    assert way.take_repeated(b"late")
    assert way.is_full()
    assert way.sent == 4
    way.device.outcome = Delivery.WRITTEN
    way.deliveries.resume()
    assert way.sent == 5
    assert way.losses.counts.total() == 0


@pytest.mark.parametrize("why", ["too large", "not allowed"])
def test_a_repeated_message_that_is_not_for_the_device_is_dropped_and_counted(way: Way, why: str) -> None:
    for _ in range(2):
        way.take(0)
    if why == "too large":
        way.device.outcome = Delivery.TOO_LARGE
    else:
        way.device.may_receive = lambda topic: False
    assert way.take_repeated(b"dropped")
    assert len(way.device.delivered) == 2
    assert way.losses.of(Loss.TOO_LARGE_FOR_CLIENT if why == "too large" else Loss.NOT_ALLOWED) == 1
    assert way.sent == 2


def test_device_that_is_over_gets_nothing_and_acknowledges_nothing(way: Way) -> None:
    way.device.outcome = Delivery.FULL
    way.take(1)
    way.device.is_over = True
    way.deliveries.resume()
    way.take(2)
    way.take(0)

    assert way.acknowledged == []
    assert not way.is_full()


def test_policy_is_asked_when_the_message_is_written(way: Way) -> None:
    way.device.receive_window = 0
    way.take(1)
    way.device.may_receive = lambda topic: False
    way.device.receive_window = 1
    way.deliveries.resume()

    assert way.device.delivered == []
    assert way.acknowledged == [1]


def test_what_waits_is_bounded(way: Way) -> None:
    way.device.receive_window = 0
    taken = 0
    while not way.deliveries.is_crowded:
        taken += 1
        way.take(taken, bytes(100_000))
    assert 30 < taken < 60

    way.device.receive_window = 100
    way.deliveries.resume()
    assert len(way.device.delivered) == taken
    assert not way.deliveries.is_crowded


def test_qos_2_is_refused(way: Way) -> None:
    with pytest.raises(PacketRefused):
        way.deliveries.take(Publish("a/b", b"", QoS.EXACTLY_ONCE, packet_id=1))
