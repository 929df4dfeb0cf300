"""AWS's SDK for Python creates, describes, changes and deletes certificates; exceptions are those of its model."""

import base64
import hashlib
import re
import secrets
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import ClientOf, IoT, Live, refusal_of

SET_BY_CALLER = ("ACTIVE", "INACTIVE", "REVOKED")
SET_BY_SERVICE = ("PENDING_TRANSFER", "PENDING_ACTIVATION", "REGISTER_INACTIVE")
CHANGES = [
    *((before, after, None) for before in ("ACTIVE", "INACTIVE") for after in SET_BY_CALLER),
    ("REVOKED", "REVOKED", None),
    ("REVOKED", "ACTIVE", ("CertificateStateException", 406)),
    ("REVOKED", "INACTIVE", ("CertificateStateException", 406)),
    *((b, after, ("InvalidRequestException", 400)) for b in SET_BY_CALLER for after in SET_BY_SERVICE),
    ("INACTIVE", "RETIRED", ("InvalidRequestException", 400)),
]


@pytest.fixture
def certificate_in(iot: IoT) -> Callable[[str], str]:
    """Makes a certificate in a status and returns its id."""

    def make(status: str) -> str:
        created = iot.create_certificate_from_csr(
            certificateSigningRequest=csr_pem("p-256"), setAsActive=status == "ACTIVE"
        )
        if status == "REVOKED":
            iot.update_certificate(certificateId=created["certificateId"], newStatus="REVOKED")
        return str(created["certificateId"])

    return make


def status_of(iot: IoT, certificate_id: str) -> str:
    return str(iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]["status"])


@pytest.mark.parametrize(
    ("flag", "status"), [({}, "INACTIVE"), ({"setAsActive": False}, "INACTIVE"), ({"setAsActive": True}, "ACTIVE")]
)
def test_the_flag_decides_the_status_of_a_new_certificate(iot: IoT, flag: dict[str, bool], status: str) -> None:
    created = iot.create_keys_and_certificate(**flag)

    assert status_of(iot, created["certificateId"]) == status


def test_the_answer_has_the_members_of_the_model_and_no_other(identities: tuple[dict[str, Any], ...]) -> None:
    members = set(identities[0]) - {"ResponseMetadata"}

    assert members == {"certificateArn", "certificateId", "certificatePem", "keyPair"}
    assert set(identities[0]["keyPair"]) == {"PublicKey", "PrivateKey"}


def test_the_id_is_the_sha256_of_the_der_and_ends_the_arn(identities: tuple[dict[str, Any], ...]) -> None:
    for created in identities:
        der = ssl.PEM_cert_to_DER_cert(created["certificatePem"])

        assert created["certificateId"] == hashlib.sha256(der).hexdigest()
        assert created["certificateArn"] == f"arn:aws:iot:us-east-1:000000000000:cert/{created['certificateId']}"


def test_private_key_public_key_and_certificate_belong_together(identities: tuple[dict[str, Any], ...]) -> None:
    for created in identities:
        private_key = serialization.load_pem_private_key(created["keyPair"]["PrivateKey"].encode(), None)
        public_key = serialization.load_pem_public_key(created["keyPair"]["PublicKey"].encode())
        certificate = x509.load_pem_x509_certificate(created["certificatePem"].encode())

        assert private_key.public_key() == public_key == certificate.public_key()
        assert isinstance(private_key, rsa.RSAPrivateKey)
        assert (private_key.key_size, private_key.public_key().public_numbers().e) == (2048, 65537)


@pytest.mark.parametrize(
    ("member", "label"),
    [("certificatePem", "CERTIFICATE"), ("PublicKey", "PUBLIC KEY"), ("PrivateKey", "RSA PRIVATE KEY")],
)
def test_pem_is_laid_out_as_aws_lays_it_out(identities: tuple[dict[str, Any], ...], member: str, label: str) -> None:
    pem = (identities[0] | identities[0]["keyPair"])[member]
    head, *body, tail, rest = pem.split("\n")

    assert (head, tail, rest) == (f"-----BEGIN {label}-----", f"-----END {label}-----", "")
    assert {len(line) for line in body[:-1]} == {64}
    assert 0 < len(body[-1]) <= 64
    assert base64.b64decode("".join(body), validate=True)


def test_describe_shows_everything_that_aws_shows(iot: IoT) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    created = iot.create_certificate_from_csr(certificateSigningRequest=csr_pem("p-256"), setAsActive=True)

    description = iot.describe_certificate(certificateId=created["certificateId"])["certificateDescription"]

    generation_id = description.pop("generationId")
    creation_date = description.pop("creationDate")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", generation_id)
    assert before <= creation_date <= datetime.now(UTC)
    assert description.pop("lastModifiedDate") == creation_date
    validity = description.pop("validity")
    assert validity["notBefore"] == creation_date.replace(microsecond=0) - timedelta(seconds=120)
    assert validity["notAfter"] == datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert description == {
        "certificateArn": created["certificateArn"],
        "certificateId": created["certificateId"],
        "certificatePem": created["certificatePem"],
        "status": "ACTIVE",
        "ownedBy": "000000000000",
        "customerVersion": 1,
        "transferData": {},
        "certificateMode": "DEFAULT",
    }


@pytest.mark.parametrize(("before", "after", "refusal"), CHANGES)
def test_a_status_changes_as_the_table_says(
    iot: IoT, certificate_in: Callable[[str], str], before: str, after: str, refusal: tuple[str, int] | None
) -> None:
    certificate_id = certificate_in(before)

    if refusal is None:
        iot.update_certificate(certificateId=certificate_id, newStatus=after)
        assert status_of(iot, certificate_id) == after
    else:
        answer = refusal_of(iot.update_certificate, certificateId=certificate_id, newStatus=after)
        assert (answer.name, answer.status) == refusal
        assert status_of(iot, certificate_id) == before


def test_a_change_makes_a_new_version_and_a_repetition_does_not(iot: IoT, certificate_in: Callable[[str], str]) -> None:
    certificate_id = certificate_in("INACTIVE")
    versions = []
    for status in ("INACTIVE", "ACTIVE", "ACTIVE", "INACTIVE"):
        iot.update_certificate(certificateId=certificate_id, newStatus=status)
        description = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        versions.append((description["customerVersion"], description["lastModifiedDate"]))

    assert [version for version, _ in versions] == [1, 2, 2, 3]
    assert versions[0][1] < versions[1][1] == versions[2][1] < versions[3][1]


@pytest.mark.parametrize("force", [{}, {"forceDelete": False}, {"forceDelete": True}])
def test_an_active_certificate_cannot_be_deleted(
    iot: IoT, certificate_in: Callable[[str], str], force: dict[str, bool]
) -> None:
    certificate_id = certificate_in("ACTIVE")

    with pytest.raises(iot.exceptions.CertificateStateException) as caught:
        iot.delete_certificate(certificateId=certificate_id, **force)

    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 406
    assert caught.value.response["message"] == (
        f"Certificate must be deactivated (not ACTIVE) before deletion. Id: {certificate_id}"
    )
    assert status_of(iot, certificate_id) == "ACTIVE"


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
def test_a_deleted_certificate_is_gone_for_every_operation(
    iot: IoT, certificate_in: Callable[[str], str], status: str
) -> None:
    certificate_id = certificate_in(status)

    iot.delete_certificate(certificateId=certificate_id)

    for call, parameters in (
        (iot.describe_certificate, {}),
        (iot.update_certificate, {"newStatus": "ACTIVE"}),
        (iot.delete_certificate, {}),
    ):
        with pytest.raises(iot.exceptions.ResourceNotFoundException) as caught:
            call(certificateId=certificate_id, **parameters)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_an_id_is_found_in_either_case(iot: IoT, certificate_in: Callable[[str], str]) -> None:
    certificate_id = certificate_in("INACTIVE")

    found = iot.describe_certificate(certificateId=certificate_id.upper())

    assert found["certificateDescription"]["certificateId"] == certificate_id


@pytest.mark.parametrize(
    ("certificate_id", "rule"),
    [
        ("ab" * 31, "Member must have length greater than or equal to 64"),
        ("ab" * 33, "Member must have length less than or equal to 64"),
        ("zz" * 32, "Member must satisfy regular expression pattern: (0x)?[a-fA-F0-9]+"),
    ],
)
def test_an_id_that_breaks_the_model_is_refused_in_its_words(
    live: Live, client_of: ClientOf, certificate_id: str, rule: str
) -> None:
    unchecked = client_of(live, parameter_validation=False)

    with pytest.raises(unchecked.exceptions.InvalidRequestException) as caught:
        unchecked.describe_certificate(certificateId=certificate_id)

    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert caught.value.response["message"] == (
        f"1 validation error detected: Value '{certificate_id}' at 'certificateId' failed to satisfy constraint: {rule}"
    )


def test_every_answer_and_every_refusal_carries_a_request_id_of_its_own(iot: IoT) -> None:
    answers = [iot.describe_endpoint() for _ in range(2)]
    with pytest.raises(iot.exceptions.ResourceNotFoundException) as caught:
        iot.describe_certificate(certificateId=secrets.token_hex(32))

    ids = [answer["ResponseMetadata"]["RequestId"] for answer in (*answers, caught.value.response)]

    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", request_id) for request_id in ids)


@pytest.mark.parametrize("endpoint_type", [{}, {"endpointType": "iot:Data-ATS"}, {"endpointType": "iot:Data"}])
def test_the_endpoint_is_a_name_in_the_servers_certificate_and_stays(iot: IoT, endpoint_type: dict[str, str]) -> None:
    addresses = {iot.describe_endpoint(**endpoint_type)["endpointAddress"] for _ in range(3)}

    assert len(addresses) == 1
    assert addresses.pop().partition(":")[0] == "localhost"


def test_a_certificate_has_no_tags(iot: IoT, identities: tuple[dict[str, Any], ...]) -> None:
    # The ARN travels in the query with its colons and slash encoded.
    assert iot.list_tags_for_resource(resourceArn=identities[0]["certificateArn"])["tags"] == []


def test_a_resource_that_does_not_exist_has_no_tags_to_list(iot: IoT) -> None:
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.list_tags_for_resource(resourceArn=f"arn:aws:iot:us-east-1:000000000000:cert/{secrets.token_hex(32)}")
