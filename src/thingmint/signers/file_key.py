"""Owns signing with a private key that was read from a file into this process's memory."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from thingmint.issuance.keys.key_pairs import PublicKey
from thingmint.issuance.keys.private_keys import PrivateKey


class FileKeySigner:
    """An `issuance.signer.Signer` that signs at once, in the caller's thread."""

    __slots__ = ("_private_key", "public_key")

    is_in_process = True

    def __init__(self, private_key: PrivateKey) -> None:
        self._private_key = private_key
        self.public_key: PublicKey = private_key.public_key()

    async def sign(self, content: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        """Return the signature of the content without waiting."""
        if isinstance(self._private_key, rsa.RSAPrivateKey):
            return self._private_key.sign(content, padding.PKCS1v15(), algorithm)
        return self._private_key.sign(content, ec.ECDSA(algorithm))

    async def check(self) -> None:
        """Return at once, because the key is in memory."""
