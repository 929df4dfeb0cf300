"""A store in memory, a registration authority on it, and a registry: new ones for each test."""

import pytest
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import new_authority
from tests.support.registration.registry import Registry

from thingmint.registration.kernel.authority import RegistrationAuthority


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def authority(store: MemoryStore) -> RegistrationAuthority:
    return new_authority(store)


@pytest.fixture
def registry() -> Registry:
    return Registry()
