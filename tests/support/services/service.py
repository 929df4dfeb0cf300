"""A real `thingmint serve` in a process of its own, for the tests that judge it from the outside."""

import contextlib
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.databases.database import tables_of
from tests.support.databases.invariants import violations
from tests.support.services.forked import Process, run_thingmint, start_thingmint

from thingmint.data_directory.handover import Endpoints, read_credentials, read_endpoints
from thingmint.storage import SQLITE_FILE_NAME

ENDED_WITHIN_SECONDS = 60.0
# Without bytecode, each of the many services that tests start would compile the source again.
_NOT_PASSED_ON = ("AWS_", "THINGMINT_", "PYTHONDONTWRITEBYTECODE")
# One process that makes keys: to start another one costs more than a test gains by it. Options of a test come later.
_FEW_WORKERS = ("--key-workers", "1")


@dataclass
class Service:
    """A running service and what a client needs to call it."""

    process: Process
    data_dir: Path
    endpoints: Endpoints
    log_file: Path
    greeting: list[str] = field(default_factory=list)
    closers: list[Callable[[], None]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that `thingmint env` would give to a client, and nothing of this process's own AWS settings."""
        credentials = read_credentials(self.data_dir)
        assert credentials is not None
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return own | {
            "AWS_ENDPOINT_URL_IOT": self.endpoints.api,
            "AWS_ENDPOINT_URL_IOT_DATA_PLANE": self.endpoints.api,
            "AWS_CA_BUNDLE": str(self.data_dir / "ca.pem"),
            "NODE_EXTRA_CA_CERTS": str(self.data_dir / "ca.pem"),
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
            "AWS_REGION": self.endpoints.region,
            "AWS_DEFAULT_REGION": self.endpoints.region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    @property
    def log(self) -> str:
        """What the service has logged."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def wait_for_log(self, text: str) -> None:
        """Return when the service has logged this."""
        deadline = time.monotonic() + ENDED_WITHIN_SECONDS
        while text not in self.log:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)  # a file sets no event

    def kill(self) -> None:
        """End the service as a power cut would, as far as a process can see one."""
        self.process.kill()
        self.process.wait(ENDED_WITHIN_SECONDS)

    def terminate(self) -> int:
        """Ask the service to stop, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(ENDED_WITHIN_SECONDS)

    def close_clients(self) -> None:
        """Close what the test's clients have left open."""
        while self.closers:
            self.closers.pop()()


def thingmint(*arguments: str, environment: dict[str, str] | None = None, **options: object) -> list[str]:
    """Return the command line that runs Thingmint as this interpreter has it installed."""
    return [sys.executable, "-m", "thingmint", *arguments]


def start_service(
    data_dir: Path,
    *arguments: str,
    environment: dict[str, str] | None = None,
    log_file: Path | None = None,
    key_reserve: int = 1,
    before: Sequence[str] = (),
    folder: Path | None = None,
) -> Service:
    """Start a service on free ports and return when it is ready; raise AssertionError with its log if it ends first.

    ``before`` is a command that takes the service's command line as its last arguments; ``folder`` is where it runs.
    """
    log_file = log_file or data_dir.with_name(data_dir.name + ".log")
    words = [
        "serve",
        "--data-dir",
        str(data_dir),
        "--api",
        "127.0.0.1:0",
        "--key-reserve",
        str(key_reserve),
        *_FEW_WORKERS,
        *arguments,
    ]
    own = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
    own |= environment or {}
    with log_file.open("ab") as log:
        process = start_thingmint(*words, before=before, environment=own, stderr=log, folder=folder)
    assert process.stdout is not None
    greeting = [process.stdout.readline()]
    if "is ready" not in greeting[0]:
        process.kill()
        process.wait(ENDED_WITHIN_SECONDS)
        process.stdout.close()
        raise AssertionError(f"the service did not start: {greeting[0]}{log_file.read_text(errors='replace')}")
    endpoints = read_endpoints(data_dir)
    assert endpoints is not None
    service = Service(process, data_dir, endpoints, log_file, greeting)
    threading.Thread(target=_drain, args=(process, greeting), daemon=True).start()
    return service


def ended_start(data_dir: Path, *options: str, environment: Mapping[str, str] | None = None) -> str:
    """Return what a service says that does not start."""
    words = ("serve", "--data-dir", str(data_dir), "--api", "127.0.0.1:0", "--key-reserve", "0", *options)
    ended = run_thingmint(*words, environment={**os.environ, **(environment or {})}, timeout=ENDED_WITHIN_SECONDS)
    assert ended.returncode == 1, ended.stdout
    return ended.stderr


@contextlib.contextmanager
def running_service(data_dir: Path, *arguments: str, **options: object) -> Iterator[Service]:
    """Yield a service that is ended after the test if that has not ended it; fail if it leaves inconsistent tables."""
    service = start_service(data_dir, *arguments, **options)  # type: ignore[arg-type] # passed through unchanged
    try:
        yield service
    finally:
        service.close_clients()
        if service.process.poll() is None:
            service.terminate()
    assert_consistent(data_dir, database_url_in(arguments))


def database_url_in(arguments: tuple[str, ...]) -> str | None:
    """Return the database that the flags name, or None for SQLite in the data directory."""
    named = dict(itertools.pairwise(arguments))
    return named.get("--database-url")


def assert_consistent(data_dir: Path, database_url: str | None) -> None:
    """Fail if the registry's tables contradict each other; a service that never came to have any is consistent."""
    if database_url is not None or (data_dir / SQLITE_FILE_NAME).exists():
        assert violations(tables_of(data_dir, database_url)) == []


def _drain(process: Process, greeting: list[str]) -> None:
    assert process.stdout is not None
    with process.stdout:
        greeting.extend(process.stdout)
