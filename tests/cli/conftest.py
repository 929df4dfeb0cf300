"""Owns the keys that tests of the command line share: RSA keys take long to make."""

import pytest

from thingmint.issuance.keys.key_pairs import KeyPair, generate_key_pair


@pytest.fixture(scope="session")
def key_pairs() -> tuple[KeyPair, ...]:
    """Some key pairs, all different."""
    return tuple(generate_key_pair() for _ in range(6))
