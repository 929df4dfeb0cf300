"""Owns what a simulated device proves itself with; its private key is in memory only, and in no file on a disk."""

import ssl
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from thingmint.cli.simulation.target import Target
from thingmint.host.memory_files import in_memory


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, as PEM."""

    certificate_pem: str
    private_key_pem: str = field(repr=False)

    def tls_context(self, target: Target) -> ssl.SSLContext:
        """Return a context that shows this identity to the target; raise OSError if certificate and key are no pair."""
        return self.tls_context_for(target.ca_file)

    def tls_context_for(self, ca_file: str) -> ssl.SSLContext:
        """Return a context that shows this identity to servers of a CA; raise what `tls_context` raises."""
        context = ssl.create_default_context(cafile=ca_file)
        with in_memory(f"{self.certificate_pem.rstrip()}\n{self.private_key_pem}".encode()) as path:
            context.load_cert_chain(path, password=_no_password)
        return context


@dataclass(frozen=True, slots=True)
class DeviceKeyRequest:
    """A new key, and the request for a certificate of it."""

    csr_pem: str
    private_key_pem: str = field(repr=False)


def new_signing_request(common_name: str) -> DeviceKeyRequest:
    """Return a request for a new P-256 key, as devices make them that cannot afford RSA."""
    return _new_request(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))


def new_renewal_request(identity: Identity) -> DeviceKeyRequest:
    """Return a request for a new key with the subject of an identity."""
    return _new_request(x509.load_pem_x509_certificate(identity.certificate_pem.encode()).subject)


def _new_request(subject: x509.Name) -> DeviceKeyRequest:
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    private_key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return DeviceKeyRequest(csr.public_bytes(serialization.Encoding.PEM).decode(), private_key_pem.decode())


def _no_password() -> str:
    # Without it OpenSSL would ask at the terminal.
    raise OSError("the private key is sealed by a passphrase")
