"""Owns the service's own log lines: each is an event with fields. `telemetry.configure_logging` sets their output.

Nothing is imported for the form of the lines, because every start loads this module. A library for log lines on
terminals (structlog) is loaded only for the text format: it loads others, which were a tenth of a start.
"""

import logging
from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple, TextIO, TypeAlias

Render: TypeAlias = Callable[[str, MutableMapping[str, Any]], str]
"""Returns the line of an event, given its level and its fields; the event itself is the field ``event``."""

LOGGER = "thingmint"


class SteadyLogger:
    """Writes log lines. If the reader has gone or the disk is full, the line is lost, and the request continues."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        """Write one line."""
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return


class LogOutput(NamedTuple):
    """Where lines go, in which form, and the least level that is written, as a number of Python's logging."""

    least: int
    render: Render
    write: Callable[[str], None]


def _in_words(level: str, event: MutableMapping[str, Any]) -> str:
    text = str(event.pop("event"))
    return " ".join((f"{level}: {text}", *(f"{name}={value!r}" for name, value in event.items())))


def _write_to_stderr(line: str) -> None:
    logging.getLogger(LOGGER).log(logging.WARNING, "%s", line)


# In a program that has not configured its log, warnings and errors go where Python's logging puts them.
_UNCONFIGURED = LogOutput(logging.WARNING, _in_words, _write_to_stderr)


class ServiceLog:
    """Writes the lines of one process. Its methods neither raise nor block for long."""

    def __init__(self) -> None:
        self._output = _UNCONFIGURED

    def use(self, output: LogOutput | None) -> LogOutput:
        """Write lines there from now on, or as at the start for None; return the output until now."""
        before, self._output = self._output, _UNCONFIGURED if output is None else output
        return before

    def debug(self, event: str, **fields: object) -> None:
        """Write a line for developers."""
        if self._output.least <= logging.DEBUG:
            self._write("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Write a line about a normal event."""
        if self._output.least <= logging.INFO:
            self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Write a line about an event that an operator should check."""
        if self._output.least <= logging.WARNING:
            self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Write a line about a fault of the service."""
        if self._output.least <= logging.ERROR:
            self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        fields["event"] = event
        output = self._output
        output.write(output.render(level, fields))


# One for the process, as the loggers of Python's logging are.
service_log = ServiceLog()
