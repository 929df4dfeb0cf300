"""Gives tests of the package a service, as a user without pytest would start it."""

from collections.abc import Iterator

import pytest

from thingmint.testing import Service, service


@pytest.fixture(scope="session")
def own_service() -> Iterator[Service]:
    """A service in test mode, of this test process."""
    with service() as running:
        yield running


@pytest.fixture(autouse=True)
def _right_clock(own_service: Service) -> Iterator[None]:
    """Set the clock right after each test."""
    yield
    if not own_service.clock.is_right:
        own_service.clock.set_right()
