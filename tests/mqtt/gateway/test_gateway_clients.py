"""Clients that know nothing of this service: AWS's device SDK, paho and mosquitto's tools."""

import contextlib
import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from awscrt import mqtt, mqtt5, mqtt_request_response
from awsiot import iotidentity, mqtt5_client_builder, mqtt_connection_builder
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from tests.support.devices.device_gateway import CREATE, LiveGateway, live_gateway, policy
from tests.support.devices.device_identities import Identity, new_identity, rsa_key
from tests.support.devices.mqtt_peer import V5, connected_peer
from tests.support.machine.loop_thread import GENEROUS
from tests.support.machine.required import required_program

from thingmint.mqtt.codec.packets import Disconnect, Puback, Publish, QoS
from thingmint.mqtt.codec.properties import PublishProperties
from thingmint.mqtt.events import ClientConnected, ClientSubscribed
from thingmint.mqtt.rights.ports import DeviceRefusal

TEMPLATE = "fleet"
PROVISIONED = policy(
    ("iot:Connect", "client/*"),
    ("iot:Publish", "topic/fleet/thing"),
    ("iot:Subscribe", "topicfilter/fleet/thing"),
    ("iot:Receive", "topic/fleet/thing"),
)
CLAIM = policy(
    ("iot:Connect", "*"),
    ("iot:Publish", "topic/$aws/certificates/create/*"),
    ("iot:Receive", "topic/$aws/certificates/create/*"),
    ("iot:Publish", f"topic/$aws/provisioning-templates/{TEMPLATE}/provision/*"),
    ("iot:Receive", f"topic/$aws/provisioning-templates/{TEMPLATE}/provision/*"),
    ("iot:Subscribe", "topicfilter/$aws/certificates/create/*"),
    ("iot:Subscribe", f"topicfilter/$aws/provisioning-templates/{TEMPLATE}/provision/*"),
)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path) as running:
        running.fleet.provisioned = lambda identity: running.register(identity, PROVISIONED)
        yield running


# paho


class PahoDevice:
    """A paho client in its thread, and all that it hears."""

    def __init__(self, live: LiveGateway, identity: Identity, client_id: str, version: MQTTProtocolVersion) -> None:
        self.connected: queue.Queue[Any] = queue.Queue()
        self.disconnected: queue.Queue[Any] = queue.Queue()
        self.subscribed: queue.Queue[Any] = queue.Queue()
        self.heard: queue.Queue[paho.MQTTMessage] = queue.Queue()
        certificate, key = identity.files(live.directory)
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=version)
        self.client.tls_set(str(live.ca_file()), str(certificate), str(key))
        self.client.on_connect = lambda _c, _u, _f, code, _p: self.connected.put(code)
        self.client.on_disconnect = lambda _c, _u, _f, code, _p: self.disconnected.put(code)
        self.client.on_subscribe = lambda _c, _u, _m, codes, _p: self.subscribed.put(codes)
        self.client.on_message = lambda _c, _u, message: self.heard.put(message)
        self.client.connect("localhost", live.port)
        self.client.loop_start()

    def subscribe(self, topic: str) -> Any:
        self.client.subscribe(topic, qos=1)
        return self.subscribed.get(timeout=GENEROUS)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_paho_publishes_subscribes_and_asks_for_a_certificate(live: LiveGateway, version: MQTTProtocolVersion) -> None:
    with contextlib.closing(PahoDevice(live, live.register(), "paho", version)) as device:
        assert not device.connected.get(timeout=GENEROUS).is_failure
        assert not device.subscribe("a/+")[0].is_failure
        device.client.publish("a/b", b"hello", qos=1).wait_for_publish(GENEROUS)
        assert device.heard.get(timeout=GENEROUS).payload == b"hello"

        device.subscribe(f"{CREATE}/accepted")
        device.client.publish(CREATE, b"", qos=1).wait_for_publish(GENEROUS)

        answer = device.heard.get(timeout=GENEROUS)
        assert answer.topic == f"{CREATE}/accepted"
        assert "BEGIN EC PRIVATE KEY" in json.loads(answer.payload)["privateKey"]


def test_paho_is_told_by_mqtt_5_what_is_refused(live: LiveGateway) -> None:
    allowed = live.register(allowed=policy(("iot:Connect", "client/paho"), ("iot:Publish", "topic/a")))
    with contextlib.closing(PahoDevice(live, allowed, "paho", MQTTProtocolVersion.MQTTv5)) as device:
        assert not device.connected.get(timeout=GENEROUS).is_failure
        assert str(device.subscribe("a")[0]) == "Not authorized"
    with contextlib.closing(PahoDevice(live, new_identity(), "paho", MQTTProtocolVersion.MQTTv5)) as stranger:
        assert str(stranger.connected.get(timeout=GENEROUS)) == "Not authorized"


def test_paho_of_a_revoked_certificate_is_disconnected_and_stays_out(live: LiveGateway) -> None:
    identity = live.register()
    with contextlib.closing(PahoDevice(live, identity, "paho", MQTTProtocolVersion.MQTTv5)) as device:
        assert not device.connected.get(timeout=GENEROUS).is_failure
        live.device(identity).refusal = DeviceRefusal.REVOKED
        live.thread.call(lambda: live.gateway.principal_ended(live.target(identity)))
        assert str(device.disconnected.get(timeout=GENEROUS)) == "Administrative action"
        assert str(device.connected.get(timeout=GENEROUS)) == "Not authorized"


# Mosquitto's tools


def mosquitto(live: LiveGateway, identity: Identity, program: str, *arguments: str) -> list[str]:
    certificate, key = identity.files(live.directory)
    files = ("--cafile", str(live.ca_file()), "--cert", str(certificate), "--key", str(key))
    return [required_program(program), "-h", "localhost", "-p", str(live.port), *files, *arguments]


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
@pytest.mark.parametrize("tls_version", ["tlsv1.2", "tlsv1.3"])
def test_mosquitto_publishes_and_subscribes(live: LiveGateway, version: str, tls_version: str) -> None:
    identity = live.register(new_identity(key=rsa_key()))
    common = ("-V", version, "--tls-version", tls_version, "-t", "a/b", "-q", "1")
    subscriber = subprocess.Popen(
        mosquitto(live, identity, "mosquitto_sub", *common, "-C", "1", "-W", "60", "-i", "sub"), stdout=subprocess.PIPE
    )
    with subscriber:
        live.wait_until(lambda: any(isinstance(event, ClientSubscribed) for event in live.events.all))
        subprocess.run(
            mosquitto(live, identity, "mosquitto_pub", *common, "-m", "hello", "-i", "pub"),
            check=True,
            timeout=GENEROUS,
        )
        output, _ = subscriber.communicate(timeout=GENEROUS)
    assert output == b"hello\n"
    assert subscriber.returncode == 0


def test_no_message_of_another_device_ends_the_connection_of_mosquitto(live: LiveGateway) -> None:
    # libmosquitto ends its connection because of control characters, and then again for each redelivery.
    common = ("-V", "mqttv5", "-t", "#", "-q", "1", "-c", "-x", "600", "-i", "sub")
    subscriber = subprocess.Popen(
        mosquitto(live, live.register(), "mosquitto_sub", *common, "-C", "1", "-W", "60"), stdout=subprocess.PIPE
    )
    with subscriber:
        live.wait_until(lambda: any(isinstance(event, ClientSubscribed) for event in live.events.all))
        sender = live.register()
        for topic, properties in (
            ("a/\x01", PublishProperties()),
            ("a/\uffff", PublishProperties()),
            ("a", PublishProperties(user_properties=(("a\n", ""),))),
            ("a", PublishProperties(content_type="\x7f")),
        ):
            with connected_peer(live, sender, V5, "sender") as hostile:
                hostile.send(Publish(topic, b"hostile", QoS.AT_LEAST_ONCE, packet_id=1, properties=properties))
                answer = hostile.next_packet()
                assert isinstance(answer, Puback | Disconnect)
                assert answer.reason_code.is_failure
        with connected_peer(live, sender, V5, "sender") as honest:
            honest.publish("a", b"hello")
        output, _ = subscriber.communicate(timeout=GENEROUS)
    assert output == b"hello\n"
    connected = [event for event in live.events.all if isinstance(event, ClientConnected)]
    assert [event.link.client_id for event in connected].count("sub") == 1


def test_mosquitto_without_permission_is_not_served(live: LiveGateway) -> None:
    identity = live.register(allowed=policy(("iot:Connect", "client/another")))

    finished = subprocess.run(
        mosquitto(live, identity, "mosquitto_pub", "-V", "mqttv5", "-t", "a", "-m", "hello", "-i", "pub"),
        capture_output=True,
        text=True,
        timeout=GENEROUS,
        check=False,
    )

    assert finished.returncode != 0
    assert "Not authorized" in finished.stdout + finished.stderr


# AWS's device SDK


def builder_arguments(live: LiveGateway, identity: Identity, client_id: str) -> dict[str, Any]:
    certificate, key = identity.files(live.directory)
    return {
        "endpoint": "localhost",
        "port": live.port,
        "cert_filepath": str(certificate),
        "pri_key_filepath": str(key),
        "ca_filepath": str(live.ca_file()),
        "client_id": client_id,
    }


@contextlib.contextmanager
def sdk_connection(live: LiveGateway, identity: Identity, client_id: str) -> Iterator[mqtt.Connection]:
    """Connect as the SDK does by itself: a lasting session, 20 minutes of keep-alive, its name as the user's."""
    connection = mqtt_connection_builder.mtls_from_path(**builder_arguments(live, identity, client_id))
    connection.connect().result(GENEROUS)
    try:
        yield connection
    finally:
        connection.disconnect().result(GENEROUS)


@contextlib.contextmanager
def sdk_client(live: LiveGateway, identity: Identity, client_id: str) -> Iterator[mqtt5.Client]:
    connected, stopped = threading.Event(), threading.Event()
    client = mqtt5_client_builder.mtls_from_path(
        **builder_arguments(live, identity, client_id),
        on_lifecycle_connection_success=lambda _: connected.set(),
        on_lifecycle_stopped=lambda _: stopped.set(),
    )
    client.start()
    try:
        assert connected.wait(GENEROUS)
        yield client
    finally:
        client.stop()
        assert stopped.wait(GENEROUS)


def from_answers(created: Any) -> Identity:
    """Return what a device has at the end: the certificate and the key that it was given."""
    key = load_pem_private_key(created.private_key.encode(), None)
    return Identity(x509.load_pem_x509_certificate(created.certificate_pem.encode()), key)  # type: ignore[arg-type]  # an EC key


def provision_by_first_client(connection: mqtt.Connection) -> Identity:
    client = iotidentity.IotIdentityClient(connection)
    created: queue.Queue[Any] = queue.Queue()
    registered: queue.Queue[Any] = queue.Queue()
    qos = mqtt.QoS.AT_LEAST_ONCE
    keys = iotidentity.CreateKeysAndCertificateSubscriptionRequest()
    client.subscribe_to_create_keys_and_certificate_accepted(keys, qos, created.put)[0].result(GENEROUS)
    client.subscribe_to_create_keys_and_certificate_rejected(keys, qos, created.put)[0].result(GENEROUS)
    client.publish_create_keys_and_certificate(iotidentity.CreateKeysAndCertificateRequest(), qos).result(GENEROUS)
    answer = created.get(timeout=GENEROUS)
    thing = iotidentity.RegisterThingSubscriptionRequest(template_name=TEMPLATE)
    client.subscribe_to_register_thing_accepted(thing, qos, registered.put)[0].result(GENEROUS)
    client.subscribe_to_register_thing_rejected(thing, qos, registered.put)[0].result(GENEROUS)
    request = iotidentity.RegisterThingRequest(
        template_name=TEMPLATE, certificate_ownership_token=answer.certificate_ownership_token
    )
    client.publish_register_thing(request, qos).result(GENEROUS)
    assert registered.get(timeout=GENEROUS).thing_name == "thing"
    return from_answers(answer)


def provision_by_second_client(connection: mqtt.Connection | mqtt5.Client) -> Identity:
    options = mqtt_request_response.ClientOptions(
        max_request_response_subscriptions=2, max_streaming_subscriptions=2, operation_timeout_in_seconds=60
    )
    client = iotidentity.IotIdentityClientV2(connection, options)
    answer = client.create_keys_and_certificate(iotidentity.CreateKeysAndCertificateRequest()).result(GENEROUS)
    request = iotidentity.RegisterThingRequest(
        template_name=TEMPLATE, certificate_ownership_token=answer.certificate_ownership_token
    )
    assert client.register_thing(request).result(GENEROUS).thing_name == "thing"
    return from_answers(answer)


def test_sdk_provisions_over_mqtt_3_1_1_and_comes_back_with_its_own_certificate(live: LiveGateway) -> None:
    claim = live.register(allowed=CLAIM)

    with sdk_connection(live, claim, "claiming") as connection:
        identity = provision_by_first_client(connection)

    heard: queue.Queue[bytes] = queue.Queue()
    with sdk_connection(live, identity, "thing") as connection:
        subscribed, _ = connection.subscribe(
            "fleet/thing", mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: heard.put(payload)
        )
        subscribed.result(GENEROUS)
        connection.publish("fleet/thing", b"hello", mqtt.QoS.AT_LEAST_ONCE)[0].result(GENEROUS)
        assert heard.get(timeout=GENEROUS) == b"hello"


def test_sdks_second_client_provisions_over_mqtt_3_1_1(live: LiveGateway) -> None:
    with sdk_connection(live, live.register(allowed=CLAIM), "claiming") as connection:
        identity = provision_by_second_client(connection)

    with sdk_connection(live, identity, "thing"):
        assert live.thread.call(lambda: live.gateway.connected_devices) >= 1


def test_sdks_second_client_provisions_over_mqtt_5(live: LiveGateway) -> None:
    with sdk_client(live, live.register(allowed=CLAIM), "claiming") as client:
        identity = provision_by_second_client(client)

    with sdk_client(live, identity, "thing") as client:
        packet = mqtt5.PublishPacket(topic="fleet/thing", payload=b"hello", qos=mqtt5.QoS.AT_LEAST_ONCE)
        assert client.publish(packet).result(GENEROUS).puback.reason_code == mqtt5.PubackReasonCode.SUCCESS
        packet = mqtt5.PublishPacket(topic="another", payload=b"hello", qos=mqtt5.QoS.AT_LEAST_ONCE)
        assert client.publish(packet).result(GENEROUS).puback.reason_code == mqtt5.PubackReasonCode.NOT_AUTHORIZED
