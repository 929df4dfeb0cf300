"""Bulk registrations as values: states, progress, lines and reports."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.core.provisioning.registration_task import (
    MAX_LINE_BYTES,
    InputFile,
    InputLine,
    Progress,
    RegistrationTask,
    ReportType,
    TaskStatus,
    advanced,
    failed,
    failure,
    line_parameters,
    report_lines,
    stopped,
    success,
)

NOW = datetime(2026, 3, 4, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
TASK = RegistrationTask(
    Scope(AccountId("123456789012"), Region("eu-west-1")),
    "task",
    "{}",
    InputFile("bucket", "key", 200, 7),
    "role",
    "arn:caller",
    TaskStatus.IN_PROGRESS,
    None,
    NOW,
    NOW,
)


def line(text: bytes | None, number: int = 3) -> InputLine:
    return InputLine(number, 10, 20, text)


@pytest.mark.parametrize(
    ("task", "percentage"),
    [
        (TASK, 0),
        (replace(TASK, progress=Progress(offset=199)), 99),
        (replace(TASK, progress=Progress(offset=400)), 100),
        (replace(TASK, input=InputFile("bucket", "key", 0, 7)), 100),
        (replace(TASK, status=TaskStatus.COMPLETED), 100),
        (replace(TASK, status=TaskStatus.CANCELLED, progress=Progress(offset=50)), 25),
    ],
)
def test_progress_is_told_in_percent_of_the_file(task: RegistrationTask, percentage: int) -> None:
    assert task.percentage == percentage


@pytest.mark.parametrize(
    ("status", "offset", "after"),
    [
        (TaskStatus.IN_PROGRESS, 100, TaskStatus.IN_PROGRESS),
        (TaskStatus.IN_PROGRESS, 200, TaskStatus.COMPLETED),
        (TaskStatus.CANCELLING, 100, TaskStatus.CANCELLED),
        (TaskStatus.CANCELLING, 200, TaskStatus.CANCELLED),
    ],
)
def test_a_task_ends_with_its_input_or_when_it_is_to(status: TaskStatus, offset: int, after: TaskStatus) -> None:
    progress = Progress(offset, 4, 3, 1, 50, 60)
    before = replace(TASK, status=status)
    assert advanced(before, progress, LATER) == replace(before, status=after, progress=progress, modified_at=LATER)


def test_a_failed_task_says_why_in_so_many_characters_as_there_may_be() -> None:
    task = failed(TASK, "x" * 3000, LATER)
    assert (task.status, task.message, task.modified_at) == (TaskStatus.FAILED, "x" * 2048, LATER)


def test_a_task_is_stopped_once() -> None:
    stopping = stopped(TASK, LATER)
    assert stopping == replace(TASK, status=TaskStatus.CANCELLING, modified_at=LATER)
    assert stopped(stopping, LATER) is stopping
    cancelled = replace(TASK, status=TaskStatus.CANCELLED)
    assert stopped(cancelled, LATER) is cancelled


@pytest.mark.parametrize("status", [TaskStatus.COMPLETED, TaskStatus.FAILED])
def test_a_task_that_has_ended_is_not_stopped(status: TaskStatus) -> None:
    with pytest.raises(InvalidRequest, match=f"is {status}"):
        stopped(replace(TASK, status=status), LATER)


@pytest.mark.parametrize(
    ("text", "parameters"),
    [(b"{}", {}), (b'{"a": "1", "b": "\xc3\xa4"}\r\n', {"a": "1", "b": "ä"}), (b'{"a": "1", "a": "2"}', {"a": "2"})],
)
def test_a_line_gives_parameters(text: bytes, parameters: dict[str, str]) -> None:
    assert line_parameters(line(text)) == parameters


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, f"longer than {MAX_LINE_BYTES} bytes"),
        (b"{", "line 3, column 2: the line is not JSON: a key in double quotes is expected"),
        (b"{'a': 1}", "line 3, column 2: the line is not JSON: a key in double quotes is expected"),
        (b'{"a": "1"} {"a": "2"}', "line 3, column 12: the line is not JSON: the document has ended"),
        (b'{"a": "1",}', "line 3, column 11: the line is not JSON: a key in double quotes is expected"),
        (b'{"\xc3\xa4": "\xff"}', "line 3, column 8: the line is not JSON: it is not UTF-8"),
        (b"\xef\xbb\xbf{}", "line 3, column 1: the line is not JSON: a value is expected"),
        (b"[" * 100_000, "line 3, column 65: the line is not JSON: values are nested more than 64 levels deep"),
        (b'{"a": "1"\r{"b": "2"}', "line 3, column 11: the line is not JSON: a comma or '}' is expected"),
        (b"9" * 5000, "line 3, column 1: the line is not an object whose values are strings, but a number"),
        (b" []", "line 3, column 2: the line is not an object whose values are strings, but a list"),
        (b'"a"', "column 1: the line is not an object whose values are strings, but a string"),
        (b'{"b": "1", "a": 1}', "column 17: the line is not an object whose values are strings: 'a' is a number"),
        (b'{"a": null}', "column 7: the line is not an object whose values are strings: 'a' is null"),
        (b'{"a": true}', "column 7: the line is not an object whose values are strings: 'a' is true or false"),
        (b'{"a": {"b": "c"}}', "column 7: the line is not an object whose values are strings: 'a' is an object"),
        (b'{"a": ["b"]}', "column 7: the line is not an object whose values are strings: 'a' is a list"),
    ],
)
def test_a_line_that_gives_none_is_refused_with_its_place_and_reason(text: bytes | None, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(reason)):
        line_parameters(line(text))


def test_a_byte_order_mark_may_stand_before_a_file() -> None:
    assert line_parameters(replace(line(b'\xef\xbb\xbf{"a": "1"}'), number=1)) == {"a": "1"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_file_in_another_encoding_is_told_as_such(encoding: str) -> None:
    with pytest.raises(InvalidRequest, match="line 1, column 1: the file is in UTF-16 or UTF-32; UTF-8 is expected"):
        line_parameters(replace(line('{"a": "1"}'.encode(encoding)), number=1))


@given(st.binary(max_size=100))
def test_whatever_is_on_a_line_it_gives_parameters_or_is_refused(text: bytes) -> None:
    try:
        parameters = line_parameters(line(text))
    except InvalidRequest:
        return
    assert all(isinstance(value, str) for pair in parameters.items() for value in pair)


@pytest.mark.parametrize(
    ("text", "blank"), [(b"\n", True), (b" \t\r\n", True), (b"", True), (b"{}\n", False), (None, False)]
)
def test_a_line_without_anything_is_blank(text: bytes | None, *, blank: bool) -> None:
    assert line(text).is_blank is blank


def test_reports_hold_a_line_of_json_for_each_outcome_of_their_kind() -> None:
    outcomes = [
        success(line(b"", 1), "pem", {"thing": "arn:thing"}),
        failure(line(b"", 2), 'Größe "\ud800"\n\0'),
        success(line(b"", 3), None, {}),
    ]
    results = report_lines(outcomes, ReportType.RESULTS).decode().splitlines()
    errors = report_lines(outcomes, ReportType.ERRORS).decode().splitlines()
    assert [json.loads(each) for each in results] == [
        {
            "lineNumber": 1,
            "offset": 10,
            "response": {"resourceArns": {"thing": "arn:thing"}, "certificatePem": "pem"},
        },
        {"lineNumber": 3, "offset": 10, "response": {"resourceArns": {}}},
    ]
    assert [json.loads(each) for each in errors] == [
        {"lineNumber": 2, "offset": 10, "errorMessage": 'Größe "\ud800"\n\0'}
    ]
    assert report_lines([], ReportType.ERRORS) == b""


def test_a_report_quotes_no_more_of_a_line_than_a_message_holds() -> None:
    line = InputLine(1, 0, 10, b"{}")
    assert json.loads(failure(line, "x" * 250_000).report)["errorMessage"] == "x" * 2048


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": "%s"', "column 10009: the line is not JSON: Expecting ',' delimiter"),
        ('{"a": "%s", "b": 1}', "column 1: the line is not an object whose values are strings"),
        ('["%s"]', "column 1: the line is not an object whose values are strings"),
        (
            '{"a": "%s", "b": "\\ud800"}',
            "column 1: the line is not JSON: it has a number or a character that cannot be",
        ),
    ],
)
def test_a_long_line_that_gives_no_parameters_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        line_parameters(line((text % ("x" * 10_000)).encode()))


def test_a_long_line_gives_its_parameters() -> None:
    value = "x" * 10_000
    assert line_parameters(line(f'{{"a": "1", "a": "{value}", "b": ""}}'.encode())) == {"a": value, "b": ""}
