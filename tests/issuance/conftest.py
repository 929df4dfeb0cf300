"""Keys, authorities and requests that the tests of issuance share; RSA keys are made once a session."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from tests.support.certificates.profiles import default_profile
from tests.support.certificates.signers import issuer_of

from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.trust_anchor import (
    CertificateAuthority,
    create_issuing_ca,
    create_root_ca,
    create_service_ca,
)
from thingmint.issuance.issuer import Issuer
from thingmint.issuance.keys.key_pairs import KeyPair, generate_key_pair

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
RequestFor = Callable[..., str]


@dataclass(frozen=True)
class Authorities:
    """The three authorities of a fresh data directory."""

    root: CertificateAuthority
    issuing: CertificateAuthority
    service: CertificateAuthority


@pytest.fixture(scope="session")
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="session")
def key_pair() -> KeyPair:
    return generate_key_pair()


@pytest.fixture(scope="session")
def authorities() -> Authorities:
    root_key, issuing_key, service_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root = CertificateAuthority(create_root_ca(root_key, SerialNumber(1 << 100), NOW), root_key)
    issuing = create_issuing_ca(root, issuing_key.public_key(), SerialNumber(1 << 101), NOW)
    service = create_service_ca(root, service_key.public_key(), SerialNumber(1 << 102), NOW)
    return Authorities(root, CertificateAuthority(issuing, issuing_key), CertificateAuthority(service, service_key))


@pytest.fixture(scope="session")
def issuer(authorities: Authorities) -> Issuer:
    return issuer_of(authorities.issuing.certificate, authorities.issuing.private_key, default_profile())


@pytest.fixture(scope="session")
def request_for() -> RequestFor:
    """Return a function that writes the PEM of a request for a key and a subject."""

    def write(
        private_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
        subject: x509.Name | None = None,
        algorithm: hashes.HashAlgorithm | None = None,
    ) -> str:
        if subject is None:
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sensor-17")])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        signed = builder.sign(private_key, algorithm or hashes.SHA256())  # type: ignore[arg-type] # some are refused
        return signed.public_bytes(serialization.Encoding.PEM).decode()

    return write
