"""Owns the failure of a device: records the step and the reason, and ends the device, but not the run."""

import contextlib
from collections.abc import Iterator
from ssl import SSLError

from thingmint.cli.simulation.clients.client import BrokerRefused, ConnectionLost
from thingmint.cli.simulation.measures import Measures, Step
from thingmint.core.error_text import in_words


class _Failed(Exception):
    """The device has failed, and the failure is recorded."""


class Failing:
    """A participant that may fail once, and does nothing after that."""

    def __init__(self, measures: Measures) -> None:
        self.has_failed = False
        self._measures = measures

    def fail(self, step: Step, kind: str) -> None:
        """Count a failure of this step."""
        self.has_failed = True
        self._measures.fail(step, kind)

    @contextlib.contextmanager
    def lasting(self) -> Iterator[None]:
        """If a step inside fails, end the device, but not the run."""
        with contextlib.suppress(_Failed):
            yield

    @contextlib.contextmanager
    def step(self, step: Step) -> Iterator[None]:
        """Count an error inside the block as a failure of this step, and leave the block of `lasting`."""
        try:
            yield
        except (BrokerRefused, ConnectionLost) as error:
            raise self._failed(step, in_words(error)) from error
        except TimeoutError as error:
            raise self._failed(step, "no answer in time") from error
        except SSLError as error:
            raise self._failed(step, f"TLS: {error.reason or type(error).__name__}") from error
        except OSError as error:
            raise self._failed(step, type(error).__name__) from error
        except ValueError as error:  # msgspec's errors are some
            raise self._failed(step, "an answer that is none") from error

    def _failed(self, step: Step, kind: str) -> _Failed:
        self.fail(step, kind)
        return _Failed(kind)
