"""Many messages at once, over TLS: what is acknowledged arrives, readers stay, and publishers are told."""

import contextlib
from pathlib import Path

import pytest
from tests.support.brokers.broker import Losses
from tests.support.devices.device_gateway import LiveGateway, live_gateway
from tests.support.devices.mqtt_peer import V3, V5, Peer, connected_peer

from thingmint.mqtt.codec.packets import ProtocolVersion, Puback, Publish, QoS, Will
from thingmint.mqtt.codec.properties import ConnectProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.counters import Counters, Loss
from thingmint.mqtt.queues.limits import BrokerLimits

LARGE = 100 * 1024
SLEEPERS = 30
LASTING = ConnectProperties(session_expiry_interval=3600)
VERSIONS = pytest.mark.parametrize("version", [V3, V5])


def lasting(version: ProtocolVersion) -> dict[str, object]:
    return {"clean_start": False} if version is V3 else {"clean_start": False, "properties": LASTING}


def heard(peer: Peer, count: int) -> list[Publish]:
    """Return the next messages, each acknowledged."""
    messages = []
    for _ in range(count):
        message = peer.expect(Publish)
        messages.append(message)
        if message.qos:
            peer.send(Puback(message.packet_id))
    return messages


def let_sleep(live: LiveGateway, version: ProtocolVersion) -> None:
    identity = live.register()
    for number in range(SLEEPERS):
        with connected_peer(live, identity, version, f"sleeper{number}", **lasting(version)) as sleeper:
            sleeper.subscribe("all/#")
    live.wait_until(lambda: live.gateway.connected_devices == 0)


@VERSIONS
def test_large_broadcasts_reach_every_client_that_was_away(tmp_path: Path, version: ProtocolVersion) -> None:
    with live_gateway(tmp_path, broker_limits=BrokerLimits(queued_bytes_in_all=2_000_000)) as live:
        let_sleep(live, version)
        with connected_peer(live, live.register(), version, "sender") as sender:
            for number in range(4):
                assert sender.publish("all/news", bytes([number]) * LARGE) is ReasonCode.SUCCESS
        identity = live.register()
        for number in range(SLEEPERS):
            with connected_peer(live, identity, version, f"sleeper{number}", **lasting(version)) as sleeper:
                assert [message.payload for message in heard(sleeper, 4)] == [bytes([n]) * LARGE for n in range(4)]


def test_a_broadcast_without_room_is_refused_and_what_was_acknowledged_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    losses = Losses()
    limits = BrokerLimits(queued_bytes_in_all=300_000)
    with live_gateway(tmp_path, broker_limits=limits, counters=Counters(losses)) as live:
        let_sleep(live, V3)
        with connected_peer(live, live.register(), V5, "sender") as sender:
            codes = [sender.publish("all/news", bytes([number]) * LARGE) for number in range(4)]
        assert codes == [ReasonCode.SUCCESS] * 2 + [ReasonCode.QUOTA_EXCEEDED] * 2
        with connected_peer(live, live.register(), V3, "old sender") as sender:
            sender.send(Publish("all/news", b"x" * LARGE, QoS.AT_LEAST_ONCE, packet_id=1))
            assert sender.is_closed(), "MQTT 3.1.1 has no other refusal"
        assert losses.counts == {Loss.PUBLISH_WITHOUT_ROOM.value: 3}
        live.wait_until(lambda: any("(publish_without_room)" in record.getMessage() for record in caplog.records))
        identity = live.register()
        for number in range(SLEEPERS):
            with connected_peer(live, identity, V3, f"sleeper{number}", **lasting(V3)) as sleeper:
                assert [message.payload for message in heard(sleeper, 2)] == [bytes([n]) * LARGE for n in range(2)]
                assert sleeper.is_served()


@pytest.mark.parametrize("qos", [QoS.AT_MOST_ONCE, QoS.AT_LEAST_ONCE])
@pytest.mark.parametrize("clean", [True, False])
def test_a_burst_of_reports_and_wills_reaches_a_reader_that_was_busy(tmp_path: Path, qos: QoS, clean: bool) -> None:
    losses = Losses()
    with live_gateway(tmp_path, counters=Counters(losses)) as live:
        identity = live.register()
        fields = {"clean_start": True} if clean else lasting(V3)
        with connected_peer(live, identity, V3, "reader", **fields) as reader, contextlib.ExitStack() as stack:
            reader.subscribe("reports/#", qos=qos)
            will = Will("reports/will", b"gone", QoS.AT_LEAST_ONCE)
            devices = [
                stack.enter_context(connected_peer(live, identity, V3, f"device{number}", will=will))
                for number in range(20)
            ]
            for device in devices:
                reports = [
                    Publish(f"reports/{number}", b"x" * 1_000, QoS.AT_LEAST_ONCE, packet_id=number + 1)
                    for number in range(100)
                ]
                device.send(*reports)
            for device in devices:
                assert [device.expect(Puback).packet_id for _ in range(100)] == list(range(1, 101))
            for device in devices:
                device.socket.close()
            live.wait_until(lambda: live.gateway.connected_devices == 1)
            messages = heard(reader, 2_020)
            assert reader.is_served()
        assert sum(message.topic == "reports/will" for message in messages) == 20
        assert {message.qos for message in messages} == {qos}
        assert not losses.counts


def test_acknowledgements_need_no_other_packet_to_be_noticed(tmp_path: Path) -> None:
    with live_gateway(tmp_path) as live, connected_peer(live, live.register(), V5, "reader") as reader:
        reader.subscribe("a")
        with connected_peer(live, live.register(), V5, "sender") as sender:
            for number in range(300):
                sender.publish("a", b"%d" % number)
            first = [reader.expect(Publish) for _ in range(100)]
            assert reader.is_served()
            for message in first:
                # Byte by byte, and the last one together with something else.
                for byte in (0x40, 2, message.packet_id >> 8, message.packet_id & 0xFF):
                    reader.send_bytes(bytes((byte,)))
            assert [message.payload for message in heard(reader, 200)] == [b"%d" % n for n in range(100, 300)]


def test_an_acknowledgement_that_is_not_valid_ends_the_connection(tmp_path: Path) -> None:
    with live_gateway(tmp_path) as live, connected_peer(live, live.register(), V3, "reader") as reader:
        reader.subscribe("a")
        reader.send_bytes(bytes((0x40, 2, 0, 0)))
        assert reader.is_closed()
    assert live.gateway.connected_devices == 0
