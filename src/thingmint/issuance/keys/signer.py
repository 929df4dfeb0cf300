"""Owns what an issuer needs of the thing that holds its private key; knows neither files nor tokens."""

from typing import Protocol

from cryptography.hazmat.primitives import hashes

from thingmint.issuance.keys.key_pairs import PublicKey


class Signer(Protocol):
    """Signs with one private key, which it does not give away."""

    @property
    def public_key(self) -> PublicKey:
        """The public key that verifies the signatures."""
        ...

    @property
    def is_in_process(self) -> bool:
        """Whether a signature is made by this process alone, and ends with it.

        If not, a signature may exist although this process never saw it: a serial number is reserved before.
        """
        ...

    async def sign(self, content: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        """Return the signature of the content, in the form of X.509.

        That is PKCS#1 v1.5 (RFC 4055) for RSA keys, the DER of Ecdsa-Sig-Value (RFC 3279, 2.2.3) for keys on curves.
        Raises ServiceUnavailable if the key cannot be used now.
        """
        ...

    async def check(self) -> None:
        """Return if the key can be used now; raise ServiceUnavailable otherwise."""
        ...
