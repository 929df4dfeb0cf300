"""Owns signing with the root's key, which is read from the data directory for each signature and not kept in memory."""

import asyncio
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from thingmint.core.errors import ServiceUnavailable
from thingmint.data_directory.certificate_files import AuthorityUnusable
from thingmint.issuance.keys.key_pairs import PublicKey
from thingmint.issuance.keys.private_keys import PrivateKey


class RootSigner:
    """An `issuance.signer.Signer` for the few signatures of the root while the service runs."""

    __slots__ = ("_read_key", "public_key")

    is_in_process = True

    def __init__(self, certificate: x509.Certificate, read_key: Callable[[], PrivateKey]) -> None:
        """Store the root's certificate, and the function that reads its key or raises AuthorityUnusable or OSError."""
        public_key = certificate.public_key()
        assert isinstance(public_key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey))
        self.public_key: PublicKey = public_key
        self._read_key = read_key

    async def sign(self, content: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        """Return the signature of the content; raise ServiceUnavailable if the key cannot be read."""
        private_key = await self._key()
        if isinstance(private_key, rsa.RSAPrivateKey):
            return private_key.sign(content, padding.PKCS1v15(), algorithm)
        return private_key.sign(content, ec.ECDSA(algorithm))

    async def check(self) -> None:
        """Return if the key can be read; raise ServiceUnavailable otherwise."""
        await self._key()

    async def _key(self) -> PrivateKey:
        try:
            # In a thread, because the key derivation from a passphrase is slow by design.
            return await asyncio.to_thread(self._read_key)
        except (AuthorityUnusable, OSError) as error:
            raise ServiceUnavailable("The root's private key cannot be read") from error
