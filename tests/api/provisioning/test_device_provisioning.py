"""The provisioning operations of devices: payloads in, payloads out, and refusals that a device can read."""

import json
from typing import Any

import cbor2
import pytest
from msgspec.structs import replace
from tests.support.certificates.signing_requests import csr_pem
from tests.support.databases.memory_store import MemoryStore
from tests.support.devices.device_requests import asked
from tests.support.registration.authority import Hook, new_authority, shared_key_pair, with_own_ids
from tests.support.registration.fleet import DEVICE, FLEET, create_template

from thingmint.api.devices.device_api import DeviceApi, Reply
from thingmint.api.provisioning.device_provisioning import RegisterThingPayload
from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import (
    AccessDenied,
    InvalidRequest,
    ResourceNotFound,
    ServiceUnavailable,
    ThingmintError,
    Throttled,
    UpdateConflict,
)
from thingmint.registration.kernel.authority import RegistrationAuthority

KEYS = "$aws/certificates/create"
CSR = "$aws/certificates/create-from-csr"
REGISTER = f"$aws/provisioning-templates/{FLEET}/provision"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def authority(store: MemoryStore) -> RegistrationAuthority:
    return with_own_ids(replace(new_authority(store), hooks=Hook()))


@pytest.fixture
def api(authority: RegistrationAuthority) -> DeviceApi:
    return DeviceApi(authority)


async def ask(api: DeviceApi, topic: str, members: object = None, *, payload: bytes | None = None) -> Reply:
    if payload is None:
        payload = b"" if members is None else json.dumps(members).encode()
    return await api.answer(DEVICE, "client-1", asked(topic), payload)


def read(reply: Reply) -> Any:  # parsed JSON, looked into by tests
    return json.loads(reply.payload)


@pytest.mark.parametrize("payload", [b"", b"{}", b'""', b"\xa0", b"anything"])
async def test_keys_are_given_whatever_the_payload_holds(api: DeviceApi, store: MemoryStore, payload: bytes) -> None:
    reply = await ask(api, f"{KEYS}/json", payload=payload)
    assert reply.topic == f"{KEYS}/json/accepted"
    given = read(reply)
    (stored,) = store.tables.certificates
    assert given.keys() == {"certificateId", "certificatePem", "privateKey", "certificateOwnershipToken"}
    assert given["certificateId"] == stored.certificate_id
    assert given["privateKey"] == shared_key_pair().private_key_pem.decode()
    assert stored.status is CertificateStatus.PENDING_ACTIVATION


async def test_the_answer_follows_the_format_of_the_topic(api: DeviceApi) -> None:
    reply = await ask(api, f"{KEYS}/cbor")
    assert reply.topic == f"{KEYS}/cbor/accepted"
    assert cbor2.loads(reply.payload)["privateKey"].startswith("-----BEGIN RSA PRIVATE KEY-----")


async def test_no_repr_shows_a_key_or_a_token(api: DeviceApi) -> None:
    reply = await ask(api, f"{KEYS}/json")
    assert "PRIVATE" not in repr(reply)
    assert "secret" not in repr(RegisterThingPayload(certificate_ownership_token="secret"))


async def test_a_signing_request_gets_a_certificate_and_no_key(api: DeviceApi, store: MemoryStore) -> None:
    given = read(await ask(api, f"{CSR}/json", {"certificateSigningRequest": csr_pem("p-256")}))
    assert given.keys() == {"certificateId", "certificatePem", "certificateOwnershipToken"}
    assert [each.certificate_id for each in store.tables.certificates] == [given["certificateId"]]


async def test_a_signing_request_in_cbor_is_the_same(api: DeviceApi) -> None:
    payload = cbor2.dumps({"certificateSigningRequest": csr_pem("p-256")})
    reply = await ask(api, f"{CSR}/cbor", payload=payload)
    assert reply.topic == f"{CSR}/cbor/accepted"


@pytest.mark.parametrize("template", ["fleet", "unnamed"])
async def test_a_device_is_registered_with_its_token(
    api: DeviceApi, authority: RegistrationAuthority, store: MemoryStore, template: str
) -> None:
    if template == "fleet":
        await create_template(authority)
    else:
        await create_template(authority, _without_thing())
    token = read(await ask(api, f"{KEYS}/json"))["certificateOwnershipToken"]
    reply = await ask(
        api, f"{REGISTER}/json", {"certificateOwnershipToken": token, "parameters": {"SerialNumber": "17"}}
    )
    assert reply.topic == f"{REGISTER}/json/accepted"
    if template == "fleet":
        assert read(reply) == {
            "deviceConfiguration": {"url": "https://example.com/", "serial": "17"},
            "thingName": "sensor-17",
        }
    else:
        assert read(reply) == {"deviceConfiguration": {}}
    assert store.tables.certificates[0].status is CertificateStatus.ACTIVE


def _without_thing() -> str:
    resources = {
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}},
        }
    }
    return json.dumps({"Parameters": {"SerialNumber": {"Type": "String"}}, "Resources": resources})


@pytest.mark.parametrize(
    ("topic", "payload", "code", "message"),
    [
        (f"{CSR}/json", b"[]", "InvalidPayload", "The payload is not a JSON object"),
        (f"{CSR}/cbor", b"[]", "InvalidPayload", "The payload is not a CBOR map of plain values"),
        (f"{CSR}/json", b"{}", "InvalidRequest", "'certificateSigningRequest' failed to satisfy constraint"),
        (f"{CSR}/json", b'{"certificateSigningRequest":"x"}', "InvalidCertificateSigningRequest", "PEM block"),
        (f"{REGISTER}/json", b"{}", "InvalidCertificateOwnershipToken", "Certificate ownership token cannot be empty."),
        (
            f"{REGISTER}/json",
            b'{"certificateOwnershipToken":"x"}',
            "InvalidCertificateOwnershipToken",
            "Certificate ownership token is not valid.",
        ),
        (f"{REGISTER}/json", b'{"parameters":{"a":1}}', "InvalidRequest", "Member must be a string"),
        ("$aws/provisioning-templates/a.b/provision/json", b"{}", "InvalidRequest", ""),
    ],
)
async def test_what_is_wrong_with_a_request_is_named(
    api: DeviceApi, topic: str, payload: bytes, code: str, message: str
) -> None:
    reply = await ask(api, topic, payload=payload)
    assert reply.topic == f"{topic}/rejected"
    refusal = cbor2.loads(reply.payload) if topic.endswith("cbor") else read(reply)
    assert refusal.keys() == {"statusCode", "errorCode", "errorMessage"}
    assert (refusal["statusCode"], refusal["errorCode"]) == (400, code)
    assert message in refusal["errorMessage"]


async def test_a_missing_parameter_is_named(api: DeviceApi, authority: RegistrationAuthority) -> None:
    await create_template(authority)
    token = read(await ask(api, f"{KEYS}/json"))["certificateOwnershipToken"]
    refusal = read(await ask(api, f"{REGISTER}/json", {"certificateOwnershipToken": token}))
    assert refusal == {
        "statusCode": 400,
        "errorCode": "InvalidParameters",
        "errorMessage": "Cannot resolve reference value: SerialNumber",
    }


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (AccessDenied("x"), "AccessDenied", 403),
        (UpdateConflict("x"), "ResourceConflict", 409),
        (Throttled("x"), "Throttled", 429),
        (ResourceNotFound("x"), "ResourceNotFound", 404),
        (ServiceUnavailable("x"), "ServiceUnavailable", 503),
        (InvalidRequest("x"), "InvalidRequest", 400),
        (ThingmintError("x"), "InternalError", 500),
    ],
)
def test_refusals_have_the_words_of_the_mqtt_api(api: DeviceApi, error: ThingmintError, code: str, status: int) -> None:
    reply = api.rejection(asked(f"{KEYS}/json"), error)
    assert reply.topic == f"{KEYS}/json/rejected"
    assert read(reply) == {"statusCode": status, "errorCode": code, "errorMessage": "x"}
