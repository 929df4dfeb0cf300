"""Owns the reading of lists of devices: CSV as spreadsheets write it, and JSON lines. Does not check names.

An error in the encoding, in the header or of an open quote refuses the whole file. An error in one row is the problem
of that row.
"""

import csv
import errno
import io
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from thingmint.cli.devices.device import ListedDevice, ListRefused, Row, without_doubles
from thingmint.core.error_text import in_words, reason_of
from thingmint.host.given_files import read_given

MAX_BYTES = 256 * 1024 * 1024
MAX_ROWS = 250_000
MAX_CELL = 8192

_BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_PLAIN_COLUMNS = {
    "thing": "thing",
    "thing_name": "thing",
    "type": "type",
    "groups": "groups",
    "group": "groups",
    "policies": "policies",
    "policy": "policies",
    "subject": "subject",
}
_PREFIXES = {"attribute.": "attributes", "parameter.": "parameters"}
_SEPARATOR = re.compile(r"[;\s]+")
_FORMULA = re.compile(r"[=+@\t\r-]")
_NUMBER = re.compile(r"-[0-9]+(\.[0-9]+)?")


class _JsonDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    thing: str
    attributes: dict[str, str] = {}
    type: str | None = None
    groups: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    policy: str | None = None
    parameters: dict[str, str] = {}
    subject: str | None = None


def read_list(path: Path) -> list[Row]:
    """Return the rows of a file: JSON lines if its name ends in .jsonl, CSV otherwise.

    Raises ListRefused for a file that is not UTF-8, has no usable header or too many rows; OSError.
    """
    text = _text(path)
    rows = list(_json_rows(text) if path.suffix == ".jsonl" else _csv_rows(text, path))
    if not rows:
        raise ListRefused(f"{path} has no rows")
    return without_doubles(rows)


def _text(path: Path) -> str:
    try:
        content = read_given(path, MAX_BYTES)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        raise ListRefused(f"{path} is larger than {MAX_BYTES // 1024 // 1024} MiB: split it") from error
    for mark, name in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            raise ListRefused(f"{path} is {name}: save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ListRefused(f"{path}, line {line}: not UTF-8: save the file as CSV in UTF-8") from error
    if "\0" in text:
        raise ListRefused(f"{path}, line {text.count(chr(10), 0, text.index(chr(0))) + 1}: a NUL character")
    return text


def _json_rows(text: str) -> Iterator[Row]:
    decoder = msgspec.json.Decoder(_JsonDevice)
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        if line > MAX_ROWS:
            raise ListRefused(f"more than {MAX_ROWS} rows: split the file")
        try:
            read = decoder.decode(content)
        except msgspec.DecodeError as error:
            yield Row(line, "", problem=f"not a device in JSON: {reason_of(error)}")
            continue
        policies = (*read.policies, *([] if read.policy is None else [read.policy]))
        yield Row(
            line,
            read.thing,
            ListedDevice(
                thing=read.thing,
                attributes=read.attributes,
                type=read.type,
                groups=read.groups,
                policies=policies,
                parameters=read.parameters,
                subject=read.subject,
            ),
        )


def _csv_rows(text: str, path: Path) -> Iterator[Row]:
    first = text.split("\n", 1)[0]
    delimiter = next((each for each in ",;\t" if each in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    csv.field_size_limit(MAX_CELL)
    try:
        columns = _columns(next(reader, []), path)
        begins = reader.line_num + 1
        for count, cells in enumerate(reader, start=1):
            if count > MAX_ROWS:
                raise ListRefused(f"{path} has more than {MAX_ROWS} rows: split the file")
            if any(cells):
                yield _csv_row(begins, columns, [cell.strip(" ") for cell in cells])
            begins = reader.line_num + 1
    except csv.Error as error:
        raise ListRefused(
            f"{path}, line {reader.line_num}: {in_words(error)} (a quote that does not end, or a cell of more than "
            f"{MAX_CELL} characters): nothing was issued"
        ) from error


def _columns(header: list[str], path: Path) -> list[tuple[str, str]]:
    """Return for each column the field that it fills, and the name in it for attributes and parameters."""
    columns: list[tuple[str, str]] = []
    for name in (cell.strip() for cell in header):
        prefix = next((each for each in _PREFIXES if name.startswith(each) and name != each), None)
        if prefix is None and name not in _PLAIN_COLUMNS:
            known = ", ".join([*_PLAIN_COLUMNS, *(f"{each}NAME" for each in _PREFIXES)])
            raise ListRefused(f"{path}, line 1: unknown column {name!r}; the columns are {known}")
        column = (_PLAIN_COLUMNS[name], "") if prefix is None else (_PREFIXES[prefix], name.removeprefix(prefix))
        if column in columns:
            raise ListRefused(f"{path}, line 1: the column {name!r} is there twice")
        columns.append(column)
    if ("thing", "") not in columns:
        raise ListRefused(f"{path}, line 1: the column thing is missing")
    return columns


def _csv_row(line: int, columns: list[tuple[str, str]], cells: list[str]) -> Row:
    given = dict(zip(columns, cells, strict=False))
    thing = given.get(("thing", ""), "")
    if len(cells) != len(columns):
        return Row(line, thing, problem=f"{len(cells)} cells, and the header has {len(columns)}: a truncated line?")
    if formula := next((cell for cell in cells if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)), None):
        return Row(
            line,
            thing,
            problem=f"the cell {formula!r} begins like a formula of a spreadsheet: put such values into a .jsonl list",
        )

    def named(field: str) -> dict[str, str]:
        return {name: cell for (of, name), cell in given.items() if of == field and name and cell}

    return Row(
        line,
        thing,
        ListedDevice(
            thing=thing,
            attributes=named("attributes"),
            type=given.get(("type", "")) or None,
            groups=_listed(given.get(("groups", ""), "")),
            policies=_listed(given.get(("policies", ""), "")),
            parameters=named("parameters"),
            subject=given.get(("subject", "")) or None,
        ),
    )


def _listed(cell: str) -> tuple[str, ...]:
    return tuple(part for part in _SEPARATOR.split(cell) if part)
