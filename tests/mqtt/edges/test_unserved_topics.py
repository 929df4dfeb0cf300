"""Topics that AWS IoT serves and this service does not: messages to them are dropped, and the connection lives."""

import logging
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.brokers.broker import SCOPE
from tests.support.brokers.mosquitto import Mosquitto, mosquitto
from tests.support.devices.device_gateway import LiveGateway, live_gateway, policy
from tests.support.devices.mqtt_peer import V5, connected_peer
from tests.support.machine.loop_thread import GENEROUS

from thingmint.api.devices.device_api import DEVICE_OPERATIONS
from thingmint.api.wire.device_operation import Hearer
from thingmint.core.identifiers import CertificateId
from thingmint.mqtt.codec.packets import Disconnect, ProtocolVersion, Publish, QoS
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.edges.life_cycle import life_cycle_event
from thingmint.mqtt.edges.unserved_messages import UnservedMessages
from thingmint.mqtt.events import ClientConnected, Link, MessageNotServed
from thingmint.mqtt.relay.brokers.spec import one_broker
from thingmint.mqtt.relay.relay import RelayDataPlane

SERVED_BY_AWS = [
    "$aws/things/lamp/shadow/get",
    "$aws/things/lamp/shadow/update",
    "$aws/things/lamp/shadow/delete",
    "$aws/things/lamp/shadow/name/config/update",
    "$aws/things/lamp/jobs/get",
    "$aws/things/lamp/jobs/start-next",
    "$aws/things/lamp/jobs/42/update",
    "$aws/things/lamp/defender/metrics/json",
    "$aws/things/lamp/streams/s/get/cbor",
    "$aws/things/lamp/tunnels/notify",
    "$aws/rules/rule",
    "$aws/rules/rule/a/b",
    "$aws/commands/things/lamp/executions/1/response",
    "$aws/device_location/lamp/get_position_estimate",
]
NOT_SERVED_BY_AWS = [
    "$aws/things/lamp",
    "$aws/things//shadow/get",
    "$aws/things/lamp/shadow",
    "$aws/things/lamp/other/get",
    "$aws/rules",
    "$aws/rules/",
    "$aws/certificates/create/json/accepted",
    "$aws/events/presence/connected/lamp",
    "$SYS/broker",
    "aws/things/lamp/shadow/get",
]


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with mosquitto() as running:
        yield running


@pytest.fixture(params=["local", "relay"])
def live(request: pytest.FixtureRequest, tmp_path: Path, broker: Mosquitto) -> Iterator[LiveGateway]:
    plane = None if request.param == "local" else RelayDataPlane(one_broker(broker.address, SCOPE))
    with live_gateway(tmp_path, data_plane=plane) as running:
        yield running


def is_dropped(topic: str) -> bool:
    found = DEVICE_OPERATIONS.find(topic)
    return found is not None and found.operation.hears is Hearer.NOBODY


@pytest.mark.parametrize("topic", SERVED_BY_AWS)
def test_topic_is_recognised(topic: str) -> None:
    assert is_dropped(topic)


@pytest.mark.parametrize("topic", NOT_SERVED_BY_AWS)
def test_other_topics_are_not(topic: str) -> None:
    assert not is_dropped(topic)


def test_message_is_taken_and_dropped_and_the_connection_lives(live: LiveGateway, version: ProtocolVersion) -> None:
    device = live.register()
    expected = ReasonCode.TOPIC_NAME_INVALID if version is V5 else ReasonCode.SUCCESS
    with connected_peer(live, device, version) as connection:
        for topic in SERVED_BY_AWS:
            assert connection.publish(topic, b"{}") is expected
            assert connection.publish(topic, b"{}", retain=True) is expected
            connection.send(Publish(topic, b"{}", QoS.AT_MOST_ONCE))
        assert connection.is_served()
    dropped = [each.topic for each in live.events.all if isinstance(each, MessageNotServed)]
    assert dropped == [topic for topic in SERVED_BY_AWS for _ in range(3)]


def test_policies_are_asked_first(live: LiveGateway, version: ProtocolVersion) -> None:
    device = live.register(allowed=policy(("iot:Connect", "*"), ("iot:Publish", "topic/$aws/rules/*")))
    with connected_peer(live, device, version) as connection:
        connection.send(Publish("$aws/things/lamp/shadow/get", b"", QoS.AT_MOST_ONCE))
        if version is V5:
            assert connection.expect(Disconnect).reason_code is ReasonCode.NOT_AUTHORIZED
        assert connection.is_closed()
    assert not any(isinstance(each, MessageNotServed) for each in live.events.all)


BRIDGE = """
listener {port} 127.0.0.1
allow_anonymous true
connection aws
address localhost:{gateway}
bridge_cafile {ca}
bridge_certfile {certificate}
bridge_keyfile {key}
remote_clientid bridge
cleansession false
try_private false
notifications false
bridge_protocol_version mqttv311
restart_timeout 1
topic $aws/things/+/shadow/update out 1
topic a out 1
"""


def test_bridge_of_mosquitto_stays_connected(live: LiveGateway, broker: Mosquitto) -> None:
    device, port = live.register(), free_port()
    certificate, key = device.files(live.directory)
    with tempfile.TemporaryDirectory() as directory:
        configuration = Path(directory) / "conf"
        text = BRIDGE.format(port=port, gateway=live.port, ca=live.ca_file(), certificate=certificate, key=key)
        configuration.write_text(f"user root\n{text}")
        bridge = subprocess.Popen([broker.program, "-c", str(configuration)], stderr=subprocess.DEVNULL)
        try:
            live.wait_until(lambda: live.gateway.connected_devices == 1)
            with connected_peer(live, live.register(), V5, "reader") as reader:
                reader.subscribe("a")
                publish = ["mosquitto_pub", "-p", str(port), "-q", "1", "-m", "x", "-t"]
                subprocess.run([*publish, "$aws/things/lamp/shadow/update"], check=True, timeout=GENEROUS)
                subprocess.run([*publish, "a"], check=True, timeout=GENEROUS)
                assert reader.expect(Publish).payload == b"x"
        finally:
            bridge.terminate()
            bridge.wait(GENEROUS)
    connected = [each for each in live.events.all if isinstance(each, ClientConnected)]
    assert [each.link.client_id for each in connected] == ["bridge", "reader"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def event_of(certificate: str, topic: str) -> MessageNotServed:
    link = Link("lamp", CertificateId(certificate * 64), "session", "127.0.0.1", SCOPE)
    return MessageNotServed(link, datetime.now(UTC), topic)


def counts_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().partition("dropped: ")[2].partition(" ")[0] for record in caplog.records]


def test_log_has_a_line_a_minute_for_each_certificate(caplog: pytest.LogCaptureFixture) -> None:
    now, counted = [0.0], [0]

    def count(messages: int) -> None:
        counted[0] += messages

    messages = UnservedMessages(count, lambda: now[0])
    with caplog.at_level(logging.WARNING):
        for topic in ("$aws/rules/a", "$aws/rules/b", "$aws/rules/c"):
            messages.count(event_of("a", topic))
        messages.count(event_of("b", "$aws/rules/b"))
        assert counts_of(caplog) == ["1", "1"]
        now[0] = 59.0
        messages.advance()
        assert counts_of(caplog) == ["1", "1"]
        now[0] = 61.0
        messages.advance()
        assert counts_of(caplog) == ["1", "1", "2"]
        messages.count(event_of("a", "$aws/rules/d"))
        messages.count(event_of("b", "$aws/rules/e"))
        assert counts_of(caplog) == ["1", "1", "2", "1"]
        now[0] = 122.0
        messages.count(event_of("c", "$aws/rules/f"))
    assert counts_of(caplog) == ["1", "1", "2", "1", "1", "1"]
    lines = [record.getMessage() for record in caplog.records]
    assert "last topic $aws/rules/c" in lines[2]
    assert "last topic $aws/rules/d" in lines[4]
    assert counted == [7]


def test_what_is_counted_is_logged_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    messages = UnservedMessages(monotonic=lambda: 0.0)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            messages.count(event_of("a", "$aws/rules/a"))
        messages.close()
        messages.close()
    assert counts_of(caplog) == ["1", "4"]


def test_what_is_counted_for_a_certificate_that_is_forgotten_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    messages = UnservedMessages(monotonic=lambda: 0.0)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            messages.count(event_of("a", "$aws/rules/a"))
        for number in range(1024):
            link = Link("lamp", CertificateId(f"{number:064x}"), "session", "127.0.0.1", SCOPE)
            messages.count(MessageNotServed(link, datetime.now(UTC), "$aws/rules/b"))
    assert counts_of(caplog) == ["1"] * 1024 + ["2", "1"]


def test_certificates_that_are_remembered_are_bounded() -> None:
    messages = UnservedMessages()
    for number in range(1100):
        link = Link("lamp", CertificateId(f"{number:064x}"), "session", "127.0.0.1", SCOPE)
        messages.count(MessageNotServed(link, datetime.now(UTC), "$aws/rules/a"))
    assert len(messages._counts) == 1024


def test_no_life_cycle_event_tells_of_it() -> None:
    assert life_cycle_event(event_of("a", "$aws/rules/a")) is None
