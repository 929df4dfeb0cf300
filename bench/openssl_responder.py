"""Owns OpenSSL's OCSP responder as a peer: a CA of its own, an index of its certificates, and its delegated key."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from bench.children import Server, free_port
from bench.peers import PeerUnavailable

_HASH = hashes.SHA256()
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Peer:
    """A running responder, and the CA whose certificates it knows."""

    server: Server
    port: int
    ca: x509.Certificate
    numbers: tuple[int, ...]


@contextmanager
def running(directory: Path, numbers: tuple[int, ...], core: int) -> Iterator[Peer]:
    """Run the responder on one core; it knows certificates with these serial numbers, all of them valid."""
    program = which("openssl")
    if program is None:
        raise PeerUnavailable("openssl is not installed")
    directory.mkdir(parents=True)
    ca_key, own_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("CA", ca_key, "CA", ca_key)
    _write(directory / "ca.pem", ca.public_bytes(serialization.Encoding.PEM))
    own = _certificate("responder", own_key, "CA", ca_key)
    _write(directory / "own.pem", own.public_bytes(serialization.Encoding.PEM))
    encryption = serialization.NoEncryption()
    key = own_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    _write(directory / "own.key", key)
    lines = [f"V\t491231235959Z\t\t{number:040X}\tunknown\t/CN={number}" for number in numbers]
    _write(directory / "index.txt", ("\n".join(lines) + "\n").encode())
    port = free_port()
    options = ("-index", "index.txt", "-CA", "ca.pem", "-rsigner", "own.pem", "-rkey", "own.key", "-nmin", "60")
    named = [str(directory / each) if "." in each else each for each in options]
    server = Server([program, "ocsp", "-port", str(port), *named], directory / "log", environment={}, core=core)
    try:
        # Not by connecting: it waits for ever for the request of a client that has gone.
        server.wait_until(lambda: "waiting" in (directory / "log").read_text())
        yield Peer(server, port, ca, numbers)
    finally:
        server.stop()


def _certificate(
    subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    is_ca = subject == issuer
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string(f"CN={subject}"))
        .issuer_name(x509.Name.from_rfc4514_string(f"CN={issuer}"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if not is_ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
    return builder.sign(issuer_key, _HASH)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
