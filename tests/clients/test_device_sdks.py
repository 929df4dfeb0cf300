"""AWS's device SDK and other MQTT clients, as they are, on a running service: from a claim to an identity and out."""

import asyncio
import functools
import json
import queue
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from awscrt import mqtt, mqtt5, mqtt_request_response
from awsiot import iotidentity, mqtt5_client_builder, mqtt_connection_builder
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import IoT, Live
from tests.support.devices.live_devices import (  # noqa: F401  a fixture is found as `live`
    GENEROUS,
    Credentials,
    Fleet,
    device,
    device_policy,
    is_admitted,
    live_on_each_data_plane,
    new_credentials,
    new_fleet,
    unique,
)
from tests.support.machine.required import required_program
from tests.support.services.service import running_service

CREATE = "$aws/certificates/create/json"
QOS = mqtt.QoS.AT_LEAST_ONCE
OPTIONS = mqtt_request_response.ClientOptions(
    max_request_response_subscriptions=2, max_streaming_subscriptions=2, operation_timeout_in_seconds=60
)


@pytest.fixture
def fleet(iot: IoT) -> Fleet:
    return new_fleet(iot)


@dataclass
class Opened:
    """A connection of the SDK, of either version: what the identity clients take, and how to publish and to notice."""

    client: Any
    publish: Callable[[str, bytes], bool]
    ended: threading.Event


def arguments(live: Live, credentials: Credentials, client_id: str) -> dict[str, Any]:
    return {
        "endpoint": "localhost",
        "port": live.service.endpoints.mqtt_port,
        "cert_bytes": credentials.certificate_pem.encode(),
        "pri_key_bytes": credentials.private_key_pem.encode(),
        "ca_filepath": str(live.ca_file),
        "client_id": client_id,
    }


@contextmanager
def by_mqtt_3(live: Live, credentials: Credentials, client_id: str) -> Iterator[Opened]:
    """Connect as the SDK does by itself: a lasting session, and its name as the user's."""
    ended = threading.Event()
    connection = mqtt_connection_builder.mtls_from_bytes(
        **arguments(live, credentials, client_id),
        on_connection_interrupted=lambda *_, **__: ended.set(),
        # Interrupted, it disconnects only when it has tried to connect again.
        reconnect_min_timeout_secs=1,
    )
    connection.connect().result(GENEROUS)

    def publish(topic: str, payload: bytes) -> bool:
        sent: Future[object] = connection.publish(topic, payload, QOS)[0]
        while not sent.done() and not ended.wait(0.02):
            pass
        # MQTT 3.1.1 refuses by ending the connection.
        return not ended.is_set()

    try:
        yield Opened(connection, publish, ended)
    finally:
        connection.disconnect().result(GENEROUS)


@contextmanager
def by_mqtt_5(live: Live, credentials: Credentials, client_id: str) -> Iterator[Opened]:
    connected, ended, stopped = threading.Event(), threading.Event(), threading.Event()
    client = mqtt5_client_builder.mtls_from_bytes(
        **arguments(live, credentials, client_id),
        on_lifecycle_connection_success=lambda _: connected.set(),
        on_lifecycle_disconnection=lambda _: ended.set(),
        on_lifecycle_stopped=lambda _: stopped.set(),
    )
    client.start()

    def publish(topic: str, payload: bytes) -> bool:
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
        answered: int = client.publish(packet).result(GENEROUS).puback.reason_code
        return bool(answered < mqtt5.PubackReasonCode.UNSPECIFIED_ERROR)

    try:
        assert connected.wait(GENEROUS)
        yield Opened(client, publish, ended)
    finally:
        client.stop()
        assert stopped.wait(GENEROUS)


class FirstClient:
    """The SDK's identity client of subscriptions and callbacks."""

    def __init__(self, connection: object) -> None:
        self._client = iotidentity.IotIdentityClient(connection)

    def create_keys(self) -> Any:  # of the SDK, which is untyped
        return self._ask("create_keys_and_certificate", "CreateKeysAndCertificate", {}, {})

    def create_from_csr(self, csr: str) -> Any:
        return self._ask(
            "create_certificate_from_csr", "CreateCertificateFromCsr", {}, {"certificate_signing_request": csr}
        )

    def register(self, template: str, token: str, serial: str) -> Any:
        given = {"certificate_ownership_token": token, "parameters": {"Serial": serial}}
        return self._ask("register_thing", "RegisterThing", {"template_name": template}, given)

    def _ask(self, method: str, name: str, where: dict[str, str], given: dict[str, Any]) -> Any:
        heard: queue.Queue[Any] = queue.Queue()
        subscription = getattr(iotidentity, f"{name}SubscriptionRequest")(**where)
        for outcome in ("accepted", "rejected"):
            subscribe = getattr(self._client, f"subscribe_to_{method}_{outcome}")
            subscribe(subscription, QOS, heard.put)[0].result(GENEROUS)
        request = getattr(iotidentity, f"{name}Request")(**where, **given)
        getattr(self._client, f"publish_{method}")(request, QOS).result(GENEROUS)
        return heard.get(timeout=GENEROUS)


class SecondClient:
    """The SDK's identity client of requests and responses."""

    def __init__(self, connection: object) -> None:
        self._client = iotidentity.IotIdentityClientV2(connection, OPTIONS)

    def create_keys(self) -> Any:
        return self._client.create_keys_and_certificate(iotidentity.CreateKeysAndCertificateRequest()).result(GENEROUS)

    def create_from_csr(self, csr: str) -> Any:
        request = iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request=csr)
        return self._client.create_certificate_from_csr(request).result(GENEROUS)

    def register(self, template: str, token: str, serial: str) -> Any:
        request = iotidentity.RegisterThingRequest(
            template_name=template, certificate_ownership_token=token, parameters={"Serial": serial}
        )
        return self._client.register_thing(request).result(GENEROUS)


@pytest.mark.parametrize("connect", [by_mqtt_3, by_mqtt_5], ids=["3.1.1", "5"])
@pytest.mark.parametrize("identity_client", [FirstClient, SecondClient], ids=["V1", "V2"])
def test_sdk_takes_a_device_from_its_claim_to_its_end(
    live: Live, iot: IoT, fleet: Fleet, tmp_path: Path, connect: Any, identity_client: Any
) -> None:
    serial = unique("sdk")
    with connect(live, fleet.claim, unique("claim")) as claim:
        identity = identity_client(claim.client)
        created = identity.create_keys()
        registered = identity.register(fleet.template, created.certificate_ownership_token, serial)
    assert (registered.thing_name, registered.device_configuration) == (
        f"device-{serial}",
        {"url": "https://example.com/"},
    )
    own = Credentials(created.certificate_id, created.certificate_pem, created.private_key)
    with connect(live, own, registered.thing_name) as provisioned:
        assert provisioned.publish(f"device-{serial}/state", b"on")
    with connect(live, own, registered.thing_name) as provisioned:
        assert not provisioned.publish("another/state", b"on")
    with connect(live, own, registered.thing_name) as provisioned:
        iot.update_certificate(certificateId=own.certificate_id, newStatus="INACTIVE")
        assert provisioned.ended.wait(GENEROUS)
    assert not is_admitted(live, own, tmp_path)


@pytest.mark.parametrize("connect", [by_mqtt_3, by_mqtt_5], ids=["3.1.1", "5"])
@pytest.mark.parametrize("identity_client", [FirstClient, SecondClient], ids=["V1", "V2"])
def test_sdk_has_its_own_key_certified(live: Live, iot: IoT, fleet: Fleet, connect: Any, identity_client: Any) -> None:
    serial = unique("csr")
    with connect(live, fleet.claim, unique("claim")) as claim:
        identity = identity_client(claim.client)
        created = identity.create_from_csr(csr_pem("p-256"))
        assert not hasattr(created, "private_key")
        registered = identity.register(fleet.template, created.certificate_ownership_token, serial)
    described = iot.describe_certificate(certificateId=created.certificate_id)["certificateDescription"]
    assert (registered.thing_name, described["status"]) == (f"device-{serial}", "ACTIVE")


def test_sdk_that_finds_its_session_and_does_not_subscribe_again_loses_no_answer(live: Live, fleet: Fleet) -> None:
    """Filters on reserved topics end with their connection, although the session is said to be there."""
    client_id = unique("claim")
    with by_mqtt_3(live, fleet.claim, client_id) as first:
        FirstClient(first.client).create_keys()

    heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
    again = mqtt_connection_builder.mtls_from_bytes(**arguments(live, fleet.claim, client_id))
    again.on_message(lambda topic, payload, **_: heard.put((topic, payload)))
    assert again.connect().result(GENEROUS)["session_present"]
    again.publish(CREATE, b"{}", QOS)[0].result(GENEROUS)
    topic, payload = heard.get(timeout=GENEROUS)
    again.disconnect().result(GENEROUS)

    assert topic == f"{CREATE}/accepted"
    assert json.loads(payload)["certificateId"]


# Other clients


async def test_aiomqtt_publishes_subscribes_and_asks(live: Live, iot: IoT, tmp_path: Path) -> None:
    certificate, key = new_credentials(iot).files(tmp_path)
    tls = ssl.create_default_context(cafile=live.ca_file)
    tls.load_cert_chain(certificate, key)
    topic = unique("aio/mqtt")
    async with (
        asyncio.timeout(GENEROUS),
        aiomqtt.Client("localhost", live.service.endpoints.mqtt_port, identifier=unique("aio"), tls_context=tls) as own,
    ):
        await own.subscribe([(topic, 1), (f"{CREATE}/accepted", 1)])
        await own.publish(topic, b"hello", qos=1)
        first = await anext(own.messages)
        await own.publish(CREATE, b"{}", qos=1)
        second = await anext(own.messages)
    assert (str(first.topic), first.payload) == (topic, b"hello")
    assert isinstance(second.payload, bytes)
    assert json.loads(second.payload)["privateKey"].startswith("-----BEGIN RSA PRIVATE KEY-----")


@dataclass(frozen=True)
class Mosquitto:
    """Mosquitto's tools with a device's certificate."""

    live: Live
    certificate: Path
    key: Path

    def command(self, program: str, *options: str) -> list[str]:
        """Return a command line."""
        port = str(self.live.service.endpoints.mqtt_port)
        files = ("--cafile", str(self.live.ca_file), "--cert", str(self.certificate), "--key", str(self.key))
        return [required_program(program), "-h", "localhost", "-p", port, *files, "-i", unique("tool"), *options]

    def run(self, program: str, *options: str) -> "subprocess.CompletedProcess[str]":
        """Run a tool to its end."""
        return subprocess.run(
            self.command(program, *options), capture_output=True, text=True, check=False, timeout=GENEROUS
        )


@pytest.fixture
def mosquitto(live: Live, iot: IoT, tmp_path: Path) -> Mosquitto:
    return Mosquitto(live, *new_credentials(iot).files(tmp_path))


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquittos_tools_publish_and_subscribe(mosquitto: Mosquitto, version: str) -> None:
    topic = unique("tools")
    common = ("-V", version, "-t", topic, "-q", "1")
    assert mosquitto.run("mosquitto_pub", *common, "-r", "-m", "kept").returncode == 0
    heard = mosquitto.run("mosquitto_sub", *common, "-C", "1", "-W", "60")
    assert (heard.returncode, heard.stdout) == (0, "kept\n")


def test_mosquitto_rr_gets_the_answer_to_a_request(mosquitto: Mosquitto) -> None:
    answered = mosquitto.run(
        "mosquitto_rr", "-V", "mqttv5", "-t", CREATE, "-e", f"{CREATE}/accepted", "-q", "1", "-m", "{}"
    )
    assert answered.returncode == 0, answered.stderr
    assert json.loads(answered.stdout)["privateKey"].startswith("-----BEGIN RSA PRIVATE KEY-----")


def test_mosquittos_tools_are_told_what_is_not_allowed(live: Live, iot: IoT, tmp_path: Path) -> None:
    allowed = device_policy(("iot:Connect", "*"), ("iot:Publish", "topic/mine"))
    tools = Mosquitto(live, *new_credentials(iot, allowed).files(tmp_path))
    publish = functools.partial(tools.run, "mosquitto_pub", "-V", "mqttv5", "-q", "1", "-m", "x", "-t")
    assert publish("mine").returncode == 0
    refused = publish("yours")
    assert "Not authorized" in refused.stdout + refused.stderr
    iot.update_certificate(certificateId=tools.certificate.stem, newStatus="INACTIVE")
    assert publish("mine").returncode != 0


# The second port


def test_both_ports_lead_to_the_same_sessions(tmp_path: Path) -> None:
    with ExitStack() as stack:
        service = stack.enter_context(running_service(tmp_path / "data", "--mqtt-alpn", "127.0.0.1:0"))
        live = Live(service, None)
        iot = live.client()
        stack.callback(iot.close)
        endpoints = service.endpoints
        assert endpoints.mqtt_alpn == f"127.0.0.1:{endpoints.mqtt_alpn_port}"
        assert endpoints.mqtt_alpn_port not in (None, endpoints.mqtt_port)
        credentials = new_credentials(iot)
        with device(live, credentials, tmp_path, "lamp") as first:
            tls = mqtt_connection_builder.mtls_from_bytes(
                **arguments(live, credentials, "lamp") | {"port": endpoints.mqtt_alpn_port}
            )
            tls.connect().result(GENEROUS)
            assert str(first.disconnected.get(timeout=GENEROUS)) == "Session taken over"
            tls.disconnect().result(GENEROUS)
