"""Owns the keys and certificates that the benchmarks bring along: CSRs, and a server certificate for a peer."""

import datetime as dt
import ipaddress
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

DISTINCT_CSRS = 24


@cache
def csr_pems() -> tuple[str, ...]:
    """Return signing requests of RSA-2048 keys, each of a key of its own, as the devices of a fleet send them."""
    return tuple(_csr_pem(number) for number in range(DISTINCT_CSRS))


def _csr_pem(number: int) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    request = x509.CertificateSigningRequestBuilder(_name(f"device-{number:06d}")).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def write_server_certificate(directory: Path) -> tuple[Path, Path]:
    """Write a self-signed P-256 certificate for 127.0.0.1 and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(_name("127.0.0.1"), _name("127.0.0.1"), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = directory / "server.pem", directory / "server.key"
    certificate_path.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_path.touch(mode=0o600)
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate_path, key_path


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
