"""Owns the Ed25519 key that signs the log's checkpoints, in this process's memory. Independent of their format."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class LogKeySigner:
    """Signs checkpoints; implements `registration.log.identity.NoteSigner`."""

    __slots__ = ("_private_key", "public_key")

    def __init__(self, seed: bytes) -> None:
        """Take the private key in the form of RFC 8032, 32 bytes."""
        self._private_key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._private_key.public_key().public_bytes_raw()

    def sign(self, content: bytes) -> bytes:
        """Return the signature of the content, 64 bytes."""
        return self._private_key.sign(content)
