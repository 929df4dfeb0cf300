"""Any authority can read an issuer's request, whatever holds its key; a root answers it and nothing else."""

import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from tests.issuance.authorities.test_issuer_chain import KEYS, ROOT, certificate
from tests.issuance.conftest import NOW, Authorities
from tests.support.certificates.der import bits, sequence
from tests.support.certificates.encodings import parts_of
from tests.support.certificates.signers import at_once, signing_process
from tests.support.certificates.slow_keys import diffie_hellman_request

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import SerialNumber
from thingmint.data_directory.certificate_files import pem_of
from thingmint.issuance.authorities.issuer_chain import checked_chain
from thingmint.issuance.authorities.issuer_life import life_left, warning_of
from thingmint.issuance.authorities.issuer_request import (
    MOST_BYTES,
    issuer_request,
    issuer_subject,
    sign_issuer_request,
)
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit
from thingmint.issuance.authorities.trust_anchor import CertificateAuthority, create_issuing_ca
from thingmint.issuance.keys.private_keys import generate_private_key
from thingmint.issuance.profiles.public_addresses import PublicAddresses, is_public_url
from thingmint.signers.file_key import FileKeySigner

SERIAL = SerialNumber(1 << 110)
AUTHORITY = CertificateAuthority(ROOT, KEYS["root"])


@pytest.mark.parametrize("key_type", ["ecdsa-p256", "ecdsa-p384", "rsa-2048"])
def test_a_request_is_answered_by_a_certificate_that_can_be_imported(key_type: str, authorities: Authorities) -> None:
    signer = FileKeySigner(generate_private_key(key_type))
    subject = issuer_subject(signer.public_key, "CN=Devices 2,O=Example")
    pem = at_once(issuer_request(signer, subject))
    request = x509.load_pem_x509_csr(pem)
    assert request.is_signature_valid
    assert request.subject == subject
    assert request.public_key() == signer.public_key
    issued = sign_issuer_request(AUTHORITY, pem, SERIAL, NOW, NOW + timedelta(days=365))
    assert issued.not_valid_after_utc == (NOW + timedelta(days=365)).replace(microsecond=0)
    assert issued.subject == subject
    chain = checked_chain(pem_of(issued, ROOT), signer.public_key, NOW, authorities.root.certificate)
    assert chain == (issued, ROOT)
    # Without an end, and with one that is later, it ends with the root.
    for end in (None, NOW + timedelta(days=20_000)):
        assert sign_issuer_request(AUTHORITY, pem, SERIAL, NOW, end).not_valid_after_utc == ROOT.not_valid_after_utc


async def test_a_key_in_another_process_signs_its_request_or_none_is_made() -> None:
    with signing_process() as signer:
        subject = issuer_subject(signer.public_key, None)
        request = x509.load_pem_x509_csr(await issuer_request(signer, subject))
        assert request.public_key() == signer.public_key
        assert request.subject.rfc4514_string().startswith("CN=Thingmint Issuing CA ")
        signer.sign_something_else()
        with pytest.raises(ServiceUnavailable, match="does not verify"):
            await issuer_request(signer, subject)


@pytest.mark.parametrize("text", ["", "no name", "XX=1", "CN"])
def test_a_subject_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(IssuerUnfit, match="subject must"):
        issuer_subject(KEYS["issuer"].public_key(), text)


def request_pem(change: Callable[[bytes], bytes] = lambda der: der, *, subject: x509.Name | None = None) -> bytes:
    name = ROOT.subject if subject is None else subject
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(KEYS["issuer"], hashes.SHA256())
    der = change(made.public_bytes(serialization.Encoding.DER))
    return x509.load_der_x509_csr(der).public_bytes(serialization.Encoding.PEM)


def of_ed25519() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(ROOT.subject)
    return builder.sign(ed25519.Ed25519PrivateKey.generate(), None).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"junk", "no certificate signing request"),
        (b"x" * (MOST_BYTES + 1), "is longer than"),
        (request_pem(lambda der: der[:-3] + bytes([der[-3] ^ 1]) + der[-2:]), "signature does not verify"),
        (request_pem(subject=x509.Name([])), "has no subject"),
        (of_ed25519(), "neither RSA nor ECDSA"),
    ],
)
def test_what_is_no_request_of_an_issuer_is_not_signed(text: bytes, reason: str) -> None:
    with pytest.raises(IssuerUnfit, match=reason):
        sign_issuer_request(AUTHORITY, text, SERIAL, NOW, None)


def test_a_subject_that_is_a_bit_string_is_refused_although_the_request_is_signed() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    _, algorithm, _ = parts_of(request.public_bytes(serialization.Encoding.DER))
    # The value is a UTF8String (X.690, 8.1.2: tag 12), and becomes a BIT STRING (tag 3).
    tbs = request.tbs_certrequest_bytes.replace(b"\x55\x04\x03\x0c", b"\x55\x04\x03\x03")
    changed = sequence(tbs, algorithm, bits(key.sign(tbs, ec.ECDSA(hashes.SHA256()))))
    text = ssl.DER_cert_to_PEM_cert(changed).replace(" CERTIFICATE", " CERTIFICATE REQUEST")
    with pytest.raises(IssuerUnfit, match="that can be read"):
        sign_issuer_request(AUTHORITY, text.encode(), SERIAL, NOW, None)


def test_a_key_that_no_issuer_may_have_is_refused_before_its_reading_takes_long() -> None:
    with pytest.raises(IssuerUnfit, match="accepted are RSA keys of 2048 to 4096 bits"):
        sign_issuer_request(AUTHORITY, diffie_hellman_request().encode(), SERIAL, NOW, None)
    for key, reason in (
        (rsa.generate_private_key(65537, 1024), "an RSA issuer has 2048, 3072 or 4096 bits, not 1024"),
        (ec.generate_private_key(ec.SECP521R1()), "an ECDSA issuer is on P-256 or P-384, not on secp521r1"),
    ):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        with pytest.raises(IssuerUnfit, match=reason):
            sign_issuer_request(AUTHORITY, request.public_bytes(serialization.Encoding.PEM), SERIAL, NOW, None)


@pytest.mark.parametrize(
    ("root", "at", "end", "reason"),
    [
        (ROOT, datetime(2090, 1, 1, tzinfo=NOW.tzinfo), None, "is not valid now"),
        (ROOT, NOW, NOW - timedelta(days=1), "would end before it begins"),
        (certificate("root", "root", ca=None), NOW, None, "lacks an extension"),
        (certificate("root", "root", ca=False), NOW, None, "may not certify"),
        (certificate("root", "root", usages=["crl_sign"]), NOW, None, "may not certify"),
        (certificate("root", "root", path_length=0), NOW, None, "may not certify"),
    ],
)
def test_a_root_that_may_not_certify_an_issuer_does_not(
    root: x509.Certificate, at: datetime, end: datetime | None, reason: str
) -> None:
    with pytest.raises(IssuerUnfit, match=reason):
        sign_issuer_request(CertificateAuthority(root, KEYS["root"]), request_pem(), SERIAL, at, end)


def test_an_issuer_of_the_services_own_root_can_have_a_subject_and_an_end(authorities: Authorities) -> None:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    end = NOW + timedelta(days=10)
    made = create_issuing_ca(authorities.root, key, SERIAL, NOW, subject=issuer_subject(key, "CN=Mine"), end=end)
    assert made.subject.rfc4514_string() == "CN=Mine"
    assert made.not_valid_after_utc == end.replace(microsecond=0)


def test_an_issuer_of_the_services_own_root_can_say_where_others_find_out_about_it(authorities: Authorities) -> None:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    addresses = PublicAddresses("http://a.example/root.crl", "http://a.example/root.cer", "http://a.example/ocsp")
    made = create_issuing_ca(authorities.root, key, SERIAL, NOW, addresses=addresses)
    made.verify_directly_issued_by(authorities.root.certificate)
    assert [(each.value, each.critical) for each in list(made.extensions)[-2:]] == list(addresses.extensions())


ADDRESSES = PublicAddresses("http://a.example/root.crl", "http://a.example/root.cer", "http://a.example/ocsp")


@pytest.mark.parametrize(
    "addresses",
    [
        ADDRESSES,
        replace(ADDRESSES, status=None),
        replace(ADDRESSES, issuer=None),
        PublicAddresses("http://a.example/root.crl", None, None),
        PublicAddresses(None, "http://a.example/root.cer", None),
        PublicAddresses(None, None, None),
    ],
)
def test_a_root_elsewhere_names_its_own_addresses_and_none_of_the_request(
    addresses: PublicAddresses, authorities: Authorities
) -> None:
    key = generate_private_key("ecdsa-p256")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    asked = replace(ADDRESSES, revocation_list="http://evil.example/crl")
    builder = x509.CertificateSigningRequestBuilder().subject_name(issuer_subject(key.public_key(), None))
    for extension, critical in asked.extensions():
        builder = builder.add_extension(extension, critical)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    issued = sign_issuer_request(AUTHORITY, pem, SERIAL, NOW, None, addresses)
    named = [
        (each.value, each.critical)
        for each in issued.extensions
        if isinstance(each.value, x509.CRLDistributionPoints | x509.AuthorityInformationAccess)
    ]
    assert named == list(addresses.extensions())
    assert checked_chain(pem_of(issued, ROOT), key.public_key(), NOW, authorities.root.certificate) == (issued, ROOT)


@pytest.mark.parametrize("url", ["http://a.example/root.crl", "https://a.example:8443/x?y=1", "http://[::1]/crl"])
def test_urls_of_pages_are_addresses(url: str) -> None:
    assert is_public_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example/root.crl",
        "http:///root.crl",
        "http://",
        "file:///etc/passwd",
        "ldap://a.example/x",
        "http://a.example:0/",
        "http://a.example:99999/",
        "http://a.example:x/",
        "http://[::1/",
        "http://user:secret@a.example/",
        "http://a.example/ x",
        "http://a.example/\n",
        "http://ä.example/",
        "http://a.example/" + "x" * 1024,
    ],
)
def test_other_texts_are_no_addresses(url: str) -> None:
    assert not is_public_url(url)


@pytest.mark.parametrize(
    ("days", "share", "warned"),
    [
        (-5, 1.0, None),
        (0, 1.0, None),
        (74, 0.26, None),
        (75, 0.25, 0.25),
        (90, 0.1, 0.1),
        (96, 0.04, 0.05),
        (200, 0.0, 0.05),
    ],
)
def test_the_life_that_is_left_and_its_warnings(days: int, share: float, warned: float | None) -> None:
    left = life_left(NOW, NOW + timedelta(days=100), NOW + timedelta(days=days))
    assert left == pytest.approx(share)
    assert warning_of(left) == warned
