"""Owns devices for tests of a running service: paho clients with certificates of the registry, and a fleet's set-up."""

import contextlib
import itertools
import json
import queue
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode
from tests.support.clients.aws import AccessKey, IoT, Live
from tests.support.clients.web_sockets import presigned_target

GENEROUS = 60.0
MQTT_3, MQTT_5 = MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5
ROLE = "arn:aws:iam::000000000000:role/provisioning"
_numbers = itertools.count(1)


@pytest.fixture(scope="session", params=["sqlite", "postgresql", "relay"], name="live")
def live_on_each_data_plane(request: pytest.FixtureRequest) -> Live:
    """The session's service on each storage with the built-in broker, and with one behind it."""
    service: Live = request.getfixturevalue(f"live_on_{request.param}")
    return service


def unique(name: str) -> str:
    """Return a name that nothing else in the session has."""
    return f"{name}-{next(_numbers)}"


def device_policy(*statements: tuple[str, str]) -> str:
    """Return a policy document that allows these actions on these resources, each the last part of an ARN."""
    arn = "arn:aws:iot:us-east-1:000000000000:"
    allowed = [
        {"Effect": "Allow", "Action": action, "Resource": resource if resource == "*" else arn + resource}
        for action, resource in statements
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": allowed})


EVERYTHING = device_policy(("iot:*", "*"))


@dataclass(frozen=True)
class Credentials:
    """A registered certificate and its key, as PEM."""

    certificate_id: str
    certificate_pem: str
    private_key_pem: str
    account: str = "000000000000"

    @property
    def arn(self) -> str:
        """The certificate's ARN."""
        return f"arn:aws:iot:us-east-1:{self.account}:cert/{self.certificate_id}"

    def files(self, folder: Path) -> tuple[Path, Path]:
        """Write both to files and return their paths."""
        certificate, key = folder / f"{self.certificate_id}.pem", folder / f"{self.certificate_id}.key"
        certificate.write_text(self.certificate_pem)
        key.write_text(self.private_key_pem)
        return certificate, key


def new_credentials(iot: IoT, policy: str | None = EVERYTHING) -> Credentials:
    """Return an active certificate with the policy attached."""
    created = iot.create_keys_and_certificate(setAsActive=True)
    if policy is not None:
        name = unique("device")
        iot.create_policy(policyName=name, policyDocument=policy)
        iot.attach_policy(policyName=name, target=created["certificateArn"])
    return Credentials(created["certificateId"], created["certificatePem"], created["keyPair"]["PrivateKey"])


@dataclass(frozen=True)
class Fleet:
    """A template, and a claim certificate that may use it."""

    template: str
    claim: Credentials


def new_fleet(iot: IoT) -> Fleet:
    """Return a fleet whose devices may publish below their own name, and nothing else."""
    policy, template = unique("provisioned"), unique("fleet")
    own = "topic/${iot:Connection.Thing.ThingName}/*"
    document = device_policy(
        ("iot:Connect", "client/*"),
        ("iot:Publish", own),
        ("iot:Receive", own),
        ("iot:Subscribe", "topicfilter/${iot:Connection.Thing.ThingName}/*"),
    )
    iot.create_policy(policyName=policy, policyDocument=document)
    resources = {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": {"Fn::Join": ["", ["device-", {"Ref": "Serial"}]]}},
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": policy}},
    }
    body = {
        "Parameters": {"Serial": {"Type": "String"}},
        "Resources": resources,
        "DeviceConfiguration": {"url": "https://example.com/"},
    }
    iot.create_provisioning_template(
        templateName=template, templateBody=json.dumps(body), provisioningRoleArn=ROLE, enabled=True
    )
    return Fleet(template, new_credentials(iot, EVERYTHING))


class Device:
    """A paho client in its thread, and all that it hears; with an access key, it opens a WebSocket."""

    def __init__(
        self,
        live: Live,
        credentials: Credentials | AccessKey,
        folder: Path,
        client_id: str,
        version: MQTTProtocolVersion = MQTT_5,
        *,
        clean: bool = True,
        will: str | None = None,
        endpoint: tuple[str, int] | None = None,
    ) -> None:
        self.connected: queue.Queue[ReasonCode] = queue.Queue()
        self.disconnected: queue.Queue[ReasonCode] = queue.Queue()
        self.subscribed: queue.Queue[Any] = queue.Queue()
        self.published: queue.Queue[tuple[int, ReasonCode]] = queue.Queue()
        self.heard: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if version is MQTT_5 else clean,
            protocol=version,
            transport="websockets" if isinstance(credentials, AccessKey) else "tcp",
            reconnect_on_failure=False,
        )
        if will is not None:
            self.client.will_set(will, b"gone")
        if isinstance(credentials, AccessKey):
            self.client.ws_set_options(path=presigned_target(live, credentials))
            if live.service.endpoints.ca_file is not None:
                self.client.tls_set(live.service.endpoints.ca_file)
            endpoint = endpoint or ("localhost", live.service.endpoints.api_port)
        else:
            certificate, key = credentials.files(folder)
            self.client.tls_set(str(live.ca_file), str(certificate), str(key))
        self.client.on_connect = lambda _c, _u, _f, code, _p: self.connected.put(code)
        self.client.on_disconnect = lambda _c, _u, _f, code, _p: self.disconnected.put(code)
        self.client.on_subscribe = lambda _c, _u, _m, codes, _p: self.subscribed.put(codes)
        self.client.on_publish = lambda _c, _u, number, code, _p: self.published.put((number, code))
        self.client.on_message = lambda _c, _u, message: self.heard.put(message)
        self.client.connect(*(endpoint or ("localhost", live.service.endpoints.mqtt_port)))
        self.client.loop_start()

    def is_connected(self) -> bool:
        """Wait for the answer to CONNECT, and say whether it was accepted; a refusal of MQTT 3.1.1 is silence."""
        while True:
            with contextlib.suppress(queue.Empty):
                return not self.connected.get(timeout=0.05).is_failure
            if not self.disconnected.empty():
                return False

    def subscribe(self, topic: str) -> bool:
        """Subscribe at QoS 1 and say whether that was granted."""
        self.client.subscribe(topic, qos=1)
        granted: bool = not self.subscribed.get(timeout=GENEROUS)[0].is_failure
        return granted

    def publish(self, topic: str, payload: bytes) -> str:
        """Publish at QoS 1 and return what PUBACK says; for MQTT 5."""
        sent = self.client.publish(topic, payload, qos=1)
        while True:
            number, code = self.published.get(timeout=GENEROUS)
            if number == sent.mid:
                return str(code)

    def wait_until_published(self, topic: str) -> None:
        """Publish until it is allowed: what was changed elsewhere reaches a connection within a second or two."""
        deadline = time.monotonic() + GENEROUS
        while self.publish(topic, b"") == "Not authorized":
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def hear(self) -> paho.MQTTMessage:
        """Return the next message."""
        return self.heard.get(timeout=GENEROUS)

    def ask(self, topic: str, payload: bytes) -> tuple[str, bytes]:
        """Publish a request, and return the topic and payload of the answer."""
        self.client.publish(topic, payload, qos=1)
        answer = self.hear()
        return answer.topic, bytes(answer.payload)

    def request(self, topic: str, members: Mapping[str, object]) -> Any:  # parsed JSON
        """Ask in JSON, and return the accepted answer."""
        answered, payload = self.ask(topic, json.dumps(members).encode())
        assert answered == f"{topic}/accepted", payload
        return json.loads(payload)

    def close(self) -> None:
        """Leave, and let go of the client: in a cycle with this object, its sockets might be collected before it."""
        self.client.disconnect()
        self.client.loop_stop()
        for callback in ("on_connect", "on_disconnect", "on_subscribe", "on_publish", "on_message"):
            setattr(self.client, callback, None)


@contextlib.contextmanager
def device(
    live: Live,
    credentials: Credentials | AccessKey,
    folder: Path,
    client_id: str,
    version: MQTTProtocolVersion = MQTT_5,
    *,
    clean: bool = True,
    will: str | None = None,
    endpoint: tuple[str, int] | None = None,
) -> Iterator[Device]:
    """Yield a connected device; its will is a message to the topic that is given."""
    opened = Device(live, credentials, folder, client_id, version, clean=clean, will=will, endpoint=endpoint)
    try:
        assert opened.is_connected()
        yield opened
    finally:
        opened.close()


def is_admitted(
    live: Live,
    credentials: Credentials | AccessKey,
    folder: Path,
    version: MQTTProtocolVersion = MQTT_5,
    client_id: str | None = None,
) -> bool:
    """Return whether the certificate opens a connection under the client id; one of the test's own by default."""
    tried = Device(live, credentials, folder, unique("tried") if client_id is None else client_id, version)
    try:
        return tried.is_connected()
    finally:
        tried.close()
