"""What a device sent before it closed is worked through before the end is: messages, DISCONNECT, and what it says."""

import asyncio
import contextlib
import fcntl
import functools
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from tests.support.brokers.broker import SCOPE
from tests.support.brokers.mosquitto import Mosquitto, mosquitto
from tests.support.devices.device_gateway import LiveGateway, live_gateway
from tests.support.devices.device_identities import Identity
from tests.support.devices.mqtt_peer import V3, V5, Peer, connected_peer, peer
from tests.support.devices.recording_plane import Closing, RecordingDataPlane
from tests.support.machine.loop_thread import GENEROUS, LOOPS
from tests.support.machine.required import required_program

from thingmint.mqtt.codec.codec import encode
from thingmint.mqtt.codec.packets import (
    Connect,
    Disconnect,
    ProtocolVersion,
    Puback,
    Publish,
    QoS,
    Will,
)
from thingmint.mqtt.codec.properties import ConnectProperties, DisconnectProperties
from thingmint.mqtt.events import ClientConnected, ClientDisconnected, DisconnectReason
from thingmint.mqtt.relay.brokers.spec import one_broker
from thingmint.mqtt.relay.limits import RelayLimits
from thingmint.mqtt.relay.relay import RelayDataPlane
from thingmint.mqtt.transport.limits import GatewayLimits

# More than the requests of one turn; with their bytes, more than one read of the socket.
MANY = 1000
PAYLOAD_BYTES = 32
WILL = Will("will", b"gone")
AT_MOST_ONCE, AT_LEAST_ONCE = QoS.AT_MOST_ONCE, QoS.AT_LEAST_ONCE


@pytest.fixture
def plane() -> RecordingDataPlane:
    return RecordingDataPlane()


@pytest.fixture(params=sorted(LOOPS))
def live(request: pytest.FixtureRequest, tmp_path: Path, plane: RecordingDataPlane) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path, loop_name=str(request.param), data_plane=plane) as running:
        yield running


@pytest.fixture
def device(live: LiveGateway) -> Identity:
    return live.register()


def numbered(count: int) -> list[bytes]:
    return [b"%0*d" % (PAYLOAD_BYTES, number) for number in range(count)]


@functools.cache
def stream(version: ProtocolVersion, count: int, qos: QoS = AT_MOST_ONCE) -> bytes:
    return b"".join(
        encode(Publish("a", payload, qos, packet_id=number % 0xFFFF + 1 if qos else 0), version)
        for number, payload in enumerate(numbered(count))
    )


def close(connection: Peer) -> None:
    wait_until_sent(connection)
    connection.socket.close()


def end_of_file(connection: Peer) -> None:
    # Not the TLS socket's own method, which would give up TLS.
    socket.socket.shutdown(connection.socket, socket.SHUT_WR)


def wait_until_sent(connection: Peer) -> None:
    # What the client's kernel has not sent yet is lost with a reset: that is no fault of the gateway.
    while any(fcntl.ioctl(connection.socket.fileno(), termios.TIOCOUTQ, bytes(4))):
        time.sleep(0.001)


def reset(connection: Peer) -> None:
    wait_until_sent(connection)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.socket.close()


ENDS: dict[str, Callable[[Peer], None]] = {"close": close, "end of file": end_of_file, "reset": reset}


@pytest.fixture(params=sorted(ENDS))
def end(request: pytest.FixtureRequest) -> Callable[[Peer], None]:
    return ENDS[str(request.param)]


def last_event(live: LiveGateway) -> ClientDisconnected:
    live.wait_until(lambda: any(isinstance(each, ClientDisconnected) for each in live.events.all))
    (event,) = (each for each in live.events.all if isinstance(each, ClientDisconnected))
    return event


@pytest.mark.parametrize("qos", [AT_MOST_ONCE, AT_LEAST_ONCE])
@pytest.mark.parametrize("turns", [0, 1])
def test_all_that_was_sent_before_the_end_arrives(
    live: LiveGateway,
    plane: RecordingDataPlane,
    device: Identity,
    version: ProtocolVersion,
    qos: QoS,
    turns: int,
    end: Callable[[Peer], None],
) -> None:
    plane.recorded.turns = turns
    with connected_peer(live, device, version, will=WILL) as sender:
        sender.send_bytes(stream(version, MANY, qos) + encode(Disconnect(), version))
        end(sender)
        assert last_event(live).reason is DisconnectReason.CLIENT_INITIATED_DISCONNECT
    assert plane.recorded.payloads == numbered(MANY)
    assert plane.recorded.closings == [Closing(True, None)]


def test_all_that_was_sent_before_a_connection_is_lost_arrives_before_its_will(
    live: LiveGateway,
    plane: RecordingDataPlane,
    device: Identity,
    version: ProtocolVersion,
    end: Callable[[Peer], None],
) -> None:
    with connected_peer(live, device, version, will=WILL) as sender:
        sender.send_bytes(stream(version, MANY))
        end(sender)
        assert last_event(live).reason is DisconnectReason.CONNECTION_LOST
    assert plane.recorded.payloads == numbered(MANY)
    assert plane.recorded.closings == [Closing(False, None)]


@pytest.mark.parametrize("count", [0, 1, 64, 65, 300])
@pytest.mark.parametrize("slow", ["registry", "data plane", "neither"])
def test_connect_messages_and_disconnect_in_one_write_are_all_heard(
    live: LiveGateway,
    plane: RecordingDataPlane,
    device: Identity,
    version: ProtocolVersion,
    count: int,
    slow: str,
    end: Callable[[Peer], None],
) -> None:
    gate = live.thread.call(asyncio.Event)
    if slow == "registry":
        live.registry.gate = gate
    elif slow == "data plane":
        plane.recorded.opening = gate
    with peer(live, device, version) as hasty:
        connect = encode(Connect(version, "hasty", will=WILL), version)
        hasty.send_bytes(connect + stream(version, count) + encode(Disconnect(), version))
        end(hasty)
        if slow != "neither":
            live.wait_until(lambda: bool(live.gateway._index.of_principal(device.certificate_id)))
            live.thread.run(asyncio.sleep(0.05))
            live.thread.call(gate.set)
        assert last_event(live).reason is DisconnectReason.CLIENT_INITIATED_DISCONNECT
    assert isinstance(live.events.all[0], ClientConnected)
    assert plane.recorded.payloads == numbered(count)
    assert plane.recorded.closings == [Closing(True, None)]


def test_disconnect_behind_many_messages_shortens_the_session(
    live: LiveGateway, plane: RecordingDataPlane, device: Identity, end: Callable[[Peer], None]
) -> None:
    properties = ConnectProperties(session_expiry_interval=600)
    farewell = Disconnect(properties=DisconnectProperties(session_expiry_interval=0))
    with connected_peer(live, device, V5, properties=properties) as sender:
        sender.send_bytes(stream(V5, MANY) + encode(farewell, V5))
        end(sender)
        live.wait_until(lambda: bool(plane.recorded.closings))
    assert plane.recorded.closings == [Closing(True, 0)]
    with peer(live, device, V5) as returned:
        connack = returned.connect(clean_start=False, properties=properties)
        assert not connack.session_present


@pytest.mark.parametrize("count", [1, 8, 9, 60])
@pytest.mark.parametrize("says_goodbye", [True, False])
def test_acknowledgements_before_the_end_are_heard(
    live: LiveGateway, device: Identity, count: int, says_goodbye: bool, end: Callable[[Peer], None]
) -> None:
    properties = ConnectProperties(session_expiry_interval=600)
    with connected_peer(live, device, V5, "reader", clean_start=False, properties=properties) as reader:
        reader.subscribe("a")
        with connected_peer(live, device, V5, "sender") as sender:
            sender.send_bytes(stream(V5, count, AT_LEAST_ONCE))
            received = [reader.expect(Publish) for _ in range(count)]
            # The gateway works on nothing: what comes is taken without a task.
            assert reader.is_served()
        live.wait_until(lambda: live.gateway.connected_devices == 1)
        goodbye = encode(Disconnect(), V5) if says_goodbye else b""
        reader.send_bytes(b"".join(encode(Puback(each.packet_id), V5) for each in received) + goodbye)
        end(reader)
        live.wait_until(lambda: live.gateway.connected_devices == 0)
    reason = DisconnectReason.CLIENT_INITIATED_DISCONNECT if says_goodbye else DisconnectReason.CONNECTION_LOST
    (left,) = (e for e in live.events.all if isinstance(e, ClientDisconnected) and e.link.client_id == "reader")
    assert left.reason is reason
    with peer(live, device, V5) as returned:
        assert returned.connect("reader", clean_start=False, properties=properties).session_present
        assert returned.is_served()


def test_half_closed_device_gets_its_acknowledgements_before_the_gateway_closes(
    live: LiveGateway, device: Identity, version: ProtocolVersion
) -> None:
    with connected_peer(live, device, version) as sender:
        sender.send_bytes(stream(version, 90, AT_LEAST_ONCE))
        end_of_file(sender)
        assert [sender.expect(Puback).packet_id for _ in range(90)] == list(range(1, 91))
        assert sender.is_closed()


def test_what_arrives_with_the_end_while_the_device_does_not_read_is_worked_through(
    tmp_path: Path, plane: RecordingDataPlane
) -> None:
    limits = GatewayLimits(write_high_bytes=1024, write_limit_bytes=64 * 1024 * 1024)
    count = 60
    with live_gateway(tmp_path, data_plane=plane, limits=limits) as live:
        device = live.register()
        with connected_peer(live, device, V3) as slow:
            slow.subscribe("large")
            writer = live.thread.call(lambda: next(iter(live.gateway._index.accepted))._writer)
            large = Publish("large", bytes(100_000), AT_MOST_ONCE)
            with connected_peer(live, live.register(), V3, "sender") as sender:
                for _ in range(200):
                    sender.send(large)
                    if writer.paused:
                        break
                assert sender.is_served()
                live.wait_until(lambda: writer.paused)
            slow.send_bytes(stream(V3, count, AT_LEAST_ONCE))
            end_of_file(slow)
            live.thread.run(asyncio.sleep(0.05))
            assert numbered(count)[0] not in plane.recorded.payloads
            acknowledged = []
            while (packet := slow.next_packet()) is not None:
                if isinstance(packet, Puback):
                    acknowledged.append(packet.packet_id)
            assert acknowledged == list(range(1, count + 1))
        live.wait_until(lambda: live.gateway.connected_devices == 0)
    assert [each for each in plane.recorded.payloads if len(each) == PAYLOAD_BYTES] == numbered(count)


def test_acknowledgements_that_nobody_reads_cost_no_message(
    live: LiveGateway, plane: RecordingDataPlane, device: Identity
) -> None:
    # The client's kernel answers the first of them with a reset, and the gateway's next write fails.
    with connected_peer(live, device, V3) as sender:
        sender.send_bytes(stream(V3, MANY, AT_LEAST_ONCE))
        close(sender)
        assert last_event(live).reason is DisconnectReason.CONNECTION_LOST
    assert plane.recorded.payloads == numbered(MANY)


def test_revocation_overtakes_what_waits(
    live: LiveGateway, plane: RecordingDataPlane, device: Identity, version: ProtocolVersion
) -> None:
    plane.recorded.turns = 5
    with connected_peer(live, device, version) as sender:
        sender.send_bytes(stream(version, MANY) + encode(Disconnect(), version))
        close(sender)
        live.wait_until(lambda: len(plane.recorded.payloads) > 10)
        live.thread.call(lambda: live.gateway.principal_ended(live.target(device)))
        assert last_event(live).reason is DisconnectReason.SERVER_INITIATED_DISCONNECT
        after = len(plane.recorded.payloads)
    live.wait_until(lambda: live.gateway.open_connections == 0)
    assert after < MANY
    assert len(plane.recorded.payloads) <= after + 1


def test_malformed_packet_ends_the_connection_where_it_stands(
    live: LiveGateway, plane: RecordingDataPlane, device: Identity, end: Callable[[Peer], None]
) -> None:
    with connected_peer(live, device, V3) as sender:
        sender.send_bytes(stream(V3, MANY) + b"\xf3\x00" + stream(V3, 10))
        end(sender)
        assert last_event(live).reason is DisconnectReason.CLIENT_ERROR
    assert plane.recorded.payloads == numbered(MANY)


def test_what_is_left_of_a_lost_connection_does_not_keep_it_for_ever(tmp_path: Path) -> None:
    plane = RecordingDataPlane()
    with live_gateway(tmp_path, data_plane=plane, limits=GatewayLimits(drain_seconds=0.2)) as live:
        device = live.register()
        with connected_peer(live, device) as sender:
            live.wait_until(lambda: live.gateway.connected_devices == 1)
            plane.recorded.publishing = live.thread.call(asyncio.Event)
            sender.send_bytes(stream(V3, MANY))
            close(sender)
            live.wait_until(lambda: live.gateway.open_connections == 0)
            live.thread.call(plane.recorded.publishing.set)
            assert last_event(live).reason is DisconnectReason.CONNECTION_LOST
        assert len(plane.recorded.payloads) == 1


def test_closed_connections_do_not_fill_the_memory_of_the_process(
    live: LiveGateway, plane: RecordingDataPlane, device: Identity
) -> None:
    plane.recorded.publishing = live.thread.call(asyncio.Event)
    message = encode(Publish("a", bytes(100_000), AT_MOST_ONCE), V3)
    with connected_peer(live, device) as sender:
        sender.socket.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            for _ in range(200):
                sender.socket.sendall(message)
        (connection,) = live.gateway._index.of_principal(device.certificate_id)
        sender.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sender.socket.close()
        live.thread.run(asyncio.sleep(0.1))
        assert connection.protocol.buffered < 300_000
        live.thread.call(lambda: live.gateway.principal_ended(live.target(device)))
        live.thread.call(plane.recorded.publishing.set)
    live.wait_until(lambda: live.gateway.open_connections == 0)


# Clients as they come


def run_mosquitto_pub(live: LiveGateway, identity: Identity, lines: int, *arguments: str) -> None:
    certificate, key = identity.files(live.directory)
    files = ("--cafile", str(live.ca_file()), "--cert", str(certificate), "--key", str(key))
    program = [required_program("mosquitto_pub"), "-h", "localhost", "-p", str(live.port), *files]
    text = b"".join(payload + b"\n" for payload in numbered(lines))
    will = ("--will-topic", "will", "--will-payload", "gone")
    subprocess.run(
        [*program, "-i", "pub", "-t", "a", "-l", *will, *arguments], input=text, check=True, timeout=GENEROUS
    )


@pytest.mark.parametrize("protocol", ["mqttv311", "mqttv5"])
@pytest.mark.parametrize("qos", ["0", "1"])
def test_lines_of_mosquitto_pub_arrive(
    live: LiveGateway, plane: RecordingDataPlane, device: Identity, protocol: str, qos: str
) -> None:
    run_mosquitto_pub(live, device, 2000, "-V", protocol, "-q", qos)
    assert last_event(live).client_initiated
    assert plane.recorded.payloads == numbered(2000)
    assert plane.recorded.closings == [Closing(True, None)]


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_messages_of_paho_arrive(
    live: LiveGateway, plane: RecordingDataPlane, device: Identity, protocol: MQTTProtocolVersion
) -> None:
    certificate, key = device.files(live.directory)
    client = paho.Client(CallbackAPIVersion.VERSION2, "paho", protocol=protocol)
    client.tls_set(str(live.ca_file()), str(certificate), str(key))
    client.will_set("will", b"gone")
    client.connect("localhost", live.port)
    client.loop_start()
    live.wait_until(lambda: live.gateway.connected_devices == 1)
    for payload in numbered(1000):
        client.publish("a", payload)
    client.disconnect()
    client.loop_stop()
    assert last_event(live).client_initiated
    assert plane.recorded.closings == [Closing(True, None)]
    assert plane.recorded.payloads == numbered(1000)


# Behind the relay


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with mosquitto("max_queued_messages 0") as running:
        yield running


@pytest.fixture
def relayed(tmp_path: Path, broker: Mosquitto) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path, data_plane=RelayDataPlane(one_broker(broker.address, SCOPE))) as running:
        yield running


def heard_until_marker(observer: Peer) -> list[bytes]:
    heard: list[bytes] = []
    while (message := observer.expect(Publish)).topic != "marker":
        if message.packet_id:
            observer.send(Puback(message.packet_id))
        heard.append(message.payload)
    return heard


@contextlib.contextmanager
def observed(broker: Mosquitto) -> Iterator[Peer]:
    with broker.peer("observer") as observer:
        observer.subscribe("a", "will", "marker")
        yield observer


def test_everything_reaches_the_broker_and_no_will(
    relayed: LiveGateway, broker: Mosquitto, version: ProtocolVersion, end: Callable[[Peer], None]
) -> None:
    device = relayed.register()
    with observed(broker) as observer, peer(relayed, device, version) as hasty:
        connect = encode(Connect(version, "hasty", will=WILL), version)
        hasty.send_bytes(connect + stream(version, 2000) + encode(Disconnect(), version))
        end(hasty)
        assert last_event(relayed).client_initiated
        observer.send(Publish("marker", b""))
        assert heard_until_marker(observer) == numbered(2000)


def test_lines_of_mosquitto_pub_reach_the_broker(relayed: LiveGateway, broker: Mosquitto) -> None:
    device = relayed.register()
    with observed(broker) as observer:
        run_mosquitto_pub(relayed, device, 2000, "-q", "0")
        assert last_event(relayed).client_initiated
        observer.send(Publish("marker", b""))
        assert heard_until_marker(observer) == numbered(2000)


def test_broker_that_pauses_gets_what_was_sent_before_the_goodbye(tmp_path: Path) -> None:
    with mosquitto("max_queued_messages 0") as broker:
        limits = RelayLimits(leave_seconds=0.1)
        with (
            live_gateway(tmp_path, data_plane=RelayDataPlane(one_broker(broker.address, SCOPE), limits)) as live,
            connected_peer(live, live.register(), V5, will=WILL) as sender,
            observed(broker) as observer,
        ):
            broker.pause()
            # More than the kernel takes, less than makes the gateway wait.
            large = encode(Publish("a", bytes(60_000), AT_MOST_ONCE), V5)
            sender.send_bytes(large * 5 + encode(Disconnect(), V5))
            close(sender)
            live.thread.run(asyncio.sleep(0.6))
            broker.resume()
            live.wait_until(lambda: live.gateway.connected_devices == 0 and not live.gateway._services.work)
            observer.send(Publish("marker", b""))
            assert heard_until_marker(observer) == [bytes(60_000)] * 5
