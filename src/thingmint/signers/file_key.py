"""Owns signing with a private key that was read from a file into this process's memory."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from thingmint.issuance.keys.key_pairs import PublicKey
from thingmint.issuance.keys.private_keys import PrivateKey


class FileKeySigner:
    """An `issuance.signer.Signer` that signs at once, in the caller's thread."""

    __slots__ = ("_ec_key", "_rsa_key", "public_key")

    is_in_process = True

    def __init__(self, private_key: PrivateKey) -> None:
        # Decided once, because the library's types are abstract, and a test of an instance takes time.
        self._rsa_key = private_key if isinstance(private_key, rsa.RSAPrivateKey) else None
        self._ec_key = private_key if isinstance(private_key, ec.EllipticCurvePrivateKey) else None
        self.public_key: PublicKey = private_key.public_key()

    async def sign(self, content: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        """Return the signature of the content without waiting."""
        if self._rsa_key is not None:
            return self._rsa_key.sign(content, padding.PKCS1v15(), algorithm)
        assert self._ec_key is not None
        return self._ec_key.sign(content, ec.ECDSA(algorithm))

    async def check(self) -> None:
        """Return at once, because the key is in memory."""
