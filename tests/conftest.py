"""Makes a test run the same whoever started it."""

import signal

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Hear Ctrl-C again: a shell's background jobs ignore it, and so would every process that the tests interrupt."""
    del config
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
