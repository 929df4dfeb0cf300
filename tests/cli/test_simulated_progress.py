"""What is shown of a simulated fleet while it lives."""

import contextlib
import io
import sys
import threading

import pytest
import rich.progress

from thingmint.cli.simulation.measures import Measures
from thingmint.cli.simulation.progress import progress

TOGETHER_SECONDS = 0.5


class Terminal(io.StringIO):
    """Standard error on a terminal."""

    def isatty(self) -> bool:
        return True


def test_nothing_is_shown_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(2, Measures()) as advance:
        advance("begin")
    assert capsys.readouterr().err == ""


def test_a_phase_that_several_threads_begin_has_one_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[str] = []
    both_are_here = threading.Barrier(2)
    add_task = rich.progress.Progress.add_task

    def add_when_both_are_here(shown: rich.progress.Progress, name: str, **options: object) -> object:
        added.append(name)
        with contextlib.suppress(threading.BrokenBarrierError):
            both_are_here.wait(TOGETHER_SECONDS)
        return add_task(shown, name, **options)  # type: ignore[arg-type] # passed through unchanged

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(rich.progress.Progress, "add_task", add_when_both_are_here)
    with progress(2, Measures()) as advance:
        threads = [threading.Thread(target=advance, args=("remove",)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert added == ["Cleaning up"]
    assert "2/2" in terminal.getvalue()


@pytest.mark.parametrize(("phase", "has_rate"), [("begin", True), ("hold", False)])
def test_the_time_that_devices_are_held_for_has_no_rate(
    monkeypatch: pytest.MonkeyPatch, phase: str, has_rate: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress(3, Measures()) as advance:
        for _ in range(3):
            advance(phase)
    assert "3/3" in terminal.getvalue()
    assert ("/s" in terminal.getvalue()) is has_rate
