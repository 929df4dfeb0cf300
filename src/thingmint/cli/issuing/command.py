"""`thingmint issue`: owns the run of a job from the command line: its start, its progress, its end."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import click
from msgspec import structs

from thingmint.app import StartRefused, key_pool_of, offline_authority
from thingmint.cli.connection import ServiceRefused, ServiceUnreachable, SignedClient, find_connection
from thingmint.cli.issuing.folder import Folder, FolderRefused, Job
from thingmint.cli.issuing.offline import OfflineRegistrar
from thingmint.cli.issuing.registrar import HttpsRegistrar, Registrar
from thingmint.cli.issuing.work import Work, WorkStopped
from thingmint.cli.settings import fail
from thingmint.config import Config
from thingmint.data_directory.files import DirectoryInUse
from thingmint.telemetry import configure_logging

_INTERRUPTED = 130


def issue_identities(config: Config, *, count: int, out: Path, active: bool, offline: bool, patience: float) -> None:
    """Issue the identities; end with an exit code that says whether all of them are complete."""
    configure_logging("console", "warning")
    folder = Folder(out)
    try:
        with folder.held():
            asyncio.run(_run(config, folder, count=count, active=active, offline=offline, patience=patience))
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted. Run the same command again to resume in {out}.", err=True)
        sys.exit(_INTERRUPTED)
    except WorkStopped as error:
        fail(f"the service does not answer ({error}). Run the same command again to resume in {out}.")
    except (
        FolderRefused,
        ServiceRefused,
        ServiceUnreachable,
        StartRefused,
        DirectoryInUse,
        LookupError,
        OSError,
    ) as error:
        fail(str(error))


async def _run(config: Config, folder: Folder, *, count: int, active: bool, offline: bool, patience: float) -> None:
    async with _registrar(config, offline=offline) as registrar:
        job = await _begin(folder, registrar, count=count, active=active)
        async with key_pool_of(config, reserve=0) as keys:
            with _progress(count) as on_progress:
                work = Work(
                    folder=folder,
                    job=job,
                    registrar=registrar,
                    keys=keys,
                    concurrency=keys.workers + 2,
                    patience=patience,
                    on_progress=on_progress,
                )
                await work.run()
    entries = folder.write_manifest(work.job)
    click.echo(f"{len(entries)} identities in {folder.path} (manifest.csv, manifest.jsonl)")


@contextlib.asynccontextmanager
async def _registrar(config: Config, *, offline: bool) -> AsyncIterator[Registrar]:
    if offline:
        async with offline_authority(config) as (authority, caller):
            yield OfflineRegistrar(authority, caller)
    else:
        yield HttpsRegistrar(SignedClient(find_connection(config.data_dir)))


async def _begin(folder: Folder, registrar: Registrar, *, count: int, active: bool) -> Job:
    job = folder.read_job()
    if job is not None and job.active is not active:
        raise FolderRefused(f"the job in {folder.path} was begun {'with' if job.active else 'without'} --active")
    if job is not None and job.count > count:
        raise FolderRefused(
            f"the job in {folder.path} was begun for {job.count} identities, which is more than {count}"
        )
    if job is None or not folder.in_doubt(job.count):
        # Nothing is in doubt, so a search would have to look at certificates from now on only.
        newest = await anext(aiter(registrar.newest_first()), None)
        job = Job(count, active, newest) if job is None else structs.replace(job, newest_before=newest)
    job = structs.replace(job, count=count)
    folder.write_job(job)
    return job


@contextlib.contextmanager
def _progress(count: int) -> Iterator[Callable[[int], None]]:
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Issuing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("issue", total=count)
        yield lambda done: progress.update(task, completed=done)
