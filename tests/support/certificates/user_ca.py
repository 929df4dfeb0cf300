"""Owns users' own CAs for tests, and what they sign, good and bad; knows nothing of who reads it."""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from tests.support.certificates.signing_requests import DEVICE, key_of
from tests.support.registration.authority import NOW

SignatureHash: TypeAlias = hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | hashes.SHA3_256
CAKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | dsa.DSAPrivateKey
Extension: TypeAlias = tuple[x509.ExtensionType, bool]

CA_EXTENSION: Extension = (x509.BasicConstraints(ca=True, path_length=None), True)
_NO_USAGE = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)
_serial_numbers = itertools.count(1 << 90)


def key_usage(**usages: bool) -> x509.KeyUsage:
    """Return a key usage of these bits alone."""
    return x509.KeyUsage(**(_NO_USAGE | usages))


def name_of(common_name: str | None) -> x509.Name:
    """Return a name of this common name alone, or of nothing."""
    if common_name is None:
        return x509.Name([])
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


@functools.cache
def device_key() -> ec.EllipticCurvePrivateKey:
    """Return the one key of all devices."""
    return ec.generate_private_key(ec.SECP256R1())


def pem_of(certificate: x509.Certificate) -> str:
    """Return the certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def der_of(certificate: x509.Certificate) -> bytes:
    """Return the certificate as DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True)
class UserCA:
    """A CA of a user: its key and its certificate."""

    key: CAKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        """The CA certificate."""
        return pem_of(self.certificate)

    def issue(
        self,
        common_name: str = "device",
        *,
        at: datetime = NOW,
        key: CAKey | None = None,
        hash_: SignatureHash | None = None,
        pss: bool = False,
        extensions: Sequence[Extension] = (),
        serial_number: int | None = None,
    ) -> x509.Certificate:
        """Return a certificate that is valid for ten days and was issued a day before."""
        builder = _builder(name_of(common_name), self.certificate.subject, key or device_key(), at, serial_number)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        signature_hash = hash_ or hashes.SHA256()
        if pss:
            assert isinstance(self.key, rsa.RSAPrivateKey)
            pss_padding = padding.PSS(padding.MGF1(signature_hash), signature_hash.digest_size)
            return builder.sign(self.key, signature_hash, rsa_padding=pss_padding)
        return builder.sign(self.key, signature_hash)

    def issue_pem(self, common_name: str = "device", *, at: datetime = NOW) -> str:
        """Return a certificate as PEM."""
        return pem_of(self.issue(common_name, at=at))


def new_ca(
    common_name: str | None = "Factory CA",
    *,
    key: CAKey | None = None,
    extensions: Sequence[Extension] = (CA_EXTENSION,),
    at: datetime = NOW,
) -> UserCA:
    """Return a self-signed CA, on P-256 unless a key is given."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name_of(common_name), name_of(common_name), key, at)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return UserCA(key, builder.sign(key, hashes.SHA256()))


def provided_pem_for(
    kind: str, subject: x509.Name = DEVICE, *, at: datetime = NOW, hash_: SignatureHash | None = None
) -> str:
    """Return what a certificate provider signs for the signing request of this kind and subject."""
    key = key_of(kind)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    builder = _builder(subject, name_of("Provider CA"), key, at)
    return pem_of(builder.sign(_provider_key(), hash_ or hashes.SHA256()))


@functools.cache
def _provider_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: CAKey, at: datetime, serial_number: int | None = None
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial_number or next(_serial_numbers))
        .not_valid_before(at - timedelta(days=1))
        .not_valid_after(at + timedelta(days=10))
    )
