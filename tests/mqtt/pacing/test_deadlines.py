"""Connections end when their client has been silent for too long, or their certificate has ended; no sooner."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from thingmint.mqtt.pacing.deadlines import Deadlines

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FOR_EVER = datetime.max.replace(tzinfo=UTC)


def never() -> bool:
    """Return whether the time slice is over: it is not."""
    return False


@dataclass(eq=False)
class Watched:
    """A connection whose client may be silent for ten seconds."""

    heard_at: float = 0.0
    valid_until: datetime = FOR_EVER
    is_over: bool = False
    looks: list[float] = field(default_factory=list)

    @property
    def silent_until(self) -> float:
        return self.heard_at + 10.0

    def enforce_keep_alive(self, now: float) -> None:
        self.looks.append(now)
        self.is_over = self.is_over or now > self.silent_until

    def enforce_validity(self, now: datetime) -> None:
        self.is_over = self.is_over or now > self.valid_until


def test_a_silent_client_is_looked_at_when_its_time_is_over_and_not_before() -> None:
    deadlines, silent = Deadlines(), Watched()
    deadlines.watch(silent)
    for now in range(20):
        deadlines.advance(float(now), NOON, [], never)
    assert silent.is_over
    assert silent.looks == [10.0, 11.0]


def test_a_client_that_was_heard_is_looked_at_once_in_its_time() -> None:
    deadlines, heard = Deadlines(), Watched()
    deadlines.watch(heard)
    for now in range(100):
        heard.heard_at = float(now)
        deadlines.advance(float(now), NOON, [heard], never)
    assert not heard.is_over
    assert len(heard.looks) == 9


def test_a_connection_ends_with_its_certificate_however_the_clock_gets_there() -> None:
    deadlines, ending = Deadlines(), Watched(valid_until=NOON)
    deadlines.watch(ending)
    deadlines.advance(1.0, NOON, [ending], never)
    assert not ending.is_over
    deadlines.advance(2.0, NOON - timedelta(hours=1), [ending], never)
    assert not ending.is_over
    deadlines.advance(3.0, NOON + timedelta(days=1), [ending], never)
    assert ending.is_over


def test_connections_that_have_ended_are_forgotten_long_before_their_time() -> None:
    deadlines, lasting = Deadlines(), Watched()
    deadlines.watch(lasting)
    for _ in range(3000):
        deadlines.watch(Watched(is_over=True))
    deadlines.advance(1.0, NOON, [lasting], never)
    assert len(deadlines._silence) == len(deadlines._validity) == 1
    deadlines.advance(11.0, NOON, [lasting], never)
    assert lasting.is_over


@pytest.mark.parametrize("valid_until", [NOON, FOR_EVER], ids=["with their certificates", "by their silence"])
def test_connections_whose_time_passes_together_end_in_several_slices(valid_until: datetime) -> None:
    deadlines, watched = Deadlines(), [Watched(valid_until=valid_until) for _ in range(5)]
    for each in watched:
        deadlines.watch(each)
    later, slices = NOON + timedelta(days=1), 0
    while not deadlines.advance(11.0, later, watched, lambda: True):
        slices += 1
        assert sum(each.is_over for each in watched) == min(slices, 5)
    assert all(each.is_over for each in watched)
