"""CreateCertificateFromCsr through AWS's SDK: what is kept of a signing request, and which ones are refused."""

import datetime as dt
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID
from tests.support.certificates.signing_requests import (
    DEVICE,
    csr_pem,
    csr_pem_with_bad_signature,
    csr_pem_with_extensions,
    key_of,
)
from tests.support.certificates.slow_keys import DIFFIE_HELLMAN, diffie_hellman_certificate, diffie_hellman_request
from tests.support.certificates.user_ca import pem_of
from tests.support.clients.aws import IoT, refusal_of

ACCEPTED = ("rsa-2048", "rsa-3072", "p-256", "p-384", "p-521")


def issue(iot: IoT, signing_request: str) -> x509.Certificate:
    created = iot.create_certificate_from_csr(certificateSigningRequest=signing_request)
    return x509.load_pem_x509_certificate(created["certificatePem"].encode())


def openssl_request(folder: Path, key: str, *options: str) -> str:
    """Return a request that OpenSSL makes for a new key."""
    command = ["openssl", "req", "-new", "-newkey", key, "-nodes", "-keyout", str(folder / "key"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("kind", ACCEPTED)
def test_key_and_subject_are_those_of_the_request(iot: IoT, kind: str) -> None:
    certificate = issue(iot, csr_pem(kind))

    assert certificate.public_key() == key_of(kind).public_key()
    assert certificate.subject.public_bytes() == DEVICE.public_bytes()


@pytest.mark.parametrize("character", ["設", "ü", "😀"])
def test_names_are_bounded_in_characters_of_any_script(iot: IoT, tmp_path: Path, character: str) -> None:
    subject = f"/CN={character * 64}/O={character * 64}"

    certificate = issue(iot, openssl_request(tmp_path, "rsa:2048", "-utf8", "-subj", subject))

    # `cryptography` counts octets, and warns.
    with warnings.catch_warnings(action="ignore"):
        assert [attribute.value for attribute in certificate.subject] == [character * 64] * 2


def test_the_answer_holds_no_key_pair(iot: IoT) -> None:
    created = iot.create_certificate_from_csr(certificateSigningRequest=csr_pem("p-256"))

    assert set(created) - {"ResponseMetadata"} == {"certificateArn", "certificateId", "certificatePem"}


def test_nothing_else_of_the_request_reaches_the_certificate(iot: IoT) -> None:
    certificate = issue(iot, csr_pem_with_extensions("p-256"))

    assert [(extension.oid, extension.critical) for extension in certificate.extensions] == [
        (ExtensionOID.AUTHORITY_KEY_IDENTIFIER, False),
        (ExtensionOID.SUBJECT_KEY_IDENTIFIER, False),
        (ExtensionOID.BASIC_CONSTRAINTS, True),
        (ExtensionOID.KEY_USAGE, True),
    ]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_after_utc == dt.datetime(2049, 12, 31, 23, 59, 59, tzinfo=dt.UTC)


@pytest.mark.parametrize("key", ["rsa:2048", "ec"])
def test_a_request_that_openssl_signed_with_sha_1_is_accepted(iot: IoT, tmp_path: Path, key: str) -> None:
    curve = ("-pkeyopt", "ec_paramgen_curve:P-256") if key == "ec" else ()

    certificate = issue(iot, openssl_request(tmp_path, key, *curve, "-sha1", "-subj", "/CN=old tool"))

    assert certificate.subject.rfc4514_string() == "CN=old tool"
    assert certificate.signature_hash_algorithm is not None
    assert certificate.signature_hash_algorithm.name == "sha256"


def test_the_same_request_gives_another_certificate_each_time(iot: IoT) -> None:
    first, second = issue(iot, csr_pem("p-256")), issue(iot, csr_pem("p-256"))

    assert first.serial_number != second.serial_number
    assert first.public_key() == second.public_key()


REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    "a weak RSA key": (lambda: csr_pem("rsa-1024"), "2048"),
    "a small curve": (lambda: csr_pem("p-224"), "P-256"),
    "a curve of another family": (lambda: csr_pem("secp256k1"), "P-256"),
    "another kind of key": (lambda: csr_pem("ed25519"), "RSA"),
    "a signature that does not match": (lambda: csr_pem_with_bad_signature("p-256"), "not signed by"),
    "text": (lambda: "a certificate, please", "PEM"),
    "PEM around noise": (
        lambda: "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "signing request",
    ),
    "a request beyond the model's length": (lambda: csr_pem("p-256") + "\n" * 4096, "4096"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_request_is_refused_and_the_refusal_says_why(iot: IoT, name: str) -> None:
    signing_request, reason = REFUSED[name]

    refusal = refusal_of(iot.create_certificate_from_csr, certificateSigningRequest=signing_request())

    assert (refusal.name, refusal.status) == ("InvalidRequestException", 400)
    assert reason.lower() in refusal.message.lower()


def test_keys_whose_reading_would_stop_the_service_for_minutes_are_refused_unread(iot: IoT) -> None:
    certificate = pem_of(diffie_hellman_certificate(dt.datetime.now(dt.UTC)))
    for refused in (
        refusal_of(lambda: iot.create_certificate_from_csr(certificateSigningRequest=diffie_hellman_request())),
        refusal_of(lambda: iot.register_certificate_without_ca(certificatePem=certificate)),
        refusal_of(lambda: iot.register_ca_certificate(caCertificate=certificate, certificateMode="SNI_ONLY")),
    ):
        assert DIFFIE_HELLMAN in refused.message
