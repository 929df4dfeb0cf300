"""Owns the identity of a simulated device. Its private key is only in memory, and never in a file on disk."""

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
        """Return a TLS context with this identity for the target; raise OSError if certificate and key do not match."""
        return self.tls_context_for(target.ca_file)

    def tls_context_for(self, ca_file: str) -> ssl.SSLContext:
        """Return a TLS context with this identity for servers of a CA; raise the errors of `tls_context`."""
        context = ssl.create_default_context(cafile=ca_file)
        with in_memory(f"{self.certificate_pem.rstrip()}\n{self.private_key_pem}".encode()) as path:
            context.load_cert_chain(path, password=_no_password)
        return context


@dataclass(frozen=True, slots=True)
class DeviceKeyRequest:
    """A new key and its CSR."""

    csr_pem: str
    private_key_pem: str = field(repr=False)


def new_signing_request(common_name: str) -> DeviceKeyRequest:
    """Return a CSR for a new P-256 key, which suits devices that are too slow for RSA."""
    return _new_request(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))


def new_renewal_request(identity: Identity) -> DeviceKeyRequest:
    """Return a CSR for a new key with the subject of an identity."""
    return _new_request(x509.load_pem_x509_certificate(identity.certificate_pem.encode()).subject)


def _new_request(subject: x509.Name) -> DeviceKeyRequest:
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    private_key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return DeviceKeyRequest(csr.public_bytes(serialization.Encoding.PEM).decode(), private_key_pem.decode())


def _no_password() -> str:
    # Without this callback, OpenSSL would ask for the passphrase at the terminal.
    raise OSError("the private key is sealed by a passphrase")
