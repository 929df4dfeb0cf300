"""Owns the sealing of stored secrets: authenticated encryption with one key, bound to a name.

A sealed secret is a version byte, a nonce and AES-256-GCM's output. Independent of the place of the key and the use of
the secrets.
"""

from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from thingmint.core.errors import ServiceUnavailable

MIN_KEY_MATERIAL = 32
_VERSION = b"\x01"
# NIST SP 800-38D, 8.2.2: 96 random bits; a key may seal 2^32 secrets before a repeated nonce is a concern.
_NONCE_BYTES = 12
_PURPOSE = b"thingmint sealing v1"


class Sealer:
    """Seals and unseals with a key derived from key material; implements `registration.kernel.ports.SecretSealer`."""

    def __init__(self, key_material: bytes, random_bytes: Callable[[int], bytes]) -> None:
        """Raise ValueError if the key material has fewer than 32 bytes."""
        if len(key_material) < MIN_KEY_MATERIAL:
            raise ValueError(f"key material has at least {MIN_KEY_MATERIAL} bytes")
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(key_material)
        self._cipher = AESGCM(key)
        self._random_bytes = random_bytes

    def seal(self, secret: bytes, bound_to: str) -> bytes:
        """Return the secret encrypted and bound to a name."""
        nonce = self._random_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, secret, _associated(bound_to))

    def unseal(self, sealed: bytes, bound_to: str) -> bytes:
        """Return the secret; raise ServiceUnavailable if it was sealed with another key or name, or is damaged."""
        if not sealed.startswith(_VERSION):
            raise ServiceUnavailable("A stored secret has a format that this version of the service cannot read.")
        nonce, encrypted = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, encrypted, _associated(bound_to))
        except (InvalidTag, ValueError) as error:
            # ValueError: the nonce of a truncated secret is too short.
            raise ServiceUnavailable(
                "A stored secret cannot be unsealed: it is damaged, or it was sealed with another key."
            ) from error


def _associated(bound_to: str) -> bytes:
    return _VERSION + bound_to.encode()
