"""The relay when things go badly: a broker that is away or deaf, a device that does not read, many messages at once."""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.brokers.broker import SCOPE, Losses
from tests.support.brokers.mosquitto import Mosquitto, mosquitto
from tests.support.devices.device_gateway import CREATE, LiveGateway, live_gateway
from tests.support.devices.device_identities import Identity
from tests.support.devices.mqtt_peer import V3, V5, Peer, connected_peer, peer

from thingmint.mqtt.codec.packets import (
    Connack,
    Connect,
    Disconnect,
    ProtocolVersion,
    Puback,
    Publish,
    QoS,
    Will,
)
from thingmint.mqtt.codec.properties import ConnectProperties
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.counters import Counters, Loss
from thingmint.mqtt.relay.brokers.spec import one_broker
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.relay import RelayDataPlane
from thingmint.mqtt.transport.limits import GatewayLimits

AT_LEAST_ONCE = QoS.AT_LEAST_ONCE
MESSAGES, REQUESTS = 3000, 60
BURST = 50
REASONS = (
    "The broker behind the service has closed the connection",
    "The broker behind the service does not answer",
)
IMPATIENT = RelayLimits(
    answer_seconds=1.0, open_seconds=1.0, leave_seconds=0.2, first_retry_seconds=0.001, last_retry_seconds=0.001
)


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with mosquitto("max_queued_messages 0") as running:
        yield running


@pytest.fixture
def live(tmp_path: Path, broker: Mosquitto) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path, data_plane=RelayDataPlane(one_broker(broker.address, SCOPE), IMPATIENT)) as running:
        yield running


@pytest.mark.parametrize("is_silent", [False, True], ids=["closes", "is silent"])
def test_devices_whose_broker_is_lost_are_counted(tmp_path: Path, broker: Mosquitto, *, is_silent: bool) -> None:
    losses = Losses()
    plane = RelayDataPlane(one_broker(broker.address, SCOPE), IMPATIENT, Counters(losses))
    with live_gateway(tmp_path, data_plane=plane) as live, connected_peer(live, live.register(), V5) as device:
        if is_silent:
            os.kill(broker_pid(broker), signal.SIGSTOP)
            device.send(Publish("to/nobody", b"", AT_LEAST_ONCE, packet_id=1))
        else:
            broker.stop()
        try:
            assert ended_for_want_of_a_broker(device)
        finally:
            if is_silent:
                os.kill(broker_pid(broker), signal.SIGCONT)
    assert losses.of(Loss.BROKER_SILENT if is_silent else Loss.BROKER_CLOSED) == 1


@pytest.fixture
def thing(live: LiveGateway) -> Identity:
    return live.register()


def is_refused_for_want_of_a_broker(device: Peer) -> bool:
    device.send(Connect(device.version, "device"))
    return device.expect(Connack).reason_code is ReasonCode.SERVER_UNAVAILABLE and device.is_closed()


def ended_for_want_of_a_broker(device: Peer) -> bool:
    while isinstance(packet := device.next_packet(), Publish | Puback):
        pass
    if device.version is V5:
        assert isinstance(packet, Disconnect)
        assert packet.properties.reason_string in REASONS
        return packet.reason_code is ReasonCode.SERVER_BUSY and device.is_closed()
    return packet is None


def test_broker_that_restarts_loses_nobody_for_good(
    live: LiveGateway, broker: Mosquitto, thing: Identity, version: ProtocolVersion
) -> None:
    lasting = {"clean_start": False, "properties": ConnectProperties(session_expiry_interval=600)}
    with connected_peer(live, thing, version, "device", **lasting) as device:
        device.subscribe("after/restart")
        broker.stop()
        assert ended_for_want_of_a_broker(device)
    with peer(live, thing, version) as device:
        assert is_refused_for_want_of_a_broker(device)
    broker.start()
    with peer(live, thing, version) as device:
        assert device.connect("device", **lasting).session_present
        assert device.publish("after/restart", b"still there") is ReasonCode.SUCCESS
        assert device.expect(Publish).payload == b"still there"


def test_provisioning_goes_on_without_the_broker(live: LiveGateway, broker: Mosquitto, thing: Identity) -> None:
    with connected_peer(live, thing) as device:
        os.kill(broker_pid(broker), signal.SIGSTOP)
        try:
            device.publish(CREATE, b"{}")
            assert device.expect(Publish).topic == f"{CREATE}/accepted"
        finally:
            os.kill(broker_pid(broker), signal.SIGCONT)


def test_broker_that_does_not_answer_is_given_up(
    live: LiveGateway, broker: Mosquitto, thing: Identity, version: ProtocolVersion
) -> None:
    with connected_peer(live, thing, version) as device, peer(live, thing, version) as late:
        os.kill(broker_pid(broker), signal.SIGSTOP)
        try:
            assert is_refused_for_want_of_a_broker(late)
            device.send(Publish("to/nobody", b"", AT_LEAST_ONCE, packet_id=1))
            assert ended_for_want_of_a_broker(device)
        finally:
            os.kill(broker_pid(broker), signal.SIGCONT)


def test_gateway_stops_although_the_broker_is_deaf(tmp_path: Path, broker: Mosquitto) -> None:
    with contextlib.ExitStack() as devices:
        try:
            with live_gateway(tmp_path, data_plane=RelayDataPlane(one_broker(broker.address, SCOPE))) as live:
                thing = live.register()
                for number in range(5):
                    device = devices.enter_context(connected_peer(live, thing, V5, f"device-{number}"))
                os.kill(broker_pid(broker), signal.SIGSTOP)
                device.send(Publish("to/nobody", b"", AT_LEAST_ONCE, packet_id=1))
        finally:
            os.kill(broker_pid(broker), signal.SIGCONT)


def test_revoked_device_is_cut_off_although_the_broker_is_deaf(
    live: LiveGateway, broker: Mosquitto, thing: Identity, version: ProtocolVersion
) -> None:
    with connected_peer(live, thing, version) as device:
        os.kill(broker_pid(broker), signal.SIGSTOP)
        try:
            device.send(Publish("to/nobody", b"", AT_LEAST_ONCE, packet_id=1))
            live.thread.call(lambda: live.gateway.principal_ended(live.target(thing)))
            if version is V5:
                assert device.expect(Disconnect).reason_code is ReasonCode.ADMINISTRATIVE_ACTION
            assert device.is_closed()
        finally:
            os.kill(broker_pid(broker), signal.SIGCONT)


def test_device_that_floods_a_deaf_broker_is_stopped_and_memory_stays(
    live: LiveGateway, broker: Mosquitto, thing: Identity, version: ProtocolVersion
) -> None:
    before = resident_bytes()
    with connected_peer(live, thing, version) as device:
        os.kill(broker_pid(broker), signal.SIGSTOP)
        try:
            for _ in range(500):
                device.send(Publish("flood/it", bytes(100_000)))
            assert ended_for_want_of_a_broker(device)
        finally:
            os.kill(broker_pid(broker), signal.SIGCONT)
    assert resident_bytes() - before < 20_000_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def broker_pid(broker: Mosquitto) -> int:
    assert broker.popen is not None
    return broker.popen.pid


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_nothing_is_lost_or_doubled_between_messages_and_answers(
    live: LiveGateway, broker: Mosquitto, thing: Identity, version: ProtocolVersion
) -> None:
    with connected_peer(live, thing, version, "busy") as device, broker.peer("backend") as backend:
        device.subscribe("work/#")
        device.subscribe(f"{CREATE}/+")
        answers: list[str] = []
        numbers: list[int] = []
        requested = sent = 0
        in_flight: set[int] = set()

        def hear() -> None:
            nonlocal in_flight
            packet = device.next_packet()
            if isinstance(packet, Puback):
                return
            assert isinstance(packet, Publish), packet
            assert packet.packet_id not in in_flight
            if packet.topic.startswith("$aws"):
                answers.append(json.loads(packet.payload)["certificateId"])
            else:
                numbers.append(int(packet.payload))
            if packet.qos:
                in_flight.add(packet.packet_id)
            if len(in_flight) > 10:
                device.send(*map(Puback, sorted(in_flight)))
                in_flight = set()

        while sent < MESSAGES:
            if requested < REQUESTS:
                requested += 1
                device.send(Publish(CREATE, b"{}", AT_LEAST_ONCE, packet_id=requested))
            for _ in range(BURST):
                assert backend.publish("work/1", b"%d" % sent) is ReasonCode.SUCCESS
                sent += 1
            while len(numbers) < sent - BURST or len(answers) < requested:
                hear()
        while len(numbers) < MESSAGES:
            hear()
        device.send(*map(Puback, sorted(in_flight)))

        assert numbers == list(range(MESSAGES))
        assert answers == ["busy"] * REQUESTS
        assert device.is_served()


def test_two_devices_exchange_many_messages_both_ways(live: LiveGateway, thing: Identity) -> None:
    count = 300
    with connected_peer(live, thing, V3, "left") as left, connected_peer(live, thing, V5, "right") as right:
        for here, there in ((left, "left"), (right, "right")):
            here.subscribe(f"to/{there}")
        for here, there in ((left, "right"), (right, "left")):
            here.send(*(Publish(f"to/{there}", b"%d" % n, AT_LEAST_ONCE, packet_id=n + 1) for n in range(count)))
        for here in (left, right):
            heard: list[int] = []
            acknowledged: list[int] = []
            while len(heard) < count or len(acknowledged) < count:
                packet = here.next_packet()
                if isinstance(packet, Puback):
                    acknowledged.append(packet.packet_id)
                else:
                    assert isinstance(packet, Publish)
                    heard.append(int(packet.payload))
                    here.send(Puback(packet.packet_id))
            assert heard == list(range(count))
            assert acknowledged == list(range(1, count + 1))


def test_device_that_does_not_acknowledge_still_publishes(
    live: LiveGateway, broker: Mosquitto, thing: Identity
) -> None:
    narrow = ConnectProperties(receive_maximum=3)
    with connected_peer(live, thing, V5, "narrow", properties=narrow) as device, broker.peer("backend") as backend:
        device.subscribe("pile/up", f"{CREATE}/accepted")
        for number in range(10):
            backend.publish("pile/up", b"%d" % number)
        heard = [device.expect(Publish) for _ in range(3)]

        assert device.publish("any/where", b"") is ReasonCode.SUCCESS
        while len(heard) < 10:
            device.send(Puback(heard[-3].packet_id))
            heard.append(device.expect(Publish))
        assert [int(each.payload) for each in heard] == list(range(10))


def test_slow_device_stops_its_broker_connection_and_gets_everything_later(
    tmp_path: Path, broker: Mosquitto, version: ProtocolVersion
) -> None:
    limits = GatewayLimits(write_stall_seconds=60.0)
    with live_gateway(tmp_path, limits=limits, data_plane=RelayDataPlane(one_broker(broker.address, SCOPE))) as live:
        thing = live.register()
        count, size = 200, 100_000
        before = resident_bytes()
        with connected_peer(live, thing, version, "slow") as slow, broker.peer("backend") as backend:
            slow.subscribe("large/messages")
            for number in range(count):
                backend.publish("large/messages", b"%06d" % number + bytes(size))
            assert resident_bytes() - before < 15_000_000
            numbers = []
            for _ in range(count):
                packet = slow.expect(Publish)
                numbers.append(int(packet.payload[:6]))
                slow.send(Puback(packet.packet_id))
            assert numbers == list(range(count))


def test_lost_device_leaves_the_broker_although_messages_for_it_wait(
    live: LiveGateway, broker: Mosquitto, thing: Identity
) -> None:
    will = Will("deaf/will", b"gone", AT_LEAST_ONCE)
    with broker.peer("backend") as backend, broker.peer("heir") as heir:
        heir.subscribe("deaf/will")
        with connected_peer(live, thing, V5, "deaf", will=will) as deaf:
            deaf.subscribe("large/messages")
            for _ in range(100):
                backend.publish("large/messages", bytes(100_000))
        assert heir.expect(Publish).payload == b"gone"


@pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])
def test_broker_on_a_loopback_port_serves_as_well(tmp_path: Path, loop_name: str) -> None:
    with (
        mosquitto(port=free_port()) as broker,
        live_gateway(
            tmp_path, data_plane=RelayDataPlane(one_broker(broker.address, SCOPE)), loop_name=loop_name
        ) as live,
        connected_peer(live, live.register(), V5) as device,
    ):
        device.subscribe("over/tcp")
        assert device.publish("over/tcp", b"fine") is ReasonCode.SUCCESS
        assert device.expect(Publish).payload == b"fine"
