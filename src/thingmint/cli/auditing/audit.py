"""`thingmint audit`: shows an operator the entries of the audit trail, and with `--follow` new ones."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import click

from thingmint.cli.auditing.audit_lines import FIELDS, cells_of, csv_line, json_line
from thingmint.cli.auditing.audit_pages import newest_entries
from thingmint.cli.settings import fail
from thingmint.cli.terminal.columns import lines_of, printable, table, table_rows, terminal_width, widths_of
from thingmint.core.audit_entry import AuditEntry
from thingmint.core.error_text import in_words
from thingmint.core.errors import ServiceUnavailable, ThingmintError
from thingmint.core.identifiers import Scope
from thingmint.core.paging import Listed, PageKey, PageRequest
from thingmint.records.audit import audit_page
from thingmint.registration.kernel.audit_filter import AuditFilter
from thingmint.registration.kernel.ports import Store
from thingmint.service.opening import scope_of, store_beside_service
from thingmint.settings.config import Config, StartRefused

_PAGE = 500
_POLL_SECONDS = 1.0
# How many positions are read again while following, because concurrent transactions can commit in any order.
_OVERLAP = 200
_HEADING = ("time (UTC)", "action", "resource", "by", "from", "detail")
# Usual cells. With `--follow`, the widths are chosen before the later entries are known.
_USUAL = ("2026-01-31 12:00:00", "CreateKeysAndCertificate", "c" * 36, "u" * 24, "255.255.255.255", "d" * 60)
# On a terminal narrower than this, four columns are side by side, and the others below them.
_WIDE, _SIDE_BY_SIDE = 120, 4
# The first column, which is the time, is never narrowed.
_WHOLE = 1


def show(config: Config, wanted: AuditFilter, *, limit: int, form: str, follow: bool) -> None:
    """Print the newest entries of the account and region, newest first; with ``follow``, oldest first, then new ones.

    ``form`` is table, json or csv.
    """
    work = _follow(config, wanted, limit, form) if follow else _print_newest(config, wanted, limit, form)
    try:
        asyncio.run(work)
    except BrokenPipeError:
        # The reader has closed the pipe: the command group ends the program without a message.
        raise
    except (StartRefused, ThingmintError, OSError) as error:
        fail(in_words(error))


async def _print_newest(config: Config, wanted: AuditFilter, limit: int, form: str) -> None:
    async with store_beside_service(config) as store:
        entries = [listed.item async for listed in newest_entries(store, scope_of(config), wanted, limit)]
    if form != "table":
        _print_names(form)
        for entry in entries:
            _print(entry, form, None)
        return
    width = terminal_width()
    rows = [_HEADING, *(_cells(entry, is_short=width is not None) for entry in entries)] if entries else []
    for line in _table(rows, width):
        click.echo(line)


async def _follow(config: Config, wanted: AuditFilter, limit: int, form: str) -> None:
    """Print the newest entries, then each new one until interrupted; if the database is lost, wait for it."""
    width = terminal_width()
    widths = None if width is None else widths_of([_USUAL[: _beside(width)]], width, whole=_WHOLE)
    scope = scope_of(config)
    async with store_beside_service(config) as store:
        # Read before the first entries are shown, so that an entry that becomes visible in between is shown as new.
        newest = await _page(store, scope, PageRequest(_OVERLAP, None, ascending=False))
        known = {listed.key.position for listed in newest}
        shown = [listed async for listed in newest_entries(store, scope, wanted, limit)]
        _print_names(form)
        for listed in reversed(shown):
            _print(listed.item, form, widths)
        seen = known | {listed.key.position for listed in shown}
        async for entry in _new(store, scope, max(known, default=0), seen):
            if wanted.matches(entry):
                _print(entry, form, widths)


async def _new(store: Store, scope: Scope, end: int, known: set[int]) -> AsyncIterator[AuditEntry]:
    """Yield each entry that becomes visible from now on, except the known ones. ``end`` is the last known position."""
    while True:
        try:
            page = await _page(store, scope, PageRequest(_PAGE, PageKey(end - _OVERLAP), ascending=True))
        except ServiceUnavailable:
            page = ()
        for listed in page:
            if listed.key.position not in known:
                known.add(listed.key.position)
                yield listed.item
        end = max((end, *(listed.key.position for listed in page)))
        known = {position for position in known if position > end - _OVERLAP}
        if len(page) < _PAGE:
            await asyncio.sleep(_POLL_SECONDS)


async def _page(store: Store, scope: Scope, request: PageRequest) -> Sequence[Listed[AuditEntry]]:
    return await store.read(lambda: audit_page(scope, request))


def _print_names(form: str) -> None:
    if form == "csv":
        click.echo(csv_line(FIELDS))


def _print(entry: AuditEntry, form: str, widths: Sequence[int] | None) -> None:
    if form == "json":
        click.echo(json_line(entry))
    elif form == "csv":
        click.echo(csv_line(cells_of(entry)))
    else:
        for line in _lines(entry, widths):
            click.echo(line)


def _beside(width: int) -> int:
    """Return how many columns are printed side by side."""
    return len(_HEADING) if width >= _WIDE else _SIDE_BY_SIDE


def _table(rows: Sequence[Sequence[str]], width: int | None) -> Iterator[str]:
    if width is None:
        yield from table(rows, None)
        return
    columns = _beside(width)
    lines = table_rows([row[:columns] for row in rows], width, whole=_WHOLE)
    for row, beside in zip(rows, lines, strict=True):
        yield from beside
        if row is not _HEADING:
            yield from _below(row[columns:], width)


def _below(cells: Sequence[str], width: int) -> Iterator[str]:
    """Yield the lines of the cells that are printed below the columns."""
    text = "  ".join(filter(None, map(printable, cells)))
    indent = "  "
    if text:
        yield from (indent + line for line in table([[text]], width - len(indent)))


def _lines(entry: AuditEntry, widths: Sequence[int] | None) -> Iterator[str]:
    cells = [printable(cell) for cell in _cells(entry, is_short=widths is not None)]
    if widths is None:
        yield "  ".join(cells).rstrip()
    else:
        yield from lines_of(cells[: len(widths)], widths)
        yield from _below(cells[len(widths) :], sum(widths) + 2 * len(widths) - 2)


def _cells(entry: AuditEntry, *, is_short: bool) -> tuple[str, ...]:
    """Return the columns of an entry; short names leave out the part that all ARNs of an account share."""
    detail = " ".join(f"{name}={value}" for name, value in sorted(entry.detail.items()))
    resource, principal = entry.resource, entry.principal_arn
    at = f"{entry.at:%Y-%m-%dT%H:%M:%SZ}"
    if is_short:
        # The heading says that times are UTC.
        at, resource, principal = f"{entry.at:%Y-%m-%d %H:%M:%S}", _short(resource, entry), _short(principal, entry)
    return at, entry.action, resource, principal, entry.source_address, detail


def _short(arn: str, entry: AuditEntry) -> str:
    """Return ``thing/lamp`` of ``arn:aws:iot:us-east-1:000000000000:thing/lamp``, if it is of the entry's account."""
    parts = arn.split(":", 5)
    is_own = len(parts) == 6 and parts[0] == "arn" and parts[4] == entry.scope.account
    return parts[5] if is_own else arn
