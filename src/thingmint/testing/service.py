"""Owns a service for one test run: its process, its accounts, its clock, reset and seed."""

import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from thingmint.data_directory.handover import Endpoints, read_endpoints
from thingmint.rest.signed_client import Connection, SignedClient
from thingmint.testing.account import Account, Caller, Place
from thingmint.testing.certificates import EXPIRED_FOR
from thingmint.testing.device import Address

_SERVICE = "thingmint"
_READY = "# Thingmint"
_ENDED_WITHIN_SECONDS = 60.0
_NOT_PASSED_ON = ("AWS_", "THINGMINT_")


class NotStarted(Exception):
    """The service ended before it was ready; the message is its log."""


class Clock:
    """The service's clock. Signatures and the server's certificate use the machine's clock instead."""

    def __init__(self, call: "Any") -> None:
        self._call = call
        self._ahead = timedelta(0)

    @property
    def is_right(self) -> bool:
        """Whether it has the machine's time."""
        return not self._ahead

    def advance(
        self, *, weeks: float = 0, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> datetime:
        """Move the clock and return its time; negative durations move it back."""
        by = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        now = self._moved({"advanceSeconds": by.total_seconds()})
        self._ahead += by
        return now

    def set_right(self) -> datetime:
        """Reset the clock to the machine's time, and return that."""
        now = self._moved({"setRight": True})
        self._ahead = timedelta(0)
        return now

    def now(self) -> datetime:
        """Return the clock's time, aware, UTC."""
        return self._moved({})

    @contextmanager
    def moved(self, by: timedelta) -> Iterator[None]:
        """Move the clock until the end of the block."""
        self.advance(seconds=by.total_seconds())
        try:
            yield
        finally:
            self.advance(seconds=-by.total_seconds())

    def _moved(self, request: Mapping[str, object]) -> datetime:
        answer = self._call("POST", "/thingmint/test/clock", request)
        return datetime.fromtimestamp(float(answer["now"]), UTC)


@dataclass
class Service:
    """A running service in test mode."""

    process: "subprocess.Popen[str]" = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    endpoints: Endpoints
    directory: Path
    log_file: Path

    def __post_init__(self) -> None:
        """Begin without calls."""
        variables = self.variables
        self._client = SignedClient(
            Connection(
                endpoint=self.endpoints.api,
                ca_file=self.endpoints.ca_file,
                region=self.endpoints.region,
                access_key_id=variables["AWS_ACCESS_KEY_ID"],
                secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
                session_token=None,
            ),
            _SERVICE,
        )
        self._accounts: list[Account] = []
        self.clock = Clock(self._call)

    @property
    def log(self) -> str:
        """The log of the service, as JSON lines."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    @property
    def administrator(self) -> Account:
        """The service's own account."""
        variables = self.variables
        return self._account(self.endpoints.account, variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])

    def create_account(self, account_id: str | None = None) -> Account:
        """Return a new, empty account; without ``account_id``, it gets a random number."""
        made = self._call("POST", "/thingmint/accounts", {} if account_id is None else {"account": account_id})
        return self._account(made["account"], made["accessKeyId"], made["secretAccessKey"])

    def delete_account(self, account_id: str) -> None:
        """Delete an account with all its resources."""
        self._call("DELETE", f"/thingmint/accounts/{account_id}")

    def reset(self) -> None:
        """Delete all other accounts, empty the service's own except its access keys, and reset the clock."""
        self._call("POST", "/thingmint/test/reset", {})
        self.clock = Clock(self._call)

    def seed(self, document: Path | Mapping[str, object]) -> Sequence[Mapping[str, Any]]:
        """Carry out the operations of a seed, or of a JSON file with a seed, and return their outputs."""
        seed = json.loads(document.read_text(encoding="utf-8")) if isinstance(document, Path) else document
        outputs: Sequence[Mapping[str, Any]] = self._call("POST", "/thingmint/test/seed", seed)["outputs"]
        return outputs

    def close(self) -> None:
        """Close all clients and devices, end the service, and remove its directory."""
        while self._accounts:
            self._accounts.pop().close()
        self._client.close()
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(_ENDED_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _account(self, account_id: str, access_key_id: str, secret: str) -> Account:
        host, _, port = self.endpoints.mqtt.rpartition(":")
        ca_file = self.endpoints.ca_file
        assert ca_file is not None
        devices = Address(host.strip("[]"), int(port), ca_file)
        account = Account(
            account_id,
            access_key_id,
            secret,
            Place(self.endpoints.api, ca_file, self.endpoints.region, devices, self.directory),
            new_caller=self._new_caller,
            moved_back=lambda: self.clock.moved(-2 * EXPIRED_FOR),
        )
        self._accounts.append(account)
        return account

    def _new_caller(self, account_id: str, policy: Mapping[str, object]) -> Caller:
        made = self._call(
            "POST",
            f"/thingmint/accounts/{account_id}/access-keys",
            {"policy": json.dumps(policy), "userName": "caller"},
        )
        ca_file = self.endpoints.ca_file
        assert ca_file is not None
        return Caller(
            account_id,
            made["accessKeyId"],
            made["secretAccessKey"],
            Place(self.endpoints.api, ca_file, self.endpoints.region, Address("", 0, ca_file), self.directory),
        )

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        return self._client.call(method, path, {}, body)


@contextmanager
def service(*options: str) -> Iterator[Service]:
    """Start a service, yield it when it is ready, and end it afterwards; ``options`` are flags of `thingmint serve`.

    It has free ports, and a temporary directory. It also ends when this process ends in any way. Raises NotStarted.
    """
    with tempfile.TemporaryDirectory(prefix="thingmint-test-") as directory:
        log_file = Path(directory) / "service.log"
        with log_file.open("ab") as log:
            process = _started(options, log)
        try:
            running = _ready(process, Path(directory), log_file)
        except BaseException:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                stream.close()
            raise
        try:
            yield running
        finally:
            running.close()


def _started(options: Sequence[str], log: IO[bytes]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "thingmint", "serve", "--ephemeral", "--stop-with-stdin", *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
    return subprocess.Popen(  # noqa: S603 - no shell; the command is ours
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
    )


def _ready(process: "subprocess.Popen[str]", directory: Path, log_file: Path) -> Service:
    """Return the service when it has printed that it is ready."""
    assert process.stdout is not None
    variables: dict[str, str] = {}
    for line in process.stdout:
        if line.startswith(_READY):
            endpoints = read_endpoints(Path(variables["THINGMINT_DATA_DIR"]))
            assert endpoints is not None
            return Service(process, variables, endpoints, directory, log_file)
        name, _, value = shlex.split(line)[-1].partition("=")
        variables[name] = value
    process.wait()
    raise NotStarted(log_file.read_text(encoding="utf-8", errors="replace"))
