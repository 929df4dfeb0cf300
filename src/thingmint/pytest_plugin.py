"""The pytest plug-in: owns the fixtures and their life; what they give is in `thingmint.testing`.

Each test process has one service of its own, started when a test first asks for it: also each worker of pytest-xdist,
because a test that moves the clock must not move that of another worker's tests. pytest loads this module at every
start, also where the packages of the extra are missing, so it imports them when a fixture is asked for.
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest


class Running:
    """The service of this process, if one was started."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.service: Any = None

    def get(self) -> Any:
        """Return the service, started where none runs; end the test run where packages are missing."""
        if self.service is None:
            try:
                from thingmint.testing import service
            except ImportError as error:
                pytest.exit(f"{error.name} is missing: install thingmint[pytest]", pytest.ExitCode.USAGE_ERROR)
            self.service = self.stack.enter_context(service())
        return self.service


_RUNNING = pytest.StashKey[Running]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin without a service."""
    config.stash[_RUNNING] = Running()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the service."""
    if _RUNNING in config.stash:
        config.stash[_RUNNING].stack.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Set the clock right after a test that moved it."""
    try:
        return (yield)
    finally:
        running = item.config.stash[_RUNNING].service
        if running is not None and not running.clock.is_right:
            running.clock.set_right()


@pytest.fixture(scope="session")
def thingmint(pytestconfig: pytest.Config) -> Any:
    """A `thingmint.testing.Service` in test mode, one for each test process."""
    return pytestconfig.stash[_RUNNING].get()


@pytest.fixture
def thingmint_account(thingmint: Any) -> Iterator[Any]:
    """A new `thingmint.testing.Account`: its clients, variables, devices, claims and other callers."""
    account = thingmint.create_account()
    yield account
    account.close()


@pytest.fixture
def thingmint_environment(thingmint_account: Any) -> Iterator[Any]:
    """The same account, with its variables set in this process for code that makes its own clients."""
    with thingmint_account.in_environment():
        yield thingmint_account
