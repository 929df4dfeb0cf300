"""Owns the reading of the public key in a certificate or request, of the kinds whose reading takes little time."""

from cryptography import x509
from cryptography.x509.oid import PublicKeyAlgorithmOID

from thingmint.issuance.keys.key_pairs import ACCEPTED, WeakKey

# The library checks the parameters of a Diffie-Hellman key when it reads one, which takes minutes for a long prime.
# These kinds have no such check. Their callers accept fewer kinds, and name the others.
_READ = frozenset(
    {
        PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5,
        PublicKeyAlgorithmOID.RSASSA_PSS,
        PublicKeyAlgorithmOID.EC_PUBLIC_KEY,
        PublicKeyAlgorithmOID.DSA,
        PublicKeyAlgorithmOID.ED25519,
        PublicKeyAlgorithmOID.ED448,
    }
)


def subject_public_key(subject: x509.Certificate | x509.CertificateSigningRequest) -> object:
    """Return the public key.

    Raises WeakKey if its kind is not read, ValueError or UnsupportedAlgorithm if it cannot be read.
    """
    kind = subject.public_key_algorithm_oid  # type: ignore[union-attr]  # requests have it; their stub does not say so
    if kind not in _READ:
        raise WeakKey(f"The public key is of the kind {kind.dotted_string}; accepted are {ACCEPTED}")
    return subject.public_key()
