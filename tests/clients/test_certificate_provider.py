"""A certificate provider behind a webhook: a device asks over MQTT, and gets what somebody else signed for it."""

import hmac
import json
import queue
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from tests.support.certificates.signing_requests import csr_pem
from tests.support.certificates.user_ca import provided_pem_for
from tests.support.clients.aws import IoT, Live, allow, policy
from tests.support.machine.webhook_server import webhook_server
from tests.support.services.service import running_service

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:sign"
ASK, ANSWERS = "$aws/certificates/create-from-csr/json", ("accepted", "rejected")
SECRET = b"shared with the webhook of tests" * 2
WITHIN_SECONDS = 60.0


@dataclass
class Provider:
    """A webhook that signs for whichever key it was told to, and remembers what it was asked."""

    port: int = 0
    signs_for: str = "p-256"
    asked: list[dict[str, Any]] = field(default_factory=list)
    signatures: list[bool] = field(default_factory=list)


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A running webhook."""
    told = Provider()

    def answer(body: bytes, headers: Message) -> bytes:
        seconds, _, digest = headers["X-Thingmint-Signature"].removeprefix("t=").partition(",v1=")
        expected = hmac.digest(SECRET, f"{seconds}.".encode() + body, "sha256").hex()
        told.signatures.append(hmac.compare_digest(digest, expected))
        told.asked.append(json.loads(body))
        return json.dumps({"certificatePem": provided_pem_for(told.signs_for, at=datetime.now(UTC))}).encode()

    with webhook_server(answer) as told.port:
        yield told


@pytest.fixture
def provided(provider: Provider, tmp_path: Path) -> Iterator[Live]:
    """A service whose settings put the webhook behind the function's ARN."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (tmp_path / "secret").write_bytes(SECRET)
    settings = (
        f'hook_secret_file = "{tmp_path / "secret"}"\n[hooks]\n"{FUNCTION}" = "http://127.0.0.1:{provider.port}/"\n'
    )
    (data_dir / "thingmint.toml").write_text(settings)
    with running_service(data_dir, "--mqtt", "127.0.0.1:0") as service:
        yield Live(service, None)


def claim_files(iot: IoT, folder: Path) -> tuple[Path, Path, str]:
    """Return the certificate and the key of a device that may ask for certificates, and its id."""
    created = iot.create_keys_and_certificate(setAsActive=True)
    iot.create_policy(policyName="claim", policyDocument=json.dumps(policy(allow("iot:*"))))
    iot.attach_policy(policyName="claim", target=created["certificateArn"])
    certificate, key = folder / "claim.pem", folder / "claim.key"
    certificate.write_text(created["certificatePem"])
    key.write_text(created["keyPair"]["PrivateKey"])
    return certificate, key, created["certificateId"]


def test_a_device_gets_the_certificate_that_the_provider_signed(
    provided: Live, provider: Provider, tmp_path: Path
) -> None:
    iot = provided.client()
    provided.service.closers.append(iot.close)
    iot.create_certificate_provider(
        certificateProviderName="factory",
        lambdaFunctionArn=FUNCTION,
        accountDefaultForOperations=["CreateCertificateFromCsr"],
    )
    certificate, key, claim_id = claim_files(iot, tmp_path)
    csr = csr_pem("p-256")
    subscribed: queue.Queue[object] = queue.Queue()
    answers: queue.Queue[paho.MQTTMessage] = queue.Queue()
    device = paho.Client(CallbackAPIVersion.VERSION2, "sensor-17")
    device.tls_set(str(provided.ca_file), str(certificate), str(key))
    device.on_connect = lambda client, *_: client.subscribe([(f"{ASK}/{each}", 1) for each in ANSWERS])
    device.on_subscribe = lambda *_: subscribed.put(None)
    device.on_message = lambda _client, _userdata, message: answers.put(message)
    device.connect("127.0.0.1", provided.service.endpoints.mqtt_port)
    device.loop_start()
    try:
        subscribed.get(timeout=WITHIN_SECONDS)
        request = json.dumps({"certificateSigningRequest": csr})
        device.publish(ASK, request, qos=1)
        accepted = answers.get(timeout=WITHIN_SECONDS)
        # Another key than the request's: whoever signed it answered something else.
        provider.signs_for = "p-384"
        device.publish(ASK, request, qos=1)
        rejected = answers.get(timeout=WITHIN_SECONDS)
    finally:
        device.disconnect()
        device.loop_stop()

    assert accepted.topic == f"{ASK}/accepted"
    issued = json.loads(accepted.payload)
    described = iot.describe_certificate(certificateId=issued["certificateId"])["certificateDescription"]
    assert (described["status"], described["certificatePem"]) == ("PENDING_ACTIVATION", issued["certificatePem"])
    question = {"certificateSigningRequest": csr, "principalId": claim_id, "clientId": "sensor-17"}
    assert provider.asked == [question, question]
    assert provider.signatures == [True, True]
    assert rejected.topic == f"{ASK}/rejected"
    assert json.loads(rejected.payload)["statusCode"] == 503
    assert len(iot.list_certificates()["certificates"]) == 2
    assert "has another public key than the signing request" in provided.service.log
