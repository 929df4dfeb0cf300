"""Owns the bulk registration task: its statuses, its progress through a file, and its reports.

Each line has one device's parameters in JSON. Progress counts the lines whose outcome is known. Does not read files.
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
# Deep enough for the reader to reach an error and name its position.
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
    """A task cannot continue because its input was deleted or changed, or because its reports cannot be written."""


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
    """A file of parameters when the task began. The stamp changes with every write to the file."""

    bucket: str
    key: str
    size: int
    stamp: int


@dataclass(frozen=True, slots=True)
class InputLine:
    """One line of a file: its number from one, its first byte and its end. ``text`` is None if the line is too long."""

    number: int
    offset: int
    end: int
    text: bytes | None

    @property
    def is_blank(self) -> bool:
        """Whether the line is blank, so that there is nothing to register."""
        return self.text is not None and not self.text.strip()


@dataclass(frozen=True, slots=True)
class LineOutcome:
    """The outcome of one line, and its line in the report."""

    line: int
    succeeded: bool
    report: str


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a task: processed bytes and lines of the input, counts of outcomes, and report sizes in bytes."""

    offset: int = 0
    lines: int = 0
    successes: int = 0
    failures: int = 0
    results_size: int = 0
    errors_size: int = 0


@dataclass(frozen=True, slots=True)
class RegistrationTask:
    """A bulk registration. ``principal_arn`` started it; ``progress`` counts only outcomes that the reports have."""

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
        """The processed part of the input in whole percent; 100 for a finished task."""
        if self.status is TaskStatus.COMPLETED or not self.input.size:
            return 100
        return min(100, self.progress.offset * 100 // self.input.size)


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """A task in a list. ``position`` orders the list and is unique."""

    task_id: str
    position: int


def advanced(task: RegistrationTask, progress: Progress, at: datetime) -> RegistrationTask:
    """Return the task with its new progress: finished at the end of the input, cancelled if a caller requested that."""
    status = task.status
    if status is TaskStatus.CANCELLING:
        status = TaskStatus.CANCELLED
    elif progress.offset >= task.input.size:
        status = TaskStatus.COMPLETED
    return replace(task, status=status, progress=progress, modified_at=at)


def failed(task: RegistrationTask, message: str, at: datetime) -> RegistrationTask:
    """Return the task as failed, with the reason."""
    return replace(task, status=TaskStatus.FAILED, message=message[:_MAX_MESSAGE], modified_at=at)


def stopped(task: RegistrationTask, at: datetime) -> RegistrationTask:
    """Return the task in cancelling; the same object if it is cancelling or cancelled already.

    Raises InvalidRequest for a task that has ended.
    """
    if task.status in (TaskStatus.CANCELLING, TaskStatus.CANCELLED):
        return task
    if task.status is not TaskStatus.IN_PROGRESS:
        raise InvalidRequest(f"The task {task.task_id} is {task.status} and cannot be cancelled")
    return replace(task, status=TaskStatus.CANCELLING, modified_at=at)


def line_parameters(line: InputLine) -> Mapping[str, str]:
    """Return the parameters of a line.

    Raises InvalidRequest with line and column unless it is a JSON object whose values are strings.
    """
    if line.text is None:
        raise InvalidRequest(f"The line is longer than {MAX_LINE_BYTES} bytes")
    text = _decoded(line, line.text)
    if len(text) > _LONG_LINE:
        # JSON that is nested too deep for the standard library is refused below, with its position.
        with suppress(RecursionError):
            return _long_parameters(line, text)
    try:
        # If a key is repeated, the last one counts, as in bodies of requests.
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
    """Read a long line with the standard library, because the reader with positions takes ten times as long."""
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
        # Some editors write a byte order mark before UTF-8.
        return text.decode("utf-8-sig" if line.number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        before = text[: error.start].decode("utf-8", "replace")
        raise _unreadable(line, before, len(before), "the line is not JSON: it is not UTF-8") from error


def _unreadable(line: InputLine, text: str, offset: int, reason: str) -> InvalidRequest:
    # A carriage return alone does not end a line, so the column is that of the line in the file.
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
    # In ASCII, so that every store and every reader can handle the report, also if a message quotes other characters.
    return json.dumps({"lineNumber": line.number, "offset": line.offset, **members}, separators=(",", ":"))
