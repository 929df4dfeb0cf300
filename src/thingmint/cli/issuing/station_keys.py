"""Owns the key pairs that a station makes, and their CSRs."""

import asyncio

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from thingmint.issuance.keys.key_pairs import KeyPair
from thingmint.issuance.keys.private_keys import PrivateKey, generate_private_key

RSA_2048 = "rsa-2048"
_CURVES = {"ec-p256": "ecdsa-p256", "ec-p384": "ecdsa-p384"}


class CurveKeys:
    """The source of key pairs on an elliptic curve, which needs no reserve."""

    def __init__(self, key_type: str) -> None:
        self._name = _CURVES[key_type]

    async def take(self) -> KeyPair:
        """Return a new key pair; the private key is PKCS#8."""
        return await asyncio.to_thread(self._make)

    def _make(self) -> KeyPair:
        key = generate_private_key(self._name)
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return KeyPair(public, private)


def load_station_key(pem: bytes) -> PrivateKey:
    """Return a private key that the station has made; raise ValueError if the bytes are no private key."""
    # It was checked when it was generated; validating an RSA key again costs as much as generating it.
    key = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, PrivateKey):
        raise ValueError("neither an RSA nor an ECDSA key")  # noqa: TRY004  the content is wrong, no argument
    return key


def signing_request(key: PrivateKey, subject: x509.Name) -> str:
    """Return the CSR of a key in PEM."""
    is_p384 = isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp384r1"
    digest = hashes.SHA384() if is_p384 else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, digest)
    return request.public_bytes(serialization.Encoding.PEM).decode()
