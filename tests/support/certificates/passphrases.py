"""Owns how long it takes in tests to make a key of a passphrase: next to nothing, except where this is the subject."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from thingmint.issuance.keys import private_keys

ROUNDS_IN_EARNEST = private_keys._KDF_ROUNDS
"""What the source says; `tests/conftest.py` imports this before it sets another number."""
FEW_ROUNDS = 1000


@contextmanager
def sealed_with(rounds: int) -> Iterator[None]:
    """Let keys that are sealed meanwhile, in this process, need so many rounds to be opened."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(private_keys, "_KDF_ROUNDS", rounds)
        yield
