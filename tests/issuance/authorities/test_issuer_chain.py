"""A chain that others have signed is checked level by level, and what is wrong with it is named."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.issuance.conftest import NOW, Authorities
from tests.support.certificates.slow_keys import diffie_hellman_certificate

from thingmint.data_directory.certificate_files import pem_of
from thingmint.issuance.authorities.issuer_chain import MOST_BYTES, MOST_CERTIFICATES, checked_chain
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit
from thingmint.issuance.profiles.serial_number import random_serial_number

Key = ec.EllipticCurvePrivateKey
SomeKey = Key | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "middle", "issuer", "other")}
Change = Callable[[x509.CertificateBuilder], x509.CertificateBuilder]
NO_USAGE = dict.fromkeys(
    (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    ),
    False,
)  # fmt: skip


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def certificate(
    subject: str,
    above: str,
    *,
    key: Key | None = None,
    signed_by: Key | ed25519.Ed25519PrivateKey | None = None,
    path_length: int | None = None,
    ca: bool | None = True,
    usages: Sequence[str] | None = ("key_cert_sign", "crl_sign"),
    purposes: Sequence[x509.ObjectIdentifier] = (),
    begin: datetime = NOW - timedelta(days=1),
    end: datetime = NOW + timedelta(days=4000),
    more: Sequence[tuple[x509.ExtensionType, bool]] = (),
    key_identifier: bool = True,
    named: str | None = None,
) -> x509.Certificate:
    """Return a certificate of one of the keys, signed by another one."""
    own = key or KEYS[subject]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject if named is None else named))
        .issuer_name(name(above))
        .public_key(own.public_key())
        .serial_number(random_serial_number(lambda count: bytes(range(1, count + 1))))
        .not_valid_before(begin)
        .not_valid_after(end)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length if ca else None), critical=True)
    if usages is not None:
        builder = builder.add_extension(x509.KeyUsage(**(NO_USAGE | dict.fromkeys(usages, True))), critical=True)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if key_identifier:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical)
    signer = signed_by or KEYS[above]
    return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())


CONSTRAINTS = x509.NameConstraints([x509.DNSName("a.b")], None)
ROOT = certificate("root", "root")
MIDDLE = certificate("middle", "root", path_length=1)
ISSUER = certificate("issuer", "middle", path_length=0, purposes=[ExtendedKeyUsageOID.CLIENT_AUTH])


def check(authorities: Authorities, *certificates: x509.Certificate) -> tuple[x509.Certificate, ...]:
    return checked_chain(pem_of(*certificates), KEYS["issuer"].public_key(), NOW, authorities.root.certificate)


def test_a_chain_of_several_levels_is_found_in_any_order_and_its_root_comes_last(authorities: Authorities) -> None:
    stranger = certificate("other", "other")
    for given in ((ISSUER, MIDDLE, ROOT), (ROOT, stranger, MIDDLE, ISSUER)):
        assert check(authorities, *given) == (ISSUER, MIDDLE, ROOT)


def test_the_root_of_the_service_itself_need_not_be_in_the_file(authorities: Authorities) -> None:
    key = authorities.root.private_key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    subject = authorities.root.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    issuer = certificate("issuer", str(subject), signed_by=key)
    assert check(authorities, issuer) == (issuer,)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([MIDDLE, ROOT], "holds 0 certificates of the issuer's key"),
        ([ISSUER, certificate("issuer", "root"), MIDDLE, ROOT], "holds 2 certificates of the issuer's key"),
        ([ISSUER, MIDDLE], "the certificate of CN=root is missing"),
        ([ISSUER, certificate("middle", "root", key=KEYS["other"]), ROOT], "CN=issuer has no signature of the key"),
        ([certificate("issuer", "issuer", signed_by=KEYS["issuer"])], "is self-signed"),
        (
            [ISSUER, certificate("middle", "other"), certificate("other", "middle")],
            "certify each other in a loop",
        ),
        ([ISSUER, certificate("middle", "root", end=NOW - timedelta(hours=1)), ROOT], "CN=middle is valid from"),
        ([ISSUER, certificate("middle", "root", begin=NOW + timedelta(hours=1)), ROOT], "which is not now"),
        ([certificate("issuer", "root", end=NOW - timedelta(seconds=2)), ROOT], "CN=issuer is valid from"),
        ([ISSUER, MIDDLE, certificate("root", "root", path_length=1)], "CN=root allows 1 authorities below it"),
        ([ISSUER, certificate("middle", "root", path_length=0), ROOT], "CN=middle allows 0 authorities below it"),
        ([ISSUER, certificate("middle", "root", ca=False), ROOT], "CN=middle is not the certificate of an authority"),
        ([ISSUER, certificate("middle", "root", ca=None), ROOT], "CN=middle is not the certificate of an authority"),
        ([ISSUER, certificate("middle", "root", usages=["crl_sign"]), ROOT], "does not allow it to sign certificates"),
        (
            [ISSUER, certificate("middle", "root", purposes=[ExtendedKeyUsageOID.SERVER_AUTH]), ROOT],
            "extended key usage of CN=middle excludes TLS clients",
        ),
        (
            [
                ISSUER,
                certificate("middle", "root", more=[(CONSTRAINTS, True)]),
                ROOT,
            ],
            r"CN=middle has the critical extension 2\.5\.29\.30",
        ),
        ([certificate("issuer", "root", ca=False), ROOT], "may not sign certificates"),
        ([certificate("issuer", "root", usages=None), ROOT], "has no key usage"),
        ([certificate("issuer", "root", usages=["key_cert_sign"]), ROOT], "lacks cRLSign"),
        ([certificate("issuer", "root", key_identifier=False), ROOT], "lacks an extension that every CA's has"),
        ([certificate("issuer", "root", named=""), ROOT], "has an empty subject"),
        (
            [certificate("issuer", "root", purposes=[ExtendedKeyUsageOID.SERVER_AUTH]), ROOT],
            "extended key usage of CN=issuer excludes TLS clients",
        ),
    ],
)
def test_what_is_wrong_with_a_chain_is_named(
    given: Sequence[x509.Certificate], reason: str, authorities: Authorities
) -> None:
    with pytest.raises(IssuerUnfit, match=reason):
        check(authorities, *given)


def test_certificates_above_need_no_key_usage_and_may_have_any_purpose(authorities: Authorities) -> None:
    # RFC 5280, 4.2.1.3 and 4.2.1.12: without the extension, nothing is excluded.
    middle = certificate("middle", "root", usages=None, purposes=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
    assert check(authorities, ISSUER, middle, ROOT) == (ISSUER, middle, ROOT)


def test_an_issuer_whose_signature_is_weak_is_refused(authorities: Authorities) -> None:
    with pytest.raises(IssuerUnfit, match="other than SHA-256"):
        check(authorities, ISSUER, MIDDLE, self_signed(KEYS["root"], hashes.SHA224()))


def self_signed(key: SomeKey, algorithm: hashes.SHA224 | hashes.SHA256 | None) -> x509.Certificate:
    """Return the certificate of a root with any key."""
    public_key = key.public_key()
    return (
        x509.CertificateBuilder(name("root"), name("root"), public_key, 1 << 100, NOW, NOW + timedelta(days=9))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .sign(key, algorithm)
    )


@pytest.mark.parametrize("kind", ["Ed25519", "RSA with 1024 bits", "secp256k1", "Diffie-Hellman"])
def test_a_chain_with_a_key_that_is_weak_or_slow_to_read_is_refused(authorities: Authorities, kind: str) -> None:
    strange: dict[str, Callable[[], x509.Certificate]] = {
        "Ed25519": lambda: self_signed(ed25519.Ed25519PrivateKey.generate(), None),
        "RSA with 1024 bits": lambda: self_signed(rsa.generate_private_key(65537, 1024), hashes.SHA256()),
        "secp256k1": lambda: self_signed(ec.generate_private_key(ec.SECP256K1()), hashes.SHA256()),
        "Diffie-Hellman": diffie_hellman_certificate,
    }
    with pytest.raises(IssuerUnfit, match="accepted are RSA keys of 2048 to 4096 bits"):
        check(authorities, ISSUER, MIDDLE, strange[kind]())


def test_a_name_that_a_stranger_has_too_does_not_hide_the_right_authority(authorities: Authorities) -> None:
    namesake = certificate("middle", "root", key=KEYS["other"])
    assert check(authorities, namesake, ISSUER, MIDDLE, ROOT) == (ISSUER, MIDDLE, ROOT)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "holds no certificate in PEM"),
        (b"junk", "holds no certificate in PEM"),
        (b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "holds no certificate in PEM"),
        (b"x" * (MOST_BYTES + 1), "is longer than"),
        (pem_of(*[ROOT] * (MOST_CERTIFICATES + 1)), "holds more than"),
    ],
)
def test_what_is_no_file_of_certificates_is_refused(text: bytes, reason: str, authorities: Authorities) -> None:
    with pytest.raises(IssuerUnfit, match=reason):
        checked_chain(text, KEYS["issuer"].public_key(), NOW, authorities.root.certificate)
