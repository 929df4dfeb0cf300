"""`thingmint test-mode`: sends the calls that control a running service in test mode."""

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable, SignedClient, find_connection
from thingmint.cli.settings import fail
from thingmint.core.error_text import in_words
from thingmint.host.given_files import read_given_text

_SERVICE = "thingmint"


def reset_service(data_dir: Path, *, is_named: bool) -> None:
    """Reset the service and print what was removed."""
    with _client(data_dir, is_named=is_named) as client:
        answer = client.call("POST", "/thingmint/test/reset", {})
    click.echo(f"removed {answer['removedAccounts']} accounts and {answer['removedRows']} rows")


def seed_service(data_dir: Path, file: Path, *, is_named: bool) -> None:
    """Carry out the seed in the file and print the outputs as JSON."""
    try:
        document = json.loads(read_given_text(file))
    except (OSError, ValueError, RecursionError) as error:
        fail(f"{file} cannot be read as JSON: {in_words(error)}")
    with _client(data_dir, is_named=is_named) as client:
        answer = client.call("POST", "/thingmint/test/seed", {}, document)
    click.echo(json.dumps(answer["outputs"], indent=2))


def move_clock(data_dir: Path, seconds: float, *, set_right: bool, is_named: bool) -> None:
    """Move the service's clock and print its time."""
    asked = {"advanceSeconds": seconds, "setRight": set_right}
    with _client(data_dir, is_named=is_named) as client:
        answer = client.call("POST", "/thingmint/test/clock", {}, asked)
    click.echo(datetime.fromtimestamp(float(str(answer["now"])), UTC).isoformat(timespec="seconds"))


@contextlib.contextmanager
def _client(data_dir: Path, *, is_named: bool) -> Iterator[SignedClient]:
    """Yield a client of the running service; if a call fails, end the program with a message."""
    try:
        with contextlib.closing(SignedClient(find_connection(data_dir, is_named=is_named), _SERVICE)) as client:
            yield client
    except ServiceRefused as refused:
        if refused.name == "UnknownOperationException":
            fail("the service is not in test mode: start it with --test-mode, or with --ephemeral")
        fail(in_words(refused))
    except (LookupError, ServiceUnreachable) as error:
        fail(in_words(error))
