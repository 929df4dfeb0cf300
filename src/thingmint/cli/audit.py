"""`thingmint audit`: owns how the audit trail is shown to an operator: what was written, and what is being written."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta

import click

from thingmint.cli.columns import lines_of, printable, table, terminal_width, widths_of
from thingmint.cli.settings import fail
from thingmint.core.audit_entry import AuditEntry
from thingmint.core.audit_filter import AuditFilter
from thingmint.core.errors import ServiceUnavailable, ThingmintError
from thingmint.host.words import in_words
from thingmint.records.audit import audit_page
from thingmint.records.paging import Listed, PageKey, PageRequest
from thingmint.service.opening import Registry, registry_beside_service
from thingmint.settings.config import Config, StartRefused

_PAGE = 500
_POLL_SECONDS = 1.0
# Nodes have clocks of their own, and an entry is dated before it is committed: the order is nearly that of time.
_SLACK = timedelta(hours=1)
# How many positions are read again while following: transactions that are under way at a time can commit in any order.
_OVERLAP = 200
_HEADING = ("time (UTC)", "action", "resource", "by", "from", "detail")
# Of entries that follow, those to come are not known when the widths are chosen.
_USUAL = ("2026-01-31T12:00:00Z", "CreateKeysAndCertificate", "c" * 36, "u" * 24, "255.255.255.255", "d" * 60)


def show(config: Config, wanted: AuditFilter, *, limit: int, as_json: bool, follow: bool) -> None:
    """Print the newest entries of the account and region, newest first; with ``follow`` oldest first, and go on."""
    work = _follow(config, wanted, limit, as_json) if follow else _print_newest(config, wanted, limit, as_json)
    try:
        asyncio.run(work)
    except BrokenPipeError:
        # The reader of the output has enough: the group of commands ends this quietly.
        raise
    except (StartRefused, ThingmintError, OSError) as error:
        fail(in_words(error))


async def _print_newest(config: Config, wanted: AuditFilter, limit: int, as_json: bool) -> None:
    async with registry_beside_service(config) as registry:
        entries = [listed.item async for listed in _newest(registry, wanted, limit)]
    if as_json:
        for entry in entries:
            click.echo(_json(entry))
        return
    width = terminal_width()
    rows = [_cells(entry, is_short=width is not None) for entry in entries]
    for line in table([_HEADING, *rows] if rows else [], width):
        click.echo(line)


async def _newest(registry: Registry, wanted: AuditFilter, limit: int) -> AsyncIterator[Listed[AuditEntry]]:
    """Yield up to ``limit`` entries that are wanted, newest first, each page in a transaction of its own."""
    after: PageKey | None = None
    while limit:
        page = await _page(registry, PageRequest(_PAGE, after, ascending=False))
        for listed in page:
            if wanted.matches(listed.item):
                yield listed
                limit -= 1
            if not limit or (wanted.since is not None and listed.item.at < wanted.since - _SLACK):
                return
        if len(page) < _PAGE:
            return
        after = page[-1].key


async def _follow(config: Config, wanted: AuditFilter, limit: int, as_json: bool) -> None:
    """Print the newest entries, then each new one until the command is interrupted; a lost database is waited for."""
    width = terminal_width()
    widths = None if width is None else widths_of([_USUAL], width)
    async with registry_beside_service(config) as registry:
        # Read before the entries that are shown: what becomes visible in between is new, and not lost.
        known = {listed.key.position for listed in await _page(registry, PageRequest(_OVERLAP, None, ascending=False))}
        shown = [listed async for listed in _newest(registry, wanted, limit)]
        for listed in reversed(shown):
            _print(listed.item, as_json, widths)
        async for entry in _new(registry, max(known, default=0), known | {listed.key.position for listed in shown}):
            if wanted.matches(entry):
                _print(entry, as_json, widths)


async def _new(registry: Registry, end: int, known: set[int]) -> AsyncIterator[AuditEntry]:
    """Yield each entry that becomes visible from now on, except the known ones. ``end`` is the last position known."""
    while True:
        try:
            page = await _page(registry, PageRequest(_PAGE, PageKey(end - _OVERLAP), ascending=True))
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


async def _page(registry: Registry, request: PageRequest) -> Sequence[Listed[AuditEntry]]:
    return await registry.store.read(lambda: audit_page(registry.scope, request))


def _print(entry: AuditEntry, as_json: bool, widths: Sequence[int] | None) -> None:
    if as_json:
        click.echo(_json(entry))
        return
    for line in _lines(entry, widths):
        click.echo(line)


def _lines(entry: AuditEntry, widths: Sequence[int] | None) -> Iterator[str]:
    cells = [printable(cell) for cell in _cells(entry, is_short=widths is not None)]
    if widths is None:
        yield "  ".join(cells).rstrip()
    else:
        yield from lines_of(cells, widths)


def _json(entry: AuditEntry) -> str:
    fields = {
        "at": entry.at.isoformat(),
        "account": entry.scope.account,
        "region": entry.scope.region,
        "principal": entry.principal_arn,
        "source_address": entry.source_address,
        "request_id": entry.request_id,
        "action": entry.action,
        "resource": entry.resource,
        "detail": entry.detail,
    }
    return json.dumps(fields, ensure_ascii=False)


def _cells(entry: AuditEntry, *, is_short: bool) -> tuple[str, ...]:
    """Return the columns of an entry; short names leave out what all ARNs of an account have in common."""
    detail = " ".join(f"{name}={value}" for name, value in sorted(entry.detail.items()))
    resource, principal = entry.resource, entry.principal_arn
    if is_short:
        resource, principal = _short(resource, entry), _short(principal, entry)
    return f"{entry.at:%Y-%m-%dT%H:%M:%SZ}", entry.action, resource, principal, entry.source_address, detail


def _short(arn: str, entry: AuditEntry) -> str:
    """Return ``thing/lamp`` of ``arn:aws:iot:us-east-1:000000000000:thing/lamp``, if it is of the entry's account."""
    parts = arn.split(":", 5)
    is_own = len(parts) == 6 and parts[0] == "arn" and parts[4] == entry.scope.account
    return parts[5] if is_own else arn
