"""`thingmint issue --from` and `--csr-dir`: runs a job from the command line."""

import asyncio
from pathlib import Path

import click

from thingmint.cli.connection import Connection, SignedClient, shown_connection
from thingmint.cli.devices.device import ListRefused, Row
from thingmint.cli.devices.dry_run import QueriedRegistry, UnopenedRegistry, missing_names
from thingmint.cli.devices.folder import DeviceFolder
from thingmint.cli.devices.manifest import ERRORS_CSV
from thingmint.cli.devices.options import DeviceOptions
from thingmint.cli.devices.requests import Requests
from thingmint.cli.devices.work import DeviceWork, RefusedRow
from thingmint.cli.issuing.issuers_file import write_issuers
from thingmint.cli.issuing.parts import registrar_of, station_keys
from thingmint.cli.issuing.resuming import resumable
from thingmint.cli.issuing.retries import RetryLimit
from thingmint.cli.settings import fail
from thingmint.cli.terminal.columns import printable
from thingmint.cli.terminal.numbers import counted
from thingmint.cli.terminal.progress import shown_progress
from thingmint.host.cores import usable_cores
from thingmint.host.telemetry import configure_logging
from thingmint.settings.config import Config

_RETRY_SECONDS = 1.0
_SHOWN_REFUSALS = 20


def issue_devices(config: Config, options: DeviceOptions, *, is_named: bool) -> None:
    """Issue the devices of the list; end with exit code 1 unless all of them are complete."""
    configure_logging("console", "warning")
    out = options.out
    with resumable(out, ListRefused):
        options = options.checked()
        rows = options.rows()
        connection = None if options.offline else shown_connection(config.data_dir, is_named=is_named)
        if options.dry_run:
            refusals = _tried(options, rows, connection)
        else:
            refusals = asyncio.run(_run(config, options, rows, connection))
    _end(out, refusals, is_dry=options.dry_run)


def _end(out: Path, refusals: list[RefusedRow], *, is_dry: bool) -> None:
    # A dry run writes no file, so it shows all refusals.
    shown = len(refusals) if is_dry else _SHOWN_REFUSALS
    for refusal in sorted(refusals)[:shown]:
        click.echo(printable(f"line {refusal.line}: {refusal.thing or '(no name)'}: {refusal.reason}"), err=True)
    if len(refusals) > shown:
        click.echo(f"… and {len(refusals) - shown} more", err=True)
    if refusals:
        where = "" if is_dry else f": see {out / ERRORS_CSV}, correct the list, and run the same command again"
        fail(f"{counted(len(refusals), 'row was', 'rows were')} refused{where}")


def _tried(options: DeviceOptions, rows: list[Row], connection: Connection | None) -> list[RefusedRow]:
    requests = options.requests(None)
    options.passphrase()
    rows = _examined(rows, requests)
    registry = UnopenedRegistry() if connection is None else QueriedRegistry(SignedClient(connection))
    try:
        refusals = [RefusedRow(row.line, row.thing, row.problem) for row in rows if row.problem is not None]
        refusals += [RefusedRow(*each) for each in missing_names(rows, requests, registry)]
    finally:
        registry.close()
    good = len(rows) - len({refusal.line for refusal in refusals})
    click.echo(f"{good} of {counted(len(rows), 'device', 'devices')} would be issued into {options.out}; nothing was")
    return refusals


def _examined(rows: list[Row], requests: Requests) -> list[Row]:
    """Return the rows; those that every registry would refuse have a problem."""
    examined = []
    for row in rows:
        problem = None if row.device is None else requests.problem_of(row.device)
        examined.append(row if problem is None else Row(row.line, row.thing, problem=problem))
    return examined


async def _run(
    config: Config, options: DeviceOptions, rows: list[Row], connection: Connection | None
) -> list[RefusedRow]:
    folder, passphrase = DeviceFolder(options.out), options.passphrase()
    with folder.held():
        async with (
            # A job of CSRs makes no keys, but an authority without a service still needs a source of keys.
            station_keys(config, options.key_type or "ec-p256") as keys,
            registrar_of(config, connection, keys, {}) as registrar,
        ):
            requests = options.requests(keys)
            job = folder.begin(options.order(), registrar.trust_anchor_sha256)
            write_issuers(config, connection, options.out)
            with shown_progress("issuing", len(rows)) as on_progress:
                work = DeviceWork(
                    folder=folder,
                    job=job,
                    registrar=registrar,
                    requests=requests,
                    concurrency=usable_cores() + 2,
                    patience=RetryLimit(options.patience, _RETRY_SECONDS),
                    on_progress=on_progress,
                    passphrase=passphrase,
                )
                await work.run(_examined(rows, requests))
        folder.write_manifest(list(work.entries.values()), work.refusals)
    click.echo(f"{counted(len(work.entries), 'device', 'devices')} in {folder.path} (manifest.csv, manifest.jsonl)")
    return work.refusals
