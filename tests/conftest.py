"""Makes a test run the same whoever started it, and however busy the machine is."""

import gc
import itertools
import logging
import os
import signal
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings
from tests.support.certificates.ifma import faulty_package  # noqa: F401  fixtures are found by name
from tests.support.certificates.passphrases import FEW_ROUNDS, sealed_with
from tests.support.databases.postgresql import (  # noqa: F401  fixtures are found by name
    _administration,
    _migrated_template,
    _shared_cluster,
    migrated_postgresql_url,
    postgresql_cluster,
    postgresql_server_url,
    postgresql_url,
    stoppable_postgresql_url,
)
from tests.support.machine.quick_folder import quick_folder
from tests.support.machine.soak import examples
from tests.support.services.forked import end_fork_servers

from thingmint.host.service_log import service_log

# How long an example takes tells how busy the machine is, and nothing of the code: the loops around the examples are
# bounded by their number. Fixtures that live as long as a test are meant to be shared by its examples.
settings.register_profile(
    "thingmint",
    max_examples=examples(25, 100),
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
        HealthCheck.function_scoped_fixture,
    ],
)
settings.load_profile("thingmint")


_LOGGERS = (logging.getLogger(), logging.getLogger("thingmint"))
_LEVELS = tuple(logger.level for logger in _LOGGERS)


@pytest.fixture(autouse=True)
def _logs_as_at_the_start() -> None:
    """Undo what commands that tests, or fixtures of their modules, run in this process set for their own log."""
    service_log.use(None)
    for logger, level in zip(_LOGGERS, _LEVELS, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def _cheap_passphrases() -> Iterator[None]:
    """Seal keys with few rounds. How many there are in earnest is tested where keys are."""
    with sealed_with(FEW_ROUNDS):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave modules and collected tests out of garbage collections, which took a sixth of the time of fast tests.

    While they are collected there is no garbage, but a fifth of the time was spent looking for it.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    """Keep temporary files in memory; hear Ctrl-C again; in CI, name failures at once.

    A shell's background jobs ignore it, and so would every process that the tests interrupt.
    """
    folder = quick_folder()
    if folder is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", folder)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.get("THINGMINT_REQUIRE_ALL"):
        config.pluginmanager.register(_FailuresAtOnce(config))


class _FailuresAtOnce:
    """Names each failed test when it has failed: a run that is ended from outside prints no summary."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            reason = getattr(report.longrepr, "reprcrash", None)
            terminal.write_line(f"\n{report.nodeid} failed ({report.when}): {reason or report.longreprtext[-500:]}")


def pytest_unconfigure() -> None:
    """End the processes that have started others."""
    end_fork_servers()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure no coverage where examples are drawn: what is covered must not depend on luck, and measuring is slow.

    Begin with long tests.
    """
    for item in items:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker("no_cover")
    items[:] = _long_ones_first(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def _long_ones_first(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Return the tests in an order in which each worker begins with long ones.

    At first, xdist divides them evenly in their order. At the end, a worker would run the last of them alone.
    """
    modules = [list(group) for _, group in itertools.groupby(items, key=lambda item: item.path)]
    long = [tests for tests in modules if tests[0].get_closest_marker("long")]
    others = [item for tests in modules if tests not in long for item in tests]
    ordered = []
    for number in range(workers):
        ordered += [item for tests in long[number::workers] for item in tests]
        ordered += others[number * len(others) // workers : (number + 1) * len(others) // workers]
    return ordered
