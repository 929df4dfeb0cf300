"""Owns the interface of an issuer's private key. Independent of files and tokens."""

from typing import Protocol

from cryptography.hazmat.primitives import hashes

from thingmint.core.errors import ServiceUnavailable
from thingmint.issuance.keys.key_pairs import PublicKey


class SignerUnavailable(ServiceUnavailable):
    """The key, or the token that has it, is not available; ``reason`` is for operators, the message for callers."""

    def __init__(self, reason: str) -> None:
        super().__init__("The key of the issuer cannot be used now")
        self.reason = reason


class Signer(Protocol):
    """Signs with one private key, which it does not disclose."""

    @property
    def public_key(self) -> PublicKey:
        """The public key that verifies the signatures."""
        ...

    @property
    def is_in_process(self) -> bool:
        """Whether this process alone creates signatures, so that none exists after its end.

        If not, a signature can exist that this process never received, so a serial number is reserved before.
        """
        ...

    async def sign(self, content: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        """Return the signature of the content, in the form of X.509.

        It is PKCS#1 v1.5 (RFC 4055) for RSA keys, and the DER of Ecdsa-Sig-Value (RFC 3279, 2.2.3) for EC keys.
        Raises ServiceUnavailable if the key cannot be used now.
        """
        ...

    async def check(self) -> None:
        """Raise ServiceUnavailable unless the key can be used now."""
        ...
