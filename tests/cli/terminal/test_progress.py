"""What is told of long work: how much, how fast, and when it will end."""

import sys
from datetime import UTC, datetime

import pytest

from thingmint.cli.terminal import progress
from thingmint.cli.terminal.progress import WorkPace, shown_progress

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_rate_and_end_are_those_of_this_run() -> None:
    seconds = 100.0
    pace = WorkPace("issuing", 1000, lambda: seconds)
    assert pace.line(NOW) == "2026-01-02T03:04:05Z issuing: 0 of 1000, 0.0/s"
    pace.advance(400)
    seconds = 110.0
    pace.advance(500)
    assert pace.line(NOW) == "2026-01-02T03:04:05Z issuing: 500 of 1000, 10.0/s, expected end 2026-01-02T03:04:55Z"
    pace.advance(1000)
    assert pace.line(NOW) == "2026-01-02T03:04:05Z issuing: 1000 of 1000, 60.0/s"


def test_lines_are_written_at_intervals_without_a_terminal(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert progress.EVERY_SECONDS == 10.0
    told: list[str] = []
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.001)
    with shown_progress("issuing", 3) as advance:
        advance(1)
        while not told:
            told = capfd.readouterr().err.splitlines()
    assert told[0].partition(" ")[2].startswith("issuing: ")


def test_a_terminal_gets_a_bar_with_rate_and_end(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    with shown_progress("issuing", 3) as advance:
        advance(1)
        advance(3)
    shown = capfd.readouterr().err
    assert "issuing" in shown
    assert "3/3" in shown
    assert "/s" in shown
