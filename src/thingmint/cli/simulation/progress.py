"""Owns the progress display of a run: a bar for each phase with its rate and the number of failed devices."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

from thingmint.cli.simulation.measures import Measures

PHASES = {
    "begin": "Provisioning",
    "hold": "Holding",
    "renew": "Renewing",
    "come back": "Coming back",
    "remove": "Cleaning up",
}
"""The phases of a run, and their names in the display."""


@contextlib.contextmanager
def progress(count: int, measures: Measures) -> Iterator[Callable[[str], None]]:
    """Show the progress on a terminal, and nothing elsewhere; yield the function to call when a device ends a phase."""
    if not sys.stderr.isatty():
        yield lambda phase: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", style="cyan"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[failed]}", style="red"),
    )
    tasks: dict[str, TaskID] = {}
    lock = threading.Lock()
    with Progress(*columns, console=Console(stderr=True)) as shown:

        def advance(phase: str) -> None:
            # Several threads remove devices, and share the bar of that phase.
            with lock:
                if phase not in tasks:
                    tasks[phase] = shown.add_task(PHASES[phase], total=count, rate="", failed="")
            task = tasks[phase]
            failed = measures.errors.total()
            speed = shown.tasks[shown.task_ids.index(task)].speed
            shown.update(
                task,
                advance=1,
                # Devices stay connected for a fixed time, so the rate at which they end this phase is meaningless.
                rate="" if speed is None or phase == "hold" else f"{speed:.1f}/s",
                failed=f"{failed} failed" if failed else "",
            )

        yield advance
