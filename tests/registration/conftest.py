"""A registry of its own for each test."""

import pytest
from tests.support.registration.registry import Registry


@pytest.fixture
def registry() -> Registry:
    return Registry()
