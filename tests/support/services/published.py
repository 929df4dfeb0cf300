"""Owns a live service that publishes revocations, three certificates of it, and what anyone can fetch from it."""

import contextlib
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.clients.client import Created, client_of, create_from_csr
from tests.support.machine.loop_thread import GENEROUS
from tests.support.services.forked import run_thingmint
from tests.support.services.service import Service, running_service

from thingmint.cli.connection import SignedClient
from thingmint.issuance.authorities.issuing_ca import issuer_id_of

HASH = hashes.SHA256()


@dataclass(frozen=True)
class Fetched:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Device:
    """A certificate, its private key and both in files."""

    created: Created
    certificate: x509.Certificate
    certificate_file: Path
    key_file: Path


@dataclass(frozen=True)
class Published:
    """A service, the address where it publishes, and a directory for files."""

    service: Service
    client: SignedClient
    url: str
    folder: Path

    def device(self, name: str, *, active: bool = True) -> Device:
        """Issue a certificate for a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name.from_rfc4514_string(f"CN={name}"))
        csr = request.sign(key, HASH).public_bytes(serialization.Encoding.PEM).decode()
        created = create_from_csr(self.client, csr, active=active)
        certificate_file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate_file.write_text(created.certificate_pem)
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return Device(
            created, x509.load_pem_x509_certificate(created.certificate_pem.encode()), certificate_file, key_file
        )

    def set_status(self, device: Device, status: str) -> None:
        """Change the certificate's status with the API."""
        self.client.call("PUT", f"/certificates/{device.created.certificate_id}", {"newStatus": status})

    def revoke(self, device: Device, reason: str) -> None:
        """Revoke the certificate for a reason, on the command line."""
        directory = ("--data-dir", str(self.service.data_dir))
        words = ("certificate", "revoke", device.created.certificate_id, "--reason", reason)
        run_thingmint(*words, *directory, check=True)

    def fetch(self, path: str, body: bytes | None = None, **headers: str) -> Fetched:
        """Return the response to GET, or to POST if there is a body."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, given)
        try:
            with urllib.request.urlopen(request, timeout=GENEROUS) as answer:
                return Fetched(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Fetched(error.code, dict(error.headers), error.read())

    @property
    def issuers(self) -> list[x509.Certificate]:
        """The certificates of the CAs: the issuer first, the root last."""
        return x509.load_pem_x509_certificates(self.fetch("/ca/all.pem").body)

    @property
    def issuer_id(self) -> str:
        """The id of the active issuer."""
        return issuer_id_of(self.issuers[0])

    def crl(self) -> x509.CertificateRevocationList:
        """Return the issuer's complete list as it is now."""
        return x509.load_der_x509_crl(self.fetch(f"/crl/{self.issuer_id}.crl").body)

    def listed(self, device: Device) -> x509.RevokedCertificate | None:
        """Return the certificate's entry in the complete list."""
        return self.crl().get_revoked_certificate_by_serial_number(device.certificate.serial_number)

    def write_files(self) -> None:
        """Write what relying parties are configured with: ``ca.pem``, ``issuer.pem``, ``root.pem``, ``crl.pem``."""
        issuer, root = self.issuers[0], self.issuers[-1]
        (self.folder / "ca.pem").write_bytes(self.fetch("/ca/all.pem").body)
        (self.folder / "issuer.pem").write_bytes(issuer.public_bytes(serialization.Encoding.PEM))
        (self.folder / "root.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
        (self.folder / "crl.pem").write_bytes(self.fetch("/crl/all.pem").body)
        for name, certificate in (("issuer", issuer), ("root", root)):
            der = self.fetch(f"/crl/{issuer_id_of(certificate)}.crl").body
            (self.folder / f"{name}.crl").write_bytes(der)


def until(condition: Callable[[], object]) -> None:
    """Return when the condition is true."""
    deadline = time.monotonic() + GENEROUS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def publishing_service(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[Published]:
    """Yield a service with a public address, which its certificates name, when its lists are there."""
    url = f"http://127.0.0.1:{free_port()}"
    flags = ("--public", url.removeprefix("http://"), "--public-url", url)
    folder.mkdir(parents=True, exist_ok=True)
    with running_service(folder / "data", *flags, *arguments, key_reserve=0, environment=environment) as service:
        published = Published(service, client_of(service), url, folder)
        until(lambda: published.fetch("/crl/all.pem").body.count(b"BEGIN X509 CRL") == len(published.issuers))
        yield published
