"""Whatever cannot be parsed is one kind of error, also an unknown version."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support.certificates.encodings import with_unknown_version
from tests.support.certificates.user_ca import new_ca

import thingmint
from thingmint.issuance.encoding import parsing

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lamp")])
NOW = datetime(2026, 1, 2, tzinfo=UTC)
REQUEST = x509.CertificateSigningRequestBuilder().subject_name(NAME).sign(KEY, hashes.SHA256())
REVOKED = (
    x509.CertificateRevocationListBuilder()
    .issuer_name(NAME)
    .last_update(NOW)
    .next_update(NOW + timedelta(days=1))
    .sign(KEY, hashes.SHA256())
)
FORMS: dict[str, tuple[Callable[[bytes], object], Callable[[bytes], object], bytes]] = {
    "CERTIFICATE": (
        parsing.certificate_in_der,
        parsing.certificate_in_pem,
        new_ca().certificate.public_bytes(Encoding.DER),
    ),
    "CERTIFICATE REQUEST": (parsing.request_in_der, parsing.request_in_pem, REQUEST.public_bytes(Encoding.DER)),
    "X509 CRL": (
        parsing.revocation_list_in_der,
        parsing.revocation_list_in_pem,
        REVOKED.public_bytes(Encoding.DER),
    ),
}


@pytest.mark.parametrize("label", FORMS)
def test_each_form_is_parsed_and_its_unknown_version_is_a_value_error(label: str) -> None:
    in_der, in_pem, der = FORMS[label]
    assert in_der(der) == in_pem(pem(der, label))
    for content in (with_unknown_version(der), b"", b"\x30\x00"):
        with pytest.raises(ValueError):  # noqa: PT011  the message is the library's
            in_der(content)
        with pytest.raises(ValueError):  # noqa: PT011  the message is the library's
            in_pem(pem(content, label))


def test_a_list_of_certificates_has_one_kind_of_error() -> None:
    _, _, der = FORMS["CERTIFICATE"]
    (only,) = parsing.certificates_in_pem(pem(der, "CERTIFICATE"))
    assert only == parsing.certificate_in_der(der)
    for text in (b"", pem(with_unknown_version(der), "CERTIFICATE")):
        with pytest.raises(ValueError):  # noqa: PT011  the message is the library's
            parsing.certificates_in_pem(text)


def test_no_other_module_parses_by_the_library_what_others_have_made() -> None:
    source = Path(thingmint.__file__).parent
    # EST answers with certificates that the service has just issued, and does not import issuance.
    parsers = {Path(parsing.__file__), source / "rest" / "est" / "application.py"}
    assert {path for path in source.rglob("*.py") if "x509.load_" in path.read_text()} == parsers


def pem(der: bytes, label: str) -> bytes:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n".encode()
