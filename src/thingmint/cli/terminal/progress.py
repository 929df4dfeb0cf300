"""Owns the progress display of long work: a bar with rate and expected end, or, in a log, a line every ten seconds."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import click

EVERY_SECONDS = 10.0


@dataclass(slots=True)
class WorkPace:
    """The progress of work and its rate since the start; ``clock`` returns seconds."""

    verb: str
    total: int
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    _began_with: int | None = None
    _began_at: float = field(init=False)

    def __post_init__(self) -> None:
        """Record the start time."""
        self._began_at = self.clock()

    def advance(self, done: int) -> None:
        """Record how much is done; work of earlier runs does not count for the rate."""
        if self._began_with is None:
            self._began_with, self._began_at = done, self.clock()
        self.done = done

    @property
    def rate(self) -> float:
        """The number of items a second in this run; 0 if not known."""
        passed = self.clock() - self._began_at
        return (self.done - (self._began_with or 0)) / passed if passed > 0 else 0.0

    def line(self, now: datetime) -> str:
        """Return a line of a log: how much, how fast, and when the end is expected."""
        rate = self.rate
        text = f"{now:%Y-%m-%dT%H:%M:%SZ} {self.verb}: {self.done} of {self.total}, {rate:.1f}/s"
        if rate <= 0 or self.done >= self.total:
            return text
        end = now + timedelta(seconds=(self.total - self.done) / rate)
        return f"{text}, expected end {end:%Y-%m-%dT%H:%M:%SZ}"


@contextlib.contextmanager
def shown_progress(verb: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show the progress of work on standard error; yield the function that receives how much is done."""
    if sys.stderr.isatty():
        with _bar(verb, total) as advance:
            yield advance
        return
    pace, ended = WorkPace(verb, total), threading.Event()

    def tell() -> None:
        while not ended.wait(EVERY_SECONDS):
            click.echo(pace.line(datetime.now(UTC)), err=True)

    teller = threading.Thread(target=tell, name="progress", daemon=True)
    teller.start()
    try:
        yield pace.advance
    finally:
        ended.set()
        teller.join()


@contextlib.contextmanager
def _bar(verb: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    pace = WorkPace(verb, total)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", style="cyan"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[end]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(verb, total=total, rate="", end="")

        def advance(done: int) -> None:
            pace.advance(done)
            left = timedelta(seconds=(total - done) / pace.rate) if pace.rate > 0 else None
            end = "" if left is None else f"until {datetime.now(UTC).astimezone() + left:%H:%M:%S}"
            progress.update(task, completed=done, rate=f"{pace.rate:.1f}/s", end=end)

        yield advance
