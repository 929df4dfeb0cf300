"""Owns the text of a proof that a leaf is in the log (c2sp.org/tlog-proof). Computes no hashes."""

import base64
from collections.abc import Sequence

_HEADING = "c2sp.org/tlog-proof@v1"


def proof_text(leaf: bytes, index: int, hashes: Sequence[bytes], checkpoint: str) -> str:
    """Return the proof in the form of C2SP's tlog-proof. Its extra data is the leaf."""
    lines = [base64.b64encode(each).decode() for each in hashes]
    return "\n".join([_HEADING, f"extra {base64.b64encode(leaf).decode()}", f"index {index}", *lines, "", checkpoint])
