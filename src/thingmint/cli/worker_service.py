"""`thingmint serve --workers N`: owns the process that starts several workers, and the workers themselves."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import msgspec

from thingmint.cli.settings import fail
from thingmint.core.error_text import in_words
from thingmint.core.errors import ServiceUnavailable
from thingmint.data_directory.handover import Endpoints, write_endpoints
from thingmint.host.connections.listening import ReservedPort
from thingmint.host.service_log import service_log
from thingmint.host.shared_texts import SharedTexts
from thingmint.host.telemetry import configure_logging
from thingmint.host.worker_processes import Lifeline, WorkerFailed, Workers, run_apart
from thingmint.service.node import prepare
from thingmint.service.serving import GRACE_SECONDS, directory_served, serve_as_worker
from thingmint.service.start.passphrases import DESCRIPTOR, read_passphrase
from thingmint.service.workers import Worker, reserve_ports, settings_of_worker
from thingmint.settings.config import Config, StartRefused

# Devices, callers and clients of the public address get this grace one after the other.
_PATIENCE_SECONDS = 3 * GRACE_SECONDS + 15.0

# Runs a service in a new event loop, until the event is set that the service receives.
Run: TypeAlias = Callable[[Callable[[asyncio.Event], Coroutine[object, object, None]]], None]


def serve_with_workers(
    config: Config,
    log_format: str,
    on_ready: Callable[[Endpoints], None],
    run: Run,
    *,
    stop_with_stdin: bool,
) -> None:
    """Serve with several processes until SIGTERM or SIGINT.

    ``run`` runs a service in a new event loop until it is told to stop. Raises StartRefused, DirectoryInUse or OSError
    if the service cannot start; if a worker cannot start, it logs the reason, and this process ends with 1.
    """
    if not sys.platform.startswith("linux"):
        raise StartRefused("workers can be more than 1 on Linux only, which spreads connections over processes")
    passphrase = read_passphrase(config.ca_passphrase_file, os.environ)
    metrics = SharedTexts(config.workers)

    def ready(said: bytes) -> None:
        endpoints = msgspec.json.decode(said, type=Endpoints)
        endpoints = msgspec.structs.replace(endpoints, pid=os.getpid())
        write_endpoints(config.data_dir, endpoints)
        on_ready(endpoints)

    with directory_served(config.data_dir):
        if run_apart(lambda: _prepare(config, passphrase)):
            sys.exit(1)
        ports = reserve_ports(config)

        def work(number: int, lifeline: Lifeline) -> int:
            configure_logging(log_format, config.log_level, facts={"worker": number})
            worker = Worker(number, metrics)
            _work(config, ports, _newest(config, passphrase), worker, lifeline, run)
            return 0

        try:
            Workers(
                config.workers,
                work,
                ready,
                metrics.clear,
                service_log,
                _PATIENCE_SECONDS,
                sys.stdin.fileno() if stop_with_stdin else None,
            ).run()
        except WorkerFailed as error:
            if error.is_told:
                sys.exit(1)
            fail(in_words(error))


def _prepare(config: Config, passphrase: bytes | None) -> int:
    try:
        asyncio.run(prepare(replace(config, ca_passphrase_file=_handed_down(passphrase))))
    except (StartRefused, ServiceUnavailable, OSError) as error:
        fail(in_words(error))
    return 0


def _work(
    config: Config,
    ports: Mapping[str, ReservedPort],
    passphrase: bytes | None,
    worker: Worker,
    lifeline: Lifeline,
    run: Run,
) -> None:
    own = settings_of_worker(config, ports, _handed_down(passphrase))

    async def serve(stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        lifeline.watch(partial(loop.call_soon_threadsafe, stop.set), _PATIENCE_SECONDS)
        await serve_as_worker(
            own, worker, on_ready=lambda endpoints: lifeline.ready(msgspec.json.encode(endpoints)), stop=stop
        )

    run(serve)


def _newest(config: Config, passphrase: bytes | None) -> bytes | None:
    """Return the current passphrase: `thingmint seal` may have changed it since the service was started.

    If the source can be read only once or does not exist any more, return the earlier passphrase.
    """
    if str(config.ca_passphrase_file).startswith(DESCRIPTOR):
        return passphrase
    with contextlib.suppress(StartRefused):
        return read_passphrase(config.ca_passphrase_file, os.environ)
    return passphrase


def _handed_down(passphrase: bytes | None) -> Path | None:
    """Return the source from which this worker reads the passphrase once; only its parent can read the file."""
    if passphrase is None:
        return None
    descriptor = os.memfd_create("thingmint", os.MFD_CLOEXEC)
    os.write(descriptor, passphrase)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return Path(f"{DESCRIPTOR}{descriptor}")
