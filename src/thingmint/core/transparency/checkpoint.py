"""Owns checkpoints of the log in the form of C2SP's tlog-checkpoint and signed-note. Computes no signatures.

Sources: https://c2sp.org/tlog-checkpoint, https://c2sp.org/signed-note
"""

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256

from thingmint.core.transparency.merkle import HASH_BYTES

PUBLIC_KEY_BYTES = 32
_KEY_ID_BYTES = 4
# The type of Ed25519 signatures in signed notes.
_ED25519 = b"\x01"
_MAX_NOTE_CHARACTERS = 100_000
_SIGNATURE = re.compile("— ([^\\s+]+) ([A-Za-z0-9+/=]+)")
_BODY = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/=]+)\n(?:[^\n]+\n)*")
_NAME = re.compile(r"[!-*,-~]{1,200}")


class CheckpointInvalid(ValueError):
    """A text is not a checkpoint, or one of another log. The message gives the reason."""


@dataclass(frozen=True, slots=True)
class TreeHead:
    """The size of the tree and its root hash at this size."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class LogKey:
    """The key that signs checkpoints: the log's origin, which is also the key's name, and the Ed25519 public key."""

    origin: str
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """The key's id in signature lines, 4 bytes."""
        named = self.origin.encode() + b"\n" + _ED25519 + self.public_key
        return sha256(named).digest()[:_KEY_ID_BYTES]

    @property
    def text(self) -> str:
        """The key in the form of tools for signed notes: name, id and key, separated by plus signs."""
        return f"{self.origin}+{self.key_id.hex()}+{_base64(_ED25519 + self.public_key)}"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A parsed checkpoint. ``signatures`` are those of the log's key, not verified yet."""

    head: TreeHead
    body: bytes
    signatures: tuple[bytes, ...]


def is_origin(name: str) -> bool:
    """Return whether the name is valid for a log: ASCII without spaces and plus signs, at most 200 characters."""
    return _NAME.fullmatch(name) is not None


def key_of_text(text: str) -> LogKey:
    """Return the key of the text; raise CheckpointInvalid if it is not an Ed25519 key."""
    parts = text.strip().split("+", 2)
    if len(parts) == 3 and is_origin(parts[0]):
        encoded = _decoded(parts[2])
        key = LogKey(parts[0], encoded[1:])
        if encoded[:1] == _ED25519 and len(key.public_key) == PUBLIC_KEY_BYTES and key.key_id.hex() == parts[1]:
            return key
    raise CheckpointInvalid("the key of the log is not the text of an Ed25519 key for signed notes")


def body_of(origin: str, head: TreeHead) -> bytes:
    """Return the part of the checkpoint that is signed."""
    return f"{origin}\n{head.size}\n{_base64(head.root)}\n".encode()


def note_of(key: LogKey, body: bytes, signature: bytes) -> str:
    """Return the signed note of a text."""
    return f"{body.decode()}\n— {key.origin} {_base64(key.key_id + signature)}\n"


def origin_of(note: str) -> str:
    """Return the origin that the first line of a checkpoint names."""
    return note.partition("\n")[0]


def read_checkpoint(note: str, key: LogKey) -> SignedCheckpoint:
    """Return the checkpoint of the note, its signatures by the key unverified.

    Raises CheckpointInvalid if the text is not a checkpoint, has another origin, or is not signed by the key.
    """
    text, separator, lines = note.rpartition("\n\n")
    found = _BODY.fullmatch(text + "\n") if separator and len(note) <= _MAX_NOTE_CHARACTERS else None
    if found is None:
        raise CheckpointInvalid("the text is not a checkpoint of a transparency log")
    origin, size, encoded_root = found.groups()
    root = _decoded(encoded_root)
    if len(root) != HASH_BYTES:
        raise CheckpointInvalid("the root in the checkpoint is not the hash of a tree")
    if origin != key.origin:
        raise CheckpointInvalid(f"the checkpoint is of the log {origin}, this log is {key.origin}")
    signatures = tuple(_signatures(lines, key))
    if not signatures:
        raise CheckpointInvalid("the checkpoint is not signed by the key of the log")
    return SignedCheckpoint(TreeHead(int(size), root), (text + "\n").encode(), signatures)


def _signatures(lines: str, key: LogKey) -> list[bytes]:
    matches = [_SIGNATURE.fullmatch(line) for line in lines.removesuffix("\n").split("\n")]
    named = [_decoded(found[2]) for found in matches if found is not None and found[1] == key.origin]
    return [each[_KEY_ID_BYTES:] for each in named if each[:_KEY_ID_BYTES] == key.key_id]


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decoded(text: str) -> bytes:
    """Return the bytes, or empty bytes if the text is not Base64. No valid value is empty."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
