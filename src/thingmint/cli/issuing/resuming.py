"""Owns how a job of a folder ends on the command line when it is not complete: its exit code, and how to resume it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable
from thingmint.cli.issuing.folder import JOB_FILE, FolderRefused
from thingmint.cli.issuing.retries import WorkStopped
from thingmint.cli.issuing.work import AnswerRefused
from thingmint.cli.settings import fail
from thingmint.core.error_text import in_words
from thingmint.core.errors import ThingmintError
from thingmint.data_directory.files import DirectoryInUse
from thingmint.settings.config import StartRefused

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


@contextmanager
def resumable(out: Path, *refusals: type[Exception]) -> Iterator[None]:
    """End the program if the work in the folder fails: with exit code 130 if it was interrupted, or else with 1.

    Its error says how to resume the job, if there is one in the folder. ``refusals`` are further errors of the command.
    """
    refused: tuple[type[Exception], ...] = (*_REFUSALS, *refusals)
    resume = f"Run the same command again to resume in {out}."
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted. {resume}", err=True)
        sys.exit(_INTERRUPTED)
    except WorkStopped as error:
        fail(f"{in_words(error)}. {resume}")
    except OSError as error:
        fail(f"{in_words(error)}. {resume}" if (out / JOB_FILE).exists() else in_words(error))
    except refused as error:
        fail(in_words(error))
