"""`thingmint issue`: owns the run of a job from the command line: its start, its progress, its end."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import click

from thingmint.cli.connection import Connection, ServiceRefused, ServiceUnreachable, SignedClient, find_connection
from thingmint.cli.issuing.begin import begin
from thingmint.cli.issuing.folder import JOB_FILE, Folder, FolderRefused
from thingmint.cli.issuing.offline import OfflineRegistrar
from thingmint.cli.issuing.patience import Patience, WorkStopped
from thingmint.cli.issuing.registrar import HttpsRegistrar, Registrar, file_sha256
from thingmint.cli.issuing.work import AnswerRefused, Pauses, Work
from thingmint.cli.settings import fail
from thingmint.core.errors import ThingmintError
from thingmint.data_directory.authorities import TRUST_ANCHOR
from thingmint.data_directory.files import DirectoryInUse
from thingmint.host.telemetry import configure_logging
from thingmint.host.words import in_words
from thingmint.registration.kernel.ports import KeySource
from thingmint.service.opening import keys_of_command, offline_authority
from thingmint.settings.config import Config, StartRefused

_INTERRUPTED = 130
_REFUSALS = (
    AnswerRefused,
    DirectoryInUse,
    FolderRefused,
    LookupError,
    ServiceRefused,
    ServiceUnreachable,
    StartRefused,
    ThingmintError,
)


def issue_identities(
    config: Config, *, is_named: bool, count: int, out: Path, active: bool, offline: bool, patience: float
) -> None:
    """Issue the identities; end with an exit code that says whether all of them are complete.

    ``is_named`` says that the data directory was typed, so that no other service than its own is called.
    """
    configure_logging("console", "warning")
    folder = Folder(out)
    try:
        with folder.held():
            # Found before any process is started for it, to fail at once if there is none.
            connection = None if offline else find_connection(config.data_dir, is_named=is_named)
            if connection is not None and connection.is_of_variables:
                click.echo(f"Asking {connection.endpoint}, which {connection.variable} names.", err=True)
            asyncio.run(_run(config, folder, connection, count=count, active=active, patience=patience))
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted. {_resume_in(out)}", err=True)
        sys.exit(_INTERRUPTED)
    except WorkStopped as error:
        fail(f"{in_words(error)}. {_resume_in(out)}")
    except OSError as error:
        fail(f"{in_words(error)}. {_resume_in(out)}" if (out / JOB_FILE).exists() else in_words(error))
    except _REFUSALS as error:
        fail(in_words(error))


def _resume_in(out: Path) -> str:
    return f"Run the same command again to resume in {out}."


async def _run(
    config: Config, folder: Folder, connection: Connection | None, *, count: int, active: bool, patience: float
) -> None:
    async with keys_of_command(config) as keys, _registrar(config, connection, keys) as registrar:
        first = Patience(patience, Pauses().retry)
        job = await first.keep_trying(lambda: begin(folder, registrar, count=count, active=active))
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
async def _registrar(config: Config, connection: Connection | None, keys: KeySource) -> AsyncIterator[Registrar]:
    if connection is None:
        async with offline_authority(config, keys) as (authority, caller):
            yield OfflineRegistrar(authority, caller, file_sha256(config.data_dir / TRUST_ANCHOR))
        return
    client = SignedClient(connection)
    try:
        yield HttpsRegistrar(client, file_sha256(connection.ca_file))
    finally:
        # Ends what is under way in other threads, too: an interruption does not wait for a service that is stuck.
        client.close()


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
