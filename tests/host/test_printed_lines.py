"""What is printed while the log is JSON becomes lines of the log."""

import sys
import threading
from pprint import pprint

import pytest

from thingmint.host.printed_lines import PrintedLines, printed_to


def test_lines_are_handed_over_when_they_end(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    with printed_to(lines.append):
        print("one", end="")
        assert lines == []
        print(" line\r\nand another", flush=True)
        print()
        pprint({"a": ["x" * 60, "y" * 60]})  # noqa: T203  what is tested
        sys.stderr.write("an error\n")
        assert sys.stdout.writable()
    assert lines[:2] == ["one line", "and another"]
    assert lines[-1] == "an error"
    assert len(lines) == 5
    print("after")
    assert capsys.readouterr().out == "after\n"


def test_a_line_without_an_end_is_handed_over_in_pieces() -> None:
    lines: list[str] = []
    stream = PrintedLines(lines.append)
    assert stream.write("x" * 20_000) == 20_000
    assert [len(line) for line in lines] == [8192, 8192]


def test_threads_do_not_mix_their_lines() -> None:
    lines: list[str] = []
    stream = PrintedLines(lines.append)
    stream.write("half ")
    thread = threading.Thread(target=stream.write, args=("of another thread\n",))
    thread.start()
    thread.join()
    stream.write("of this one\n")
    assert lines == ["of another thread", "half of this one"]


def test_a_stream_that_was_given_up_meanwhile_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = sys.stderr
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", sys.stdout)
        with printed_to(lambda line: None):
            sys.stdout = None  # as the service does when its reader has gone
        assert sys.stdout is None
    assert sys.stderr is kept
