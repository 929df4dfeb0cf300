"""Owns the figures of `thingmint.testing`: a service until it is ready, an account, and the example's eight tests."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from bench.children import PROJECT
from bench.measurement import Bound, Measurement, Skipped, Target
from bench.plan import Run
from thingmint.testing import Service, service

STARTS, ACCOUNTS, RUNS = 5, 200, 3
EXAMPLE = PROJECT / "examples" / "pytest"
# Plug-ins that a user of the example does not have.
ALONE = ("-p", "no:asyncio", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:cov", "-p", "no:xdist")
SIDES = "one process of tests, one service on SQLite with its data on the disk"


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure the three figures, one after the other."""
    del run
    starts = [_seconds(_start) for _ in range(STARTS)]
    with service() as running:
        accounts = [_seconds(lambda: _account(running)) * 1000 for _ in range(ACCOUNTS)]
    examples = [_seconds(_example) for _ in range(RUNS)]
    return [
        _figure("testing-start", "a service until it has ended", starts, "s", 2.0, f"{STARTS} starts and ends"),
        _figure("testing-account", "a new account and its close", accounts, "ms", 20.0, f"{ACCOUNTS} accounts"),
        _figure("testing-example", "the example's eight tests", examples, "s", 15.0, f"{RUNS} runs of pytest"),
    ]


def _figure(name: str, title: str, rounds: list[float], unit: str, most: float, n: str) -> Measurement:
    target = Target(Bound.AT_MOST, most)
    return Measurement(name, title, statistics.median(rounds), unit, target, tuple(rounds), n, SIDES)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _start() -> None:
    with service():
        pass


def _account(running: Service) -> None:
    running.create_account().close()


def _example() -> None:
    subprocess.run([sys.executable, "-m", "pytest", *ALONE, "-q"], cwd=EXAMPLE, check=True, stdout=subprocess.DEVNULL)
