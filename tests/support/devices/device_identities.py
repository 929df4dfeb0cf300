"""Owns the certificates that devices and gateways show in tests, good and bad; knows nothing of who judges them."""

import datetime as dt
import functools
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from thingmint.core.identifiers import CertificateId, certificate_id_of

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A certificate, its key, and the issuers that are shown with it."""

    certificate: x509.Certificate
    key: PrivateKey
    issuers: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        """The certificate's DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def certificate_id(self) -> CertificateId:
        """What AWS IoT calls it."""
        return certificate_id_of(self.der)

    @property
    def chain_pem(self) -> bytes:
        """The certificate and its issuers."""
        return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in (self.certificate, *self.issuers))

    @property
    def key_pem(self) -> bytes:
        """The private key."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )

    def files(self, directory: Path) -> tuple[Path, Path]:
        """Write chain and key, and return their paths."""
        certificate, key = directory / f"{self.certificate_id}.pem", directory / f"{self.certificate_id}.key"
        certificate.write_bytes(self.chain_pem)
        key.write_bytes(self.key_pem)
        return certificate, key


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    """Return the one RSA key that all tests share: it takes long to make."""
    return rsa.generate_private_key(65537, 2048)


def new_identity(
    name: str = "device",
    *,
    issuer: Identity | None = None,
    key: PrivateKey | None = None,
    valid_for: dt.timedelta = DAY,
    is_authority: bool = False,
) -> Identity:
    """Return an identity, signed by itself unless an issuer is given; a negative validity has ended already."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * DAY)
        .not_valid_after(now + valid_for)
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    return Identity(certificate, key, (issuer.certificate, *issuer.issuers) if issuer else ())


@functools.cache
def server_identity(name: str = "localhost") -> Identity:
    """Return the gateway's own identity, for localhost and its addresses; it is its own trust anchor."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Identity(certificate, key)


def client_context(
    directory: Path,
    identity: Identity | None,
    *,
    version: ssl.TLSVersion | None = None,
    alpn: list[str] | None = None,
    server: Identity | None = None,
) -> ssl.SSLContext:
    """Return a device's context: it trusts the server's certificate alone and shows its own, if it has one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=(server or server_identity()).chain_pem.decode())
    if identity is not None:
        context.load_cert_chain(*identity.files(directory))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if alpn is not None:
        context.set_alpn_protocols(alpn)
    return context
