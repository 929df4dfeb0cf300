"""Devices of a running service: provisioned by their claims, bound by their policies, gone with their certificates."""

import json
import queue
import time
from pathlib import Path
from typing import Any

import cbor2
import pytest
from awscrt import mqtt
from awsiot import iotidentity, mqtt_connection_builder
from paho.mqtt.enums import MQTTProtocolVersion
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import IoT, Live
from tests.support.devices.device_identities import new_identity
from tests.support.devices.live_devices import (  # noqa: F401  a fixture is found as `live`
    GENEROUS,
    MQTT_3,
    MQTT_5,
    ROLE,
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

CREATE = "$aws/certificates/create"
FROM_CSR = "$aws/certificates/create-from-csr"


@pytest.fixture
def fleet(iot: IoT) -> Fleet:
    return new_fleet(iot)


def provision_topic(fleet: Fleet) -> str:
    return f"$aws/provisioning-templates/{fleet.template}/provision/json"


@pytest.mark.parametrize("version", [MQTT_3, MQTT_5], ids=["3.1.1", "5"])
def test_a_claim_becomes_a_device_with_an_identity_of_its_own(
    live: Live, iot: IoT, fleet: Fleet, tmp_path: Path, version: MQTTProtocolVersion
) -> None:
    serial = unique("paho")
    with device(live, fleet.claim, tmp_path, unique("claim"), version) as claim:
        given = claim.request(f"{CREATE}/json", {})
        assert iot.describe_certificate(certificateId=given["certificateId"])["certificateDescription"]["status"] == (
            "PENDING_ACTIVATION"
        )
        own = Credentials(given["certificateId"], given["certificatePem"], given["privateKey"])
        assert not is_admitted(live, own, tmp_path, version)
        registered = claim.request(
            provision_topic(fleet),
            {"certificateOwnershipToken": given["certificateOwnershipToken"], "parameters": {"Serial": serial}},
        )
    name = f"device-{serial}"
    assert registered == {"deviceConfiguration": {"url": "https://example.com/"}, "thingName": name}
    assert iot.list_thing_principals(thingName=name)["principals"] == [own.arn]
    with device(live, own, tmp_path, name, version) as provisioned:
        assert provisioned.subscribe(f"{name}/commands")
        provisioned.client.publish(f"{name}/commands", b"hello", qos=1)
        assert provisioned.hear().payload == b"hello"
        iot.update_certificate(certificateId=own.certificate_id, newStatus="INACTIVE")
        assert provisioned.disconnected.get(timeout=GENEROUS) is not None
    assert not is_admitted(live, own, tmp_path, version)


def test_awss_own_device_sdk_is_provisioned(live: Live, fleet: Fleet, tmp_path: Path) -> None:
    serial = unique("sdk")

    def connection(credentials: Credentials, client_id: str) -> mqtt.Connection:
        return mqtt_connection_builder.mtls_from_bytes(
            endpoint="localhost",
            port=live.service.endpoints.mqtt_port,
            cert_bytes=credentials.certificate_pem.encode(),
            pri_key_bytes=credentials.private_key_pem.encode(),
            ca_filepath=str(live.service.data_dir / "ca.pem"),
            client_id=client_id,
        )

    claim = connection(fleet.claim, unique("claim"))
    claim.connect().result(GENEROUS)
    client, qos = iotidentity.IotIdentityClient(claim), mqtt.QoS.AT_LEAST_ONCE
    created: queue.Queue[Any] = queue.Queue()
    registered: queue.Queue[Any] = queue.Queue()
    keys = iotidentity.CreateKeysAndCertificateSubscriptionRequest()
    client.subscribe_to_create_keys_and_certificate_accepted(keys, qos, created.put)[0].result(GENEROUS)
    client.publish_create_keys_and_certificate(iotidentity.CreateKeysAndCertificateRequest(), qos).result(GENEROUS)
    given = created.get(timeout=GENEROUS)
    thing = iotidentity.RegisterThingSubscriptionRequest(template_name=fleet.template)
    client.subscribe_to_register_thing_accepted(thing, qos, registered.put)[0].result(GENEROUS)
    request = iotidentity.RegisterThingRequest(
        template_name=fleet.template,
        certificate_ownership_token=given.certificate_ownership_token,
        parameters={"Serial": serial},
    )
    client.publish_register_thing(request, qos).result(GENEROUS)
    assert registered.get(timeout=GENEROUS).thing_name == f"device-{serial}"
    claim.disconnect().result(GENEROUS)

    own = Credentials(given.certificate_id, given.certificate_pem, given.private_key)
    provisioned = connection(own, f"device-{serial}")
    provisioned.connect().result(GENEROUS)
    provisioned.publish(f"device-{serial}/state", b"on", qos)[0].result(GENEROUS)
    provisioned.disconnect().result(GENEROUS)


def test_cbor_is_answered_in_cbor(live: Live, fleet: Fleet, tmp_path: Path) -> None:
    with device(live, fleet.claim, tmp_path, unique("claim")) as claim:
        topic, payload = claim.ask(f"{CREATE}/cbor", b"\xa0")
        assert topic == f"{CREATE}/cbor/accepted"
        assert cbor2.loads(payload)["privateKey"].startswith("-----BEGIN RSA PRIVATE KEY-----")
        topic, payload = claim.ask(f"{FROM_CSR}/cbor", cbor2.dumps({"certificateSigningRequest": csr_pem("p-256")}))
        assert topic == f"{FROM_CSR}/cbor/accepted"
        assert cbor2.loads(payload).keys() == {"certificateId", "certificatePem", "certificateOwnershipToken"}


def test_a_refusal_is_an_answer(live: Live, fleet: Fleet, tmp_path: Path) -> None:
    with device(live, fleet.claim, tmp_path, unique("claim")) as claim:
        topic, payload = claim.ask(provision_topic(fleet), b"{}")
        assert topic == f"{provision_topic(fleet)}/rejected"
        assert json.loads(payload) == {
            "statusCode": 400,
            "errorCode": "InvalidCertificateOwnershipToken",
            "errorMessage": "Certificate ownership token cannot be empty.",
        }


def test_the_claim_of_a_trusted_user_is_for_one_template(live: Live, iot: IoT, fleet: Fleet, tmp_path: Path) -> None:
    made = iot.create_provisioning_claim(templateName=fleet.template)
    claimed = Credentials(made["certificateId"], made["certificatePem"], made["keyPair"]["PrivateKey"])
    with device(live, claimed, tmp_path, unique("user")) as claim:
        given = claim.request(f"{CREATE}/json", {})
        request = {"certificateOwnershipToken": given["certificateOwnershipToken"], "parameters": {"Serial": "x"}}
        assert claim.publish("any/topic", b"x") == "Not authorized"
        another = f"$aws/provisioning-templates/{new_fleet(iot).template}/provision/json"
        assert claim.publish(another, json.dumps(request).encode()) == "Not authorized"


def test_nobody_else_sees_a_devices_key(live: Live, fleet: Fleet, tmp_path: Path) -> None:
    """Another device with the same claim listens to everything it can."""
    with (
        device(live, fleet.claim, tmp_path, unique("first")) as first,
        device(live, fleet.claim, tmp_path, unique("second")) as second,
    ):
        for topic_filter in ("#", "$aws/#", "$aws/certificates/#", f"{CREATE}/json/accepted", "+/certificates/#"):
            second.subscribe(topic_filter)
        given = first.request(f"{CREATE}/json", {})
        first.client.publish("last", b"word", qos=1)
        heard = [second.hear()]
        while heard[-1].topic != "last":
            heard.append(second.hear())
        # Events of the service are for all who may hear them, whoever they are of; answers are not.
        reserved = [message.topic for message in heard if message.topic.startswith("$")]
        assert reserved
        assert not [topic for topic in reserved if not topic.startswith("$aws/events/")]
        assert not [message for message in heard if b"PRIVATE KEY" in message.payload]
        assert "PRIVATE KEY" in given["privateKey"]


@pytest.mark.parametrize("version", [MQTT_3, MQTT_5], ids=["3.1.1", "5"])
def test_only_active_certificates_of_the_registry_are_admitted(
    live: Live, iot: IoT, tmp_path: Path, version: MQTTProtocolVersion
) -> None:
    credentials = new_credentials(iot)
    assert is_admitted(live, credentials, tmp_path, version)
    for status in ("INACTIVE", "ACTIVE", "REVOKED"):
        iot.update_certificate(certificateId=credentials.certificate_id, newStatus=status)
        assert is_admitted(live, credentials, tmp_path, version) is (status == "ACTIVE")
    iot.delete_certificate(certificateId=credentials.certificate_id, forceDelete=True)
    assert not is_admitted(live, credentials, tmp_path, version)


def test_a_certificate_without_a_policy_is_not_admitted(live: Live, iot: IoT, tmp_path: Path) -> None:
    assert not is_admitted(live, new_credentials(iot, None), tmp_path)


def test_policies_bind_and_their_changes_reach_open_connections(live: Live, iot: IoT, tmp_path: Path) -> None:
    allowed = device_policy(("iot:Connect", "*"), ("iot:Publish", "topic/mine"))
    credentials = new_credentials(iot, allowed)
    (policy,) = iot.list_attached_policies(target=credentials.arn)["policies"]
    with device(live, credentials, tmp_path, unique("bound")) as bound:
        assert bound.publish("mine", b"x") in ("Success", "No matching subscribers")
        assert bound.publish("yours", b"x") == "Not authorized"
        assert not bound.subscribe("mine")
        iot.create_policy_version(
            policyName=policy["policyName"],
            policyDocument=device_policy(("iot:Connect", "*"), ("iot:Publish", "topic/yours")),
            setAsDefault=True,
        )
        deadline = time.monotonic() + GENEROUS
        while bound.publish("mine", b"x") != "Not authorized":
            assert time.monotonic() < deadline
        assert bound.publish("yours", b"x") in ("Success", "No matching subscribers")


def test_presence_is_told_to_those_who_may_hear_it(live: Live, iot: IoT, tmp_path: Path) -> None:
    with device(live, new_credentials(iot), tmp_path, unique("watcher")) as watcher:
        name = unique("watched")
        assert watcher.subscribe(f"$aws/events/presence/+/{name}")
        watched = new_credentials(iot)
        with device(live, watched, tmp_path, name):
            connected = watcher.hear()
        disconnected = watcher.hear()
    assert connected.topic == f"$aws/events/presence/connected/{name}"
    told = json.loads(connected.payload)
    assert (told["clientId"], told["eventType"], told["principalIdentifier"]) == (
        name,
        "connected",
        watched.certificate_id,
    )
    assert json.loads(disconnected.payload)["clientInitiatedDisconnect"] is True


@pytest.mark.parametrize("provisions", [True, False], ids=["JITP", "JITR"])
def test_a_device_of_a_users_ca_is_registered_when_it_first_connects(
    live: Live, iot: IoT, tmp_path: Path, *, provisions: bool
) -> None:
    authority = new_identity(unique("CA"), is_authority=True)
    own = new_identity(unique("meter"), issuer=authority)
    body = {
        "Parameters": {"AWS::IoT::Certificate::CommonName": {"Type": "String"}},
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {"ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"}},
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
            },
            "policy": {
                "Type": "AWS::IoT::Policy",
                "Properties": {"PolicyDocument": json.loads(device_policy(("iot:Connect", "*")))},
            },
        },
    }
    config = {"registrationConfig": {"templateBody": json.dumps(body), "roleArn": ROLE}} if provisions else {}
    ca_id = iot.register_ca_certificate(
        caCertificate=authority.chain_pem.decode(),
        certificateMode="SNI_ONLY",
        setAsActive=True,
        allowAutoRegistration=True,
        **config,
    )["certificateId"]
    credentials = Credentials(own.certificate_id, own.chain_pem.decode(), own.key_pem.decode())
    with device(live, new_credentials(iot), tmp_path, unique("watcher")) as watcher:
        assert watcher.subscribe(f"$aws/events/certificates/registered/{ca_id}")
        assert not is_admitted(live, credentials, tmp_path)
        told = json.loads(watcher.hear().payload)
    assert (told["certificateId"], told["certificateStatus"]) == (own.certificate_id, "PENDING_ACTIVATION")
    described = iot.describe_certificate(certificateId=own.certificate_id)["certificateDescription"]
    assert described["caCertificateId"] == ca_id
    assert described["status"] == ("ACTIVE" if provisions else "PENDING_ACTIVATION")
    assert is_admitted(live, credentials, tmp_path) is provisions


def test_the_endpoint_is_where_devices_can_connect(live: Live, iot: IoT) -> None:
    answer = iot.describe_endpoint(endpointType="iot:Data-ATS")
    assert answer["endpointAddress"] == f"localhost:{live.service.endpoints.mqtt_port}"
