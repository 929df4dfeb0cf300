"""`thingmint issue`: runs a job from the command line: its start, its progress, its end."""

import asyncio
from pathlib import Path

import click

from thingmint.cli.connection import Connection, shown_connection
from thingmint.cli.issuing.begin import JobProperties, begin
from thingmint.cli.issuing.folder import Folder
from thingmint.cli.issuing.issuers_file import write_issuers
from thingmint.cli.issuing.parts import registrar_of, station_keys
from thingmint.cli.issuing.resuming import resumable
from thingmint.cli.issuing.retries import RetryLimit
from thingmint.cli.issuing.station_keys import RSA_2048
from thingmint.cli.issuing.work import Pauses, Work
from thingmint.cli.terminal.numbers import counted
from thingmint.cli.terminal.progress import shown_progress
from thingmint.core.provisioning.production import production_details
from thingmint.host.cores import usable_cores
from thingmint.host.telemetry import configure_logging
from thingmint.settings.config import Config


def issue_identities(
    config: Config,
    *,
    is_named: bool,
    count: int,
    out: Path,
    active: bool,
    offline: bool,
    patience: float,
    key_type: str | None,
    batch: str | None,
    operator: str | None,
    station: str | None,
) -> None:
    """Issue the identities; the exit code is 0 only if all of them are complete.

    ``is_named``: the data directory was given as a flag, so only its own service may be called.
    """
    configure_logging("console", "warning")
    folder, making = Folder(out), JobProperties(key_type or RSA_2048, batch, operator, station)
    with resumable(out):
        production_details(making.production)
        with folder.held():
            # Looked up before any process is started, so that the command fails fast if there is no service.
            connection = None if offline else shown_connection(config.data_dir, is_named=is_named)
            asyncio.run(_run(config, folder, connection, making, count=count, active=active, patience=patience))


async def _run(
    config: Config,
    folder: Folder,
    connection: Connection | None,
    making: JobProperties,
    *,
    count: int,
    active: bool,
    patience: float,
) -> None:
    async with (
        station_keys(config, making.key_type) as keys,
        registrar_of(config, connection, keys, making.production) as registrar,
    ):
        first = RetryLimit(patience, Pauses().retry)
        job = await first.until_answered(lambda: begin(folder, registrar, count=count, active=active, making=making))
        write_issuers(config, connection, folder.path)
        with shown_progress("issuing", count) as on_progress:
            work = Work(
                folder=folder,
                job=job,
                registrar=registrar,
                keys=keys,
                concurrency=(config.key_workers or usable_cores()) + 2,
                patience=patience,
                on_progress=on_progress,
            )
            await work.run()
    entries = folder.write_manifest(work.job)
    click.echo(f"{counted(len(entries), 'identity', 'identities')} in {folder.path} (manifest.csv, manifest.jsonl)")
