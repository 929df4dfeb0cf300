"""Owns metrics that every request counts in: plain numbers, which become Prometheus's samples when they are read.

Counting in `prometheus_client` takes a lock for each number, and several times as long. These belong to one thread, the
event loop's.
"""

import math
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class _Tally:
    """The durations of one label: how many in each bucket, and their sum."""

    __slots__ = ("counts", "created", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.total = 0.0
        self.created = time.time()


class Timings(Collector):
    """A histogram of seconds with at most one label, whose values come from a table."""

    def __init__(
        self, name: str, documentation: str, bounds: Sequence[float], registry: CollectorRegistry, *, label: str = ""
    ) -> None:
        """Take the upper bounds of the buckets; without a label, the only histogram is there from the start."""
        self._name = name
        self._documentation = documentation
        self._bounds = (*bounds, math.inf)
        self._labels = [label] if label else []
        self._tallies: dict[str, _Tally] = {} if label else {"": _Tally(len(self._bounds))}
        registry.register(self)

    def observe(self, seconds: float, label: str = "") -> None:
        """Count a duration."""
        tally = self._tallies.get(label)
        if tally is None:
            tally = self._tallies[label] = _Tally(len(self._bounds))
        tally.counts[bisect_left(self._bounds, seconds)] += 1
        tally.total += seconds

    def collect(self) -> Iterable[Metric]:
        """Return the histograms."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        names = [floatToGoString(bound) for bound in self._bounds]  # type: ignore[no-untyped-call]  # the library has no type for it
        for label, tally in tuple(self._tallies.items()):
            values = [label] if self._labels else []
            family.add_metric(values, list(zip(names, accumulate(tally.counts), strict=True)), tally.total)
            family.add_sample(f"{self._name}_created", dict(zip(self._labels, values, strict=True)), tally.created)
        return [family]


class Counts(Collector):
    """A counter with labels, whose values come from tables."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        # The number and the time of the first one.
        self._counts: dict[tuple[str, ...], list[float]] = {}
        registry.register(self)

    def count(self, *labels: str) -> None:
        """Count one."""
        counted = self._counts.get(labels)
        if counted is None:
            counted = self._counts[labels] = [0, time.time()]
        counted[0] += 1

    def collect(self) -> Iterable[Metric]:
        """Return the counters."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, (number, created) in tuple(self._counts.items()):
            family.add_metric(labels, number, created=created)
        return [family]
