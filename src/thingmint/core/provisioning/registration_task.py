"""Owns what a bulk registration is: its states, its progress through a file, and what its reports say of each line.

A line is one device's parameters in JSON. Progress is counted in lines whose outcome is known; where the file is, and
who reads it, is for others.
"""

import codecs
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from thingmint.core.errors import InvalidRequest, ThingmintError
from thingmint.core.identifiers import Scope
from thingmint.core.strict_json import JSONNumber, Malformed, Members, Value, read_json

# AWS IoT's quotas: the length of a line, and how long a task is kept.
MAX_LINE_BYTES = 262_144
KEPT_FOR = timedelta(days=30)
_MAX_MESSAGE = 2048
_LONG_LINE = 8_192
# Deep enough for every mistake to be named where it is.
_MAX_DEPTH = 64
_OTHER_ENCODINGS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_KINDS: tuple[tuple[type, str], ...] = (
    (str, "a string"),
    (JSONNumber, "a number"),
    (bool, "true or false"),
    (tuple, "a list"),
    (Members, "an object"),
    (type(None), "null"),
)


class TaskBroken(ThingmintError):
    """A task cannot go on: its input is gone or was changed, or its reports cannot be written."""


class TaskStatus(StrEnum):
    """The statuses of AWS IoT's service model."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    CANCELLING = "Cancelling"


RUNNING = frozenset({TaskStatus.IN_PROGRESS, TaskStatus.CANCELLING})


class ReportType(StrEnum):
    """The two reports of a task."""

    ERRORS = "ERRORS"
    RESULTS = "RESULTS"


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file of parameters as it was when the task began; the stamp changes when somebody writes to it."""

    bucket: str
    key: str
    size: int
    stamp: int


@dataclass(frozen=True, slots=True)
class InputLine:
    """One line of a file: its number from one, where it begins and ends; without text if it is too long."""

    number: int
    offset: int
    end: int
    text: bytes | None

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing on the line, and so nothing to register."""
        return self.text is not None and not self.text.strip()


@dataclass(frozen=True, slots=True)
class LineOutcome:
    """What came of one line, and the line of the report that tells of it."""

    line: int
    succeeded: bool
    report: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a task is: bytes and lines of the input behind it, outcomes counted, and the reports' sizes in bytes."""

    offset: int = 0
    lines: int = 0
    successes: int = 0
    failures: int = 0
    results_size: int = 0
    errors_size: int = 0


@dataclass(frozen=True, slots=True)
class RegistrationTask:
    """A bulk registration; ``principal_arn`` is who began it, and ``progress`` what its files and outcomes agree on."""

    scope: Scope
    task_id: str
    template_body: str
    input: InputFile
    role_arn: str
    principal_arn: str
    status: TaskStatus
    message: str | None
    created_at: datetime
    modified_at: datetime
    progress: Progress = Progress()

    @property
    def percentage(self) -> int:
        """How much of the input is behind the task, in whole percent; a finished one has nothing before it."""
        if self.status is TaskStatus.COMPLETED or not self.input.size:
            return 100
        return min(100, self.progress.offset * 100 // self.input.size)


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """What a list shows of a task; ``position`` orders the list and never repeats."""

    task_id: str
    position: int


def advanced(task: RegistrationTask, progress: Progress, at: datetime) -> RegistrationTask:
    """Return the task with its new progress: finished at the input's end, cancelled if that was asked for."""
    status = task.status
    if status is TaskStatus.CANCELLING:
        status = TaskStatus.CANCELLED
    elif progress.offset >= task.input.size:
        status = TaskStatus.COMPLETED
    return replace(task, status=status, progress=progress, modified_at=at)


def failed(task: RegistrationTask, message: str, at: datetime) -> RegistrationTask:
    """Return the task as one that cannot go on, and why."""
    return replace(task, status=TaskStatus.FAILED, message=message[:_MAX_MESSAGE], modified_at=at)


def stopped(task: RegistrationTask, at: datetime) -> RegistrationTask:
    """Return the task as one that is to stop; the same task if it is to stop or has stopped already.

    Raises InvalidRequest for a task that has ended.
    """
    if task.status in (TaskStatus.CANCELLING, TaskStatus.CANCELLED):
        return task
    if task.status is not TaskStatus.IN_PROGRESS:
        raise InvalidRequest(f"The task {task.task_id} is {task.status} and cannot be cancelled")
    return replace(task, status=TaskStatus.CANCELLING, modified_at=at)


def line_parameters(line: InputLine) -> Mapping[str, str]:
    """Return the parameters that a line gives.

    Raises InvalidRequest with line and column unless it is a JSON object whose values are strings.
    """
    if line.text is None:
        raise InvalidRequest(f"The line is longer than {MAX_LINE_BYTES} bytes")
    text = _decoded(line, line.text)
    if len(text) > _LONG_LINE:
        # What is nested too deep for the standard library is refused below, with its place.
        with suppress(RecursionError):
            return _long_parameters(line, text)
    try:
        # As in the bodies of requests, the last one counts.
        document = read_json(text, _MAX_DEPTH, repeated_keys=True)
    except Malformed as error:
        raise _unreadable(line, text, error.offset, f"the line is not JSON: {error.reason}") from error
    if not isinstance(document.value, Members):
        reason = f"the line is not an object whose values are strings, but {_kind(document.value)}"
        raise _unreadable(line, text, document.offset, reason)
    parameters: dict[str, str] = {}
    for entry in document.value.entries:
        if not isinstance(entry.node.value, str):
            what = f"{entry.key!r} is {_kind(entry.node.value)}"
            reason = f"the line is not an object whose values are strings: {what}"
            raise _unreadable(line, text, entry.node.offset, reason)
        parameters[entry.key] = entry.node.value
    return parameters


def _long_parameters(line: InputLine, text: str) -> Mapping[str, str]:
    """Read a long line with the standard library: the reader that knows all positions takes ten times as long."""
    try:
        parameters = json.loads(text)
        json.dumps(parameters, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise _unreadable(line, text, error.pos, f"the line is not JSON: {error.msg}") from error
    except ValueError as error:
        raise _unreadable(
            line, text, 0, "the line is not JSON: it has a number or a character that cannot be"
        ) from error
    if not isinstance(parameters, dict) or not all(isinstance(value, str) for value in parameters.values()):
        raise _unreadable(line, text, 0, "the line is not an object whose values are strings")
    return parameters


def _decoded(line: InputLine, text: bytes) -> str:
    if line.number == 1 and text.startswith(_OTHER_ENCODINGS):
        raise InvalidRequest("line 1, column 1: the file is in UTF-16 or UTF-32; UTF-8 is expected")
    try:
        # A byte order mark is what some editors put before UTF-8.
        return text.decode("utf-8-sig" if line.number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        before = text[: error.start].decode("utf-8", "replace")
        raise _unreadable(line, before, len(before), "the line is not JSON: it is not UTF-8") from error


def _unreadable(line: InputLine, text: str, offset: int, reason: str) -> InvalidRequest:
    # A carriage return alone ends no line here, so that the column is counted within the line of the file.
    column = len(text[:offset]) + 1
    return InvalidRequest(f"line {line.number}, column {column}: {reason}")


def _kind(value: Value) -> str:
    return next(name for kind, name in _KINDS if isinstance(value, kind))


def success(line: InputLine, certificate_pem: str | None, resource_arns: Mapping[str, str]) -> LineOutcome:
    """Return the outcome of a line whose device was registered."""
    response: dict[str, object] = {"resourceArns": dict(resource_arns)}
    if certificate_pem is not None:
        response["certificatePem"] = certificate_pem
    return LineOutcome(line.number, True, _report(line, response=response))


def failure(line: InputLine, message: str) -> LineOutcome:
    """Return the outcome of a line whose device was not registered."""
    return LineOutcome(line.number, False, _report(line, errorMessage=message[:_MAX_MESSAGE]))


def report_lines(outcomes: Sequence[LineOutcome], kind: ReportType) -> bytes:
    """Return the lines that the outcomes add to a report."""
    succeeded = kind is ReportType.RESULTS
    return "".join(f"{each.report}\n" for each in outcomes if each.succeeded is succeeded).encode()


def _report(line: InputLine, **members: object) -> str:
    # In ASCII: a report is text that every store and every reader takes, also if a message quotes other characters.
    return json.dumps({"lineNumber": line.number, "offset": line.offset, **members}, separators=(",", ":"))
