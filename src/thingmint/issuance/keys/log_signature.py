"""Owns the verification of the log's Ed25519 signatures. Independent of the format of checkpoints."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def is_signed(public_key: bytes, content: bytes, signature: bytes) -> bool:
    """Return whether the signature is a valid signature of the content by this Ed25519 key."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, content)
    except InvalidSignature:
        return False
    return True
