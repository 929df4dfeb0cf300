"""Owns the keys that tests of the command line share: RSA keys take long to make."""

import pytest
from tests.support.postgresql import (  # noqa: F401  fixtures are found by name
    postgresql_cluster,
    postgresql_server_url,
    postgresql_url,
)

from thingmint.issuance.keys import KeyPair, generate_key_pair


@pytest.fixture(scope="session")
def key_pairs() -> tuple[KeyPair, ...]:
    """Some key pairs, all different."""
    return tuple(generate_key_pair() for _ in range(6))
