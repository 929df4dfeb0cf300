"""Owns what a measured figure is, how rounds become one value and when a target is met; measures nothing itself."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Bound(StrEnum):
    """On which side of its target a value must be."""

    AT_LEAST = ">="
    AT_MOST = "<="


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is to reach."""

    bound: Bound
    value: float

    def met_by(self, value: float) -> bool:
        """Say whether the value reaches the target."""
        return value >= self.value if self.bound is Bound.AT_LEAST else value <= self.value


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure: its value, how it spread over the rounds, what it is made of and what each side did."""

    figure: str
    title: str
    value: float
    unit: str
    target: Target
    rounds: tuple[float, ...]
    n: str
    sides: str
    parts: dict[str, float] = field(default_factory=dict)
    foreign_share: float = 0.0

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.target.met_by(self.value)

    @property
    def spread(self) -> tuple[float, float]:
        """The lower and the upper quartile over the rounds."""
        return quartiles(self.rounds)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A figure that could not be measured here, and why."""

    figure: str
    title: str
    reason: str


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the lower and the upper quartile; of fewer than two values, their extremes."""
    if len(values) < 2:
        return min(values), max(values)
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper


def ratios(ours: Sequence[float], reference: Sequence[float]) -> tuple[float, ...]:
    """Return the ratio of each round, both sides of which ran one right after the other."""
    return tuple(one / other for one, other in zip(ours, reference, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which the share of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
