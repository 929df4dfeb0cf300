"""Where the service's own log lines go, and in which form."""

import io
import json
import logging
import subprocess
import sys

import pytest

from thingmint.host.service_log import service_log
from thingmint.host.telemetry import configure_logging

KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----"


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_lines_below_the_level_are_not_written(stream: io.StringIO) -> None:
    configure_logging("json", "warning", stream)
    service_log.debug("one")
    service_log.info("two")
    service_log.warning("three", port=1)
    service_log.error("four")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [("three", "warning"), ("four", "error")]
    assert lines[0]["port"] == 1


def test_every_level_is_written_that_is_asked_for(stream: io.StringIO) -> None:
    configure_logging("json", "debug", stream, facts={"worker": 2})
    service_log.debug("one")
    service_log.info("two")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["worker"]) for line in lines] == [("one", 2), ("two", 2)]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_libraries_log_in_the_same_form(stream: io.StringIO, log_format: str) -> None:
    configure_logging(log_format, "info", stream, facts={"worker": 2})
    try:
        json.loads("{}")["gone"]
    except KeyError:
        logging.getLogger("a.library").warning("it %s", "failed", exc_info=True, stack_info=True)
    logging.getLogger("a.library").debug("of no use")
    written = stream.getvalue()
    assert "it failed" in written
    assert "KeyError: 'gone'" in written
    assert "of no use" not in written
    if log_format == "json":
        (line,) = map(json.loads, written.splitlines())
        assert (line["event"], line["level"], line["worker"]) == ("it failed", "warning", 2)
        assert line["exception"].endswith("KeyError: 'gone'")
        assert "test_service_log" in line["stack_info"]


def test_text_for_people_has_no_secrets_and_no_controls(stream: io.StringIO) -> None:
    configure_logging("console", "info", stream)
    service_log.info("request", session_token="abc", note=KEY, topic="a\nb\x1b[2J", absent=None)
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    assert "abc" not in line
    assert "MC4CAQ" not in line
    assert "absent" not in line
    assert line.count("[masked]") == 2
    assert "a\\nb\\x1b[2J" in line


def test_a_stream_that_takes_nothing_loses_the_line_and_nothing_else(stream: io.StringIO) -> None:
    configure_logging("json", "info", stream)
    stream.close()
    service_log.info("lost")


def test_without_a_configuration_warnings_go_to_pythons_log(caplog: pytest.LogCaptureFixture) -> None:
    service_log.info("not of interest")
    service_log.warning("the port is taken", port=8883)
    assert caplog.messages == ["warning: the port is taken port=8883"]


def test_the_service_starts_without_the_library_for_text() -> None:
    program = "import sys, thingmint.cli.serve; print([name for name in ('structlog', 'rich') if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
