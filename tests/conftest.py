"""Makes a test run the same whoever started it, and however busy the machine is."""

import signal

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings
from tests.support.soak import examples

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


def pytest_configure(config: pytest.Config) -> None:
    """Hear Ctrl-C again: a shell's background jobs ignore it, and so would every process that the tests interrupt."""
    del config
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure no coverage where examples are drawn: what is covered must not depend on luck, and measuring is slow."""
    for item in items:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker("no_cover")
