"""`thingmint serve`: owns the process of the service: its signals, its first output, its exit code."""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import BinaryIO, TextIO, TypeAlias

import click

from thingmint import __version__
from thingmint.cli.connection import data_dir_option
from thingmint.cli.env import environment_lines
from thingmint.cli.settings import fail
from thingmint.cli.worker_service import serve_with_workers
from thingmint.core.error_text import in_words
from thingmint.core.errors import ServiceUnavailable
from thingmint.data_directory.files import DirectoryInUse
from thingmint.data_directory.handover import CREDENTIALS, Endpoints, read_credentials
from thingmint.host.event_loop import new_event_loop
from thingmint.host.hardening import harden_process
from thingmint.host.printed_lines import printed_to
from thingmint.host.service_log import service_log
from thingmint.host.telemetry import configure_logging
from thingmint.service.serving import serve
from thingmint.settings.config import Config, StartRefused

Words: TypeAlias = Callable[[Config, Endpoints], list[str]]
FIRST_CERTIFICATE = (
    "aws iot create-keys-and-certificate --set-as-active "
    "--certificate-pem-outfile c.pem --private-key-outfile k.pem --public-key-outfile p.pem"
)


def serve_until_stopped(config: Config, *, stop_with_stdin: bool = False, prints_variables: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, then finish requests in progress; end with 1 if the service cannot start.

    With ``stop_with_stdin``, the end of standard input also stops the service, so that it ends with the program that
    started it. The first output is for people or, with ``prints_variables``, shell lines for programs.
    """
    if sys.platform == "win32":
        fail("the service does not run on Windows: there, use commands such as `thingmint issue` with one elsewhere")
    words = variables if prints_variables else greeting
    harden_process()
    log_format = _log_format(config)
    configure_logging(log_format, config.log_level)
    stdout = sys.stdout

    def on_ready(endpoints: Endpoints) -> None:
        _greet(config, endpoints, words, stdout, log_format)

    try:
        if config.workers > 1:
            serve_with_workers(config, log_format, on_ready, partial(_run, log_format), stop_with_stdin=stop_with_stdin)
        else:
            _run(log_format, partial(_serve, config, on_ready, stop_with_stdin=stop_with_stdin))
    except (StartRefused, DirectoryInUse, ServiceUnavailable, OSError) as error:
        fail(in_words(error))


def _log_printed(line: str) -> None:
    service_log.info("printed", line=line)


def _run(log_format: str, service: Callable[[asyncio.Event], Coroutine[object, object, None]]) -> None:
    """Run a service in a new event loop; SIGTERM and SIGINT set its event. Raises the errors of the service."""
    # With the text format, output of hooks stays as it is; with JSON, it becomes log lines that programs can read.
    printed = printed_to(_log_printed) if log_format == "json" else contextlib.nullcontext()

    async def until_stopped() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await service(stop)

    with printed, asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(until_stopped())


async def _serve(
    config: Config, on_ready: Callable[[Endpoints], None], stop: asyncio.Event, *, stop_with_stdin: bool
) -> None:
    if stop_with_stdin:
        loop = asyncio.get_running_loop()
        threading.Thread(target=_stop_at_end, args=(sys.stdin.buffer, loop, stop), daemon=True).start()
    await serve(config, on_ready=on_ready, stop=stop)


def _stop_at_end(stdin: BinaryIO, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Read and discard standard input until its end; then set the event, unless the service has ended before."""
    while stdin.read(4096):
        pass
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(stop.set)


def variables(config: Config, endpoints: Endpoints) -> list[str]:
    """Return the first output of a service for a test run: shell lines; the last is a comment that it is ready."""
    credentials = read_credentials(config.data_dir)
    assert credentials is not None, "an ephemeral service makes its first access key"
    return [
        f"export THINGMINT_DATA_DIR={shlex.quote(str(config.data_dir))}",
        *environment_lines(endpoints, credentials, os.environ),
        f"# Thingmint {__version__} is ready; devices connect to {endpoints.mqtt}",
    ]


def greeting(config: Config, endpoints: Endpoints) -> list[str]:
    """Return the first output of a service: its addresses, and the next commands to type."""
    command = _own_name()
    data_dir = config.data_dir.resolve()
    option = data_dir_option(data_dir)
    database = "PostgreSQL" if config.database_url else "SQLite"
    return [
        f"Thingmint {__version__} is ready: account {config.account}, region {config.region}",
        f"  AWS IoT API   {endpoints.api}",
        *([f"  console       {endpoints.api}/console"] if config.console else []),
        f"  devices       {_doors(endpoints)}",
        f"  trust anchor  {endpoints.ca_file or 'none: plain HTTP'}",
        f"  data          {data_dir} ({database})",
        "",
        "Your first certificate, in another terminal:",
        "",
        f'  eval "$({command} env{option})"',
        f"  {FIRST_CERTIFICATE}",
        "",
        f"Without the AWS CLI:  {command} issue{option} --active",
        *([_sign_in(data_dir)] if config.console and (data_dir / CREDENTIALS).is_file() else []),
    ]


def _sign_in(data_dir: Path) -> str:
    return f"In the console, sign in with the access key in {data_dir / CREDENTIALS}"


def _greet(config: Config, endpoints: Endpoints, words: Words, stdout: TextIO, log_format: str) -> None:
    if log_format == "json":
        # On a terminal, the greeting says the same in the next line.
        service_log.info("ready", api=endpoints.api, mqtt=endpoints.mqtt, account=config.account, version=__version__)
    # A closed standard output must not stop the service.
    try:
        click.echo("\n".join(words(config, endpoints)), file=stdout)
        stdout.flush()
    except OSError:
        sys.stdout = None


def _doors(endpoints: Endpoints) -> str:
    doors = [endpoints.mqtt] if endpoints.mqtt_alpn is None else [endpoints.mqtt, endpoints.mqtt_alpn]
    return f"{' and '.join(doors)} (MQTT, mutual TLS)"


def _own_name() -> str:
    """Return the command that starts this program: its bare name if the shell would find it."""
    found = shutil.which("thingmint")
    own = Path(sys.argv[0])
    if found is not None and own.exists() and Path(found).samefile(own):
        return "thingmint"
    if own.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m thingmint"
    try:
        return shlex.quote(str(own.resolve().relative_to(Path.cwd())))
    except (ValueError, FileNotFoundError):
        return shlex.quote(str(own))


def _log_format(config: Config) -> str:
    if config.log_format != "auto":
        return config.log_format
    return "console" if sys.stderr.isatty() else "json"
