"""The metrics of requests are written as the library writes its own."""

import re
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from thingmint.host.tallies import Counts, Timings

BOUNDS = (0.00005, 0.1, 1.0, 2.5)
SECONDS = (0.1, 0.00001, 0.25, 2.5, 7.0)


def written(fill: Callable[[CollectorRegistry], None]) -> str:
    registry = CollectorRegistry()
    fill(registry)
    return re.sub(r"(_created\S*) \S+", r"\1", generate_latest(registry).decode())


def test_counts_are_written_like_a_counter() -> None:
    def ours(registry: CollectorRegistry) -> None:
        counts = Counts("thingmint_requests", "Requests.", ("operation", "error"), registry)
        for labels in (("A", ""), ("A", "Throttled"), ("A", "")):
            counts.count(*labels)

    def theirs(registry: CollectorRegistry) -> None:
        counter = Counter("thingmint_requests", "Requests.", ("operation", "error"), registry=registry)
        for labels in (("A", ""), ("A", "Throttled"), ("A", "")):
            counter.labels(*labels).inc()

    assert written(ours) == written(theirs)


@pytest.mark.parametrize("label", ["", "kind"])
def test_timings_are_written_like_a_histogram(label: str) -> None:
    def ours(registry: CollectorRegistry) -> None:
        timings = Timings("thingmint_seconds", "Time.", BOUNDS, registry, label=label)
        for seconds in SECONDS:
            timings.observe(seconds, label and "read")

    def theirs(registry: CollectorRegistry) -> None:
        names = (label,) if label else ()
        histogram = Histogram("thingmint_seconds", "Time.", names, buckets=BOUNDS, registry=registry)
        for seconds in SECONDS:
            (histogram.labels("read") if label else histogram).observe(seconds)

    assert written(ours) == written(theirs)
    assert written(lambda registry: _empty(registry, label)).count("thingmint_seconds_bucket") == (0 if label else 5)


def _empty(registry: CollectorRegistry, label: str) -> None:
    Timings("thingmint_seconds", "Time.", BOUNDS, registry, label=label)
