"""Owns the identity of the log: its origin, the key that signs its checkpoints, and the secret of its salts.

Both secrets are created with the log and stored in the database, sealed like the secrets of access keys. So all nodes
of a service sign with one key, and the database alone is not enough to sign.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.transparency.checkpoint import LogKey, TreeHead, body_of, note_of
from thingmint.core.transparency.leaf import SECRET_BYTES
from thingmint.core.transparency.leaf_hashes import LeafHashes
from thingmint.core.transparency.merkle import EMPTY_ROOT
from thingmint.records.log.state import LogState, begin_log, log_state
from thingmint.registration.kernel.ports import SecretSealer, Store

_SEED_BYTES = 32
_SEALED_AS = "the log's key and the secret of its salts"


class NoteSigner(Protocol):
    """Signs with the log's private key."""

    @property
    def public_key(self) -> bytes:
        """The Ed25519 public key, 32 bytes."""
        ...

    def sign(self, content: bytes) -> bytes:
        """Return the signature, 64 bytes. Does not block."""
        ...


SignerOf = Callable[[bytes], NoteSigner]
"""Returns the signer of a private key of 32 bytes."""


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """The log's key and its secrets."""

    key: LogKey
    signer: NoteSigner = field(repr=False)
    salt_secret: bytes = field(repr=False)
    leaf_hashes: LeafHashes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "leaf_hashes", LeafHashes(self.salt_secret))

    def checkpoint(self, head: TreeHead) -> str:
        """Return the signed checkpoint of a tree."""
        body = body_of(self.key.origin, head)
        return note_of(self.key, body, self.signer.sign(body))


async def open_log(
    store: Store, sealer: SecretSealer, signer_of: SignerOf, origin: str, random_bytes: Callable[[int], bytes]
) -> LogIdentity:
    """Return the identity of the store's log. If there is no log, create one with this origin.

    Raises ServiceUnavailable if the store cannot be used, or its log was sealed with another key.
    """
    state = await store.read(log_state)
    if state is None:
        secrets = random_bytes(_SEED_BYTES + SECRET_BYTES)
        begun = _identity_of(secrets, origin, signer_of)
        sealed = sealer.seal(secrets, _SEALED_AS)
        checkpoint = begun.checkpoint(TreeHead(0, EMPTY_ROOT))
        await store.write(lambda: begin_log(begun.key, sealed, checkpoint))
        state = await store.read(log_state)
        assert state is not None
    return unsealed(state, sealer, signer_of)


def unsealed(state: LogState, sealer: SecretSealer, signer_of: SignerOf) -> LogIdentity:
    """Return the identity of a log; raise ServiceUnavailable if it was sealed with another key."""
    identity = _identity_of(sealer.unseal(state.sealed_secret, _SEALED_AS), state.key.origin, signer_of)
    if identity.key != state.key:
        raise ServiceUnavailable("The public key of the log in the database is not that of its private key.")
    return identity


def successor(
    identity: LogIdentity, sealer: SecretSealer, signer_of: SignerOf, origin: str, random_bytes: Callable[[int], bytes]
) -> tuple[LogIdentity, bytes]:
    """Return an identity with another name and key for the same leaves, and the sealed secrets."""
    secrets = random_bytes(_SEED_BYTES) + identity.salt_secret
    return _identity_of(secrets, origin, signer_of), sealer.seal(secrets, _SEALED_AS)


def _identity_of(secrets: bytes, origin: str, signer_of: SignerOf) -> LogIdentity:
    signer = signer_of(secrets[:_SEED_BYTES])
    return LogIdentity(LogKey(origin, signer.public_key), signer, secrets[_SEED_BYTES:])
