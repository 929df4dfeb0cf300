"""The operations of certificates, from the parts of a request to the JSON of the answer."""

import base64
import hashlib
import json
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from tests.support.certificates.signing_requests import csr_pem
from tests.support.registration.api import Api
from tests.support.registration.authority import shared_key_pair

from thingmint.api.certificates.certificates import KeyPairMessage
from thingmint.core.certificates.certificate import CertificateMode
from thingmint.core.errors import InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import Region

UNKNOWN_ID = "0" * 64


async def new_certificate(api: Api, query: str = "") -> str:
    created = await api.call("POST", f"/keys-and-certificate{query}")
    certificate_id: str = created["certificateId"]
    return certificate_id


async def description_of(api: Api, certificate_id: str) -> dict[str, object]:
    answer = await api.call("GET", f"/certificates/{certificate_id}")
    description: dict[str, object] = answer["certificateDescription"]
    return description


async def test_keys_and_certificate_are_answered_in_the_form_of_aws(api: Api) -> None:
    created = await api.call("POST", "/keys-and-certificate")

    assert list(created) == ["certificateArn", "certificateId", "certificatePem", "keyPair"]
    certificate = x509.load_pem_x509_certificate(created["certificatePem"].encode())
    certificate_id = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
    assert created["certificateId"] == certificate_id
    assert created["certificateArn"] == f"arn:aws:iot:eu-west-1:123456789012:cert/{certificate_id}"
    public_key = serialization.load_pem_public_key(created["keyPair"]["PublicKey"].encode())
    private_key = serialization.load_pem_private_key(created["keyPair"]["PrivateKey"].encode(), None)
    assert public_key == certificate.public_key() == private_key.public_key()
    assert created["keyPair"]["PrivateKey"].startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert list(created["keyPair"]) == ["PublicKey", "PrivateKey"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", "INACTIVE"),
        ("?setAsActive=false", "INACTIVE"),
        ("?setAsActive=true", "ACTIVE"),
        ("?setAsActive=TRUE&unknown=1", "ACTIVE"),
    ],
)
async def test_a_new_certificate_is_active_only_where_that_was_asked_for(api: Api, query: str, status: str) -> None:
    created = await new_certificate(api, query)
    from_csr = await api.call("POST", f"/certificates{query}", csr_body(csr_pem("p-256")))

    assert (await description_of(api, created))["status"] == status
    assert (await description_of(api, from_csr["certificateId"]))["status"] == status


@pytest.mark.parametrize("value", ["maybe", ""])
async def test_a_garbled_set_as_active_creates_nothing(api: Api, value: str) -> None:
    with pytest.raises(InvalidRequest, match=f"Value '{value}' at 'setAsActive'"):
        await api.call("POST", f"/keys-and-certificate?setAsActive={quote(value)}")

    assert not api.store.tables.certificates


async def test_a_body_sent_for_new_keys_is_ignored(api: Api) -> None:
    created = await api.call("POST", "/keys-and-certificate", b"\xff no json")

    assert created["certificateId"]


def test_the_repr_of_an_answered_key_pair_shows_no_key() -> None:
    pem = shared_key_pair().private_key_pem.decode()

    assert repr(KeyPairMessage(public_key="public", private_key=pem)) == "KeyPairMessage(...)"


def csr_body(pem: object) -> bytes:
    return json.dumps({"certificateSigningRequest": pem, "somethingElse": 1}).encode()


async def test_a_certificate_for_a_signing_request_has_its_key_and_subject(api: Api) -> None:
    pem = csr_pem("p-256")

    created = await api.call("POST", "/certificates", csr_body(pem))

    assert list(created) == ["certificateArn", "certificateId", "certificatePem"]
    certificate = x509.load_pem_x509_certificate(created["certificatePem"].encode())
    request = x509.load_pem_x509_csr(pem.encode())
    assert (certificate.subject, certificate.public_key()) == (request.subject, request.public_key())


async def test_one_signing_request_gives_two_certificates(api: Api) -> None:
    body = csr_body(csr_pem("p-256"))

    first, second = await api.call("POST", "/certificates", body), await api.call("POST", "/certificates", body)

    assert first["certificateId"] != second["certificateId"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"", "Value null at 'certificateSigningRequest' failed"), (csr_body("no request"), "PEM")],
)
async def test_what_is_no_signing_request_is_refused(api: Api, body: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        await api.call("POST", "/certificates", body)

    assert not api.store.tables.certificates


async def test_a_description_has_the_members_that_aws_shows_and_no_others(api: Api) -> None:
    created = await api.call("POST", "/keys-and-certificate")

    description = await description_of(api, created["certificateId"])

    assert description == {
        "certificateArn": created["certificateArn"],
        "certificateId": created["certificateId"],
        "status": "INACTIVE",
        "certificatePem": created["certificatePem"],
        "ownedBy": "123456789012",
        "creationDate": 1541022751.983,
        "lastModifiedDate": 1541022751.983,
        "customerVersion": 1,
        "transferData": {},
        "generationId": "5d6c2a0c-6f7d-4a8e-9c1b-0e2f3a4b5c6d",
        "validity": {"notBefore": 1541022631.0, "notAfter": 2524607999.0},
        "certificateMode": "DEFAULT",
    }


async def test_a_certificate_is_found_under_its_id_in_upper_case(api: Api) -> None:
    certificate_id = await new_certificate(api)

    assert (await description_of(api, certificate_id.upper()))["certificateId"] == certificate_id


async def test_a_certificate_of_another_region_is_not_found(api: Api) -> None:
    certificate_id = await new_certificate(api)

    with pytest.raises(ResourceNotFound):
        await api.call("GET", f"/certificates/{certificate_id}", region=Region("eu-west-2"))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_id_of_the_wrong_form_is_refused(api: Api, method: str) -> None:
    with pytest.raises(InvalidRequest, match=f"Value '{'g' * 64}' at 'certificateId' failed .*pattern"):
        await api.call(method, f"/certificates/{'g' * 64}?newStatus=ACTIVE")


async def ids(api: Api, query: str) -> list[str]:
    answer = await api.call("GET", f"/certificates{query}")
    return [entry["certificateId"] for entry in answer["certificates"]]


async def test_a_list_shows_the_newest_first_unless_ascending(api: Api) -> None:
    created = [await new_certificate(api) for _ in range(3)]

    assert await ids(api, "") == await ids(api, "?isAscendingOrder=false") == created[::-1]
    assert await ids(api, "?isAscendingOrder=true") == created


async def test_an_entry_of_a_list_has_the_members_that_aws_shows(api: Api) -> None:
    created = await api.call("POST", "/keys-and-certificate?setAsActive=true")

    answer = await api.call("GET", "/certificates")

    assert answer == {
        "certificates": [
            {
                "certificateArn": created["certificateArn"],
                "certificateId": created["certificateId"],
                "status": "ACTIVE",
                "certificateMode": str(CertificateMode.DEFAULT),
                "creationDate": 1541022751.983,
            }
        ]
    }


async def test_an_empty_list_has_no_marker(api: Api) -> None:
    assert await api.call("GET", "/certificates") == {"certificates": []}


@pytest.mark.parametrize("ascending", ["true", "false"])
async def test_pages_show_everything_once(api: Api, ascending: str) -> None:
    for _ in range(4):
        await new_certificate(api)
    query = f"?isAscendingOrder={ascending}"

    first = await api.call("GET", f"/certificates{query}&pageSize=2")
    last = await api.call("GET", f"/certificates{query}&pageSize=2&marker={quote(first['nextMarker'], safe='')}")

    shown = [entry["certificateId"] for entry in first["certificates"] + last["certificates"]]
    assert shown == await ids(api, query)
    assert "nextMarker" not in last


async def test_a_page_has_25_entries_unless_asked_otherwise(api: Api) -> None:
    for _ in range(26):
        await new_certificate(api)

    answer = await api.call("GET", "/certificates")

    assert len(answer["certificates"]) == 25
    assert len(base64.b64decode(answer["nextMarker"], validate=True)) == 21


async def test_a_marker_of_the_other_direction_is_refused(api: Api) -> None:
    for _ in range(2):
        await new_certificate(api)
    marker = (await api.call("GET", "/certificates?pageSize=1"))["nextMarker"]

    with pytest.raises(InvalidRequest, match="The marker is not valid"):
        await api.call("GET", f"/certificates?isAscendingOrder=true&marker={quote(marker, safe='')}")


@pytest.mark.parametrize(
    ("query", "rule"), [("pageSize=251", "less than or equal to 250"), ("marker=AAAA", "The marker is not valid")]
)
async def test_a_garbled_page_is_refused(api: Api, query: str, rule: str) -> None:
    with pytest.raises(InvalidRequest, match=rule):
        await api.call("GET", f"/certificates?{query}")


async def test_a_status_is_updated_and_the_answer_is_an_empty_object(api: Api) -> None:
    certificate_id = await new_certificate(api)

    answer = await api.call("PUT", f"/certificates/{certificate_id}?newStatus=REVOKED")

    assert answer == {}
    assert (await description_of(api, certificate_id))["status"] == "REVOKED"


async def test_a_status_that_does_not_exist_is_refused(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="at 'newStatus' failed to satisfy constraint"):
        await api.call("PUT", f"/certificates/{UNKNOWN_ID}?newStatus=active")


async def test_a_deletion_is_answered_with_an_empty_object(api: Api) -> None:
    certificate_id = await new_certificate(api)

    assert await api.call("DELETE", f"/certificates/{certificate_id}?forceDelete=false") == {}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("label", ["AB" * 32, "ab" * 32, "%41%62" * 32])
def test_policies_are_asked_about_the_certificate_that_will_be_looked_up(api: Api, method: str, label: str) -> None:
    resource = api.resource_of(method, f"/certificates/{label}")

    assert resource == f"arn:aws:iot:eu-west-1:123456789012:cert/{'ab' * 32}"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/keys-and-certificate"), ("POST", "/certificates"), ("GET", "/certificates")]
)
def test_policies_are_asked_about_everything_where_something_is_created_or_listed(
    api: Api, method: str, path: str
) -> None:
    assert api.resource_of(method, path) == "*"
