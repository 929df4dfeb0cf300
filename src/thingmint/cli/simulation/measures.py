"""Owns the measurements: the durations of steps, and the reasons of failed ones. Independent of devices."""

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from time import perf_counter

from msgspec import Struct


class Step(StrEnum):
    """What a device does, in this order."""

    CONNECT = "connect"
    KEYS = "keys"
    CSR = "csr"
    REGISTER = "register"
    RECONNECT = "reconnect"
    PROVISIONED = "provisioned"
    SUBSCRIBE = "subscribe"
    PUBACK = "puback"
    ROUND_TRIP = "round trip"
    HOLD = "hold"
    RENEW = "renew"
    BACK = "back"
    STORM_PUBACK = "puback, in the storm"
    DELIVERY = "delivery"
    POLICY_CHANGE = "policy change"
    CUT_OFF = "cut off"
    RETURN = "return"
    # Steps of a storm's bystander, before and during the storm.
    QUIET_API = "bystander: API, before"
    QUIET_MQTT = "bystander: MQTT, before"
    API = "bystander: API"
    MQTT = "bystander: MQTT"


class Latency(Struct, frozen=True):
    """How long a step took, in milliseconds."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float


class Measures:
    """Records the steps of all devices of a run."""

    def __init__(self) -> None:
        self.seconds: dict[Step, array[float]] = {}
        """How long each step took, each time that it succeeded."""
        self.errors: Counter[tuple[Step, str]] = Counter()
        self.throttled = 0
        """How often a device was asked to retry later, and did."""
        self.renewals: Counter[tuple[str, str]] = Counter()
        """How many certificates were renewed, by the names of the old and of the new issuer."""
        self.attempts = 0
        """How often devices tried to reconnect in a storm."""

    def record(self, step: Step, seconds: float) -> None:
        """Count a step that succeeded."""
        self.seconds.setdefault(step, array("d")).append(seconds)

    @contextmanager
    def timing(self, step: Step) -> Iterator[None]:
        """Record the duration of the block, unless it raises."""
        began = perf_counter()
        yield
        self.record(step, perf_counter() - began)

    def fail(self, step: Step, kind: str) -> None:
        """Count a step that failed."""
        self.errors[step, kind] += 1

    def add(self, other: "Measures") -> None:
        """Add the steps and failures of another object."""
        for step, seconds in other.seconds.items():
            self.seconds.setdefault(step, array("d")).extend(seconds)
        self.errors.update(other.errors)

    def count(self, step: Step) -> int:
        """Return how often the step has succeeded."""
        return len(self.seconds.get(step, ()))

    def latencies(self) -> Mapping[Step, Latency]:
        """Return the latency of each step, in the order of steps."""
        return {step: _latency(self.seconds[step]) for step in Step if step in self.seconds}


def _latency(seconds: Sequence[float]) -> Latency:
    ordered = sorted(seconds)
    p50, p95, p99 = (_percentile(ordered, share) * 1000 for share in (0.50, 0.95, 0.99))
    return Latency(len(ordered), p50, p95, p99, ordered[-1] * 1000)


def _percentile(ordered: Sequence[float], share: float) -> float:
    # Nearest rank, so the percentile is a time that was measured.
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
