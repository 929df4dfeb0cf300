"""Owns issuers for tests: with keys in the memory of the process, and with one that another process would hold."""

from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from thingmint.core.errors import ServiceUnavailable
from thingmint.issuance.issuer import Issuer
from thingmint.issuance.issuing_ca import IssuingCA
from thingmint.issuance.keys import PublicKey
from thingmint.issuance.private_keys import PrivateKey
from thingmint.issuance.profile import CertificateProfile
from thingmint.signers.file_key import FileKeySigner

T = TypeVar("T")


def at_once(work: Coroutine[object, object, T]) -> T:
    """Return the result of a coroutine that must not wait for anything."""
    try:
        work.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    raise AssertionError("the coroutine waits")


def issuer_of(certificate: x509.Certificate, private_key: PrivateKey, profile: CertificateProfile) -> Issuer:
    """Return an issuer whose key is in the memory of this process."""
    return Issuer(IssuingCA(certificate, FileKeySigner(private_key)), profile)


@dataclass
class TokenSigner:
    """A `issuance.signer.Signer` that says that it is outside of the process, and fails when it is told to.

    ``before`` is awaited before each signature. ``is_broken`` makes it return a signature of something else.
    """

    inner: FileKeySigner
    is_removed: bool = False
    is_broken: bool = False
    signed: list[bytes] = field(default_factory=list)

    is_in_process = False

    @property
    def public_key(self) -> PublicKey:
        """The inner signer's."""
        return self.inner.public_key

    async def before(self) -> None:
        """Do nothing; tests put something here."""

    async def sign(self, content: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        """Return the inner signer's signature; raise ServiceUnavailable if the token was removed."""
        await self.before()
        if self.is_removed:
            raise ServiceUnavailable("The token was removed")
        self.signed.append(content)
        return await self.inner.sign(b"" if self.is_broken else content, algorithm)
