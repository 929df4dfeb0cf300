"""Owns bulk registrations for tests: templates, files of devices, and stores that die when they are told to."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.support.registration.authority import ACCOUNT
from tests.support.registration.fleet import DOCUMENT

from thingmint.core.provisioning.registration_task import ReportType
from thingmint.records.steps import Program
from thingmint.registration.kernel.ports import Store

T = TypeVar("T")

BUCKET, KEY = "factory", "devices.json"
TEMPLATE = json.dumps(
    {
        "Parameters": {"Name": {"Type": "String"}, "Serial": {"Type": "String", "Default": "none"}},
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {"ThingName": {"Ref": "Name"}, "AttributePayload": {"serial": {"Ref": "Serial"}}},
                "OverrideSettings": {"AttributePayload": "FAIL"},
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": DOCUMENT}},
        },
    }
)


def device(number: int) -> dict[str, str]:
    """Return the parameters of one device."""
    return {"Name": f"sensor-{number}", "Serial": str(number)}


def write_input(root: Path, lines: Sequence[Mapping[str, str] | str], account: str = ACCOUNT) -> None:
    """Write the input file of an account: parameters as JSON, text as it is."""
    folder = root / account / BUCKET
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (folder / KEY).write_text(text)


def report(root: Path, task_id: str, kind: ReportType) -> list[dict[str, Any]]:
    """Return the lines of a report."""
    path = root / "registration-reports" / f"{task_id}-{kind.lower()}.json"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Crash(BaseException):
    """The process has ended; nothing after this happens in it."""


class MortalStore:
    """A store of a process that dies at the nth write from now, before it is durable or after; None for never."""

    def __init__(self, store: Store, dies_at: int | None = None, *, after_commit: bool = False) -> None:
        self._store, self._left, self._after_commit = store, dies_at, after_commit
        self.is_dead = False

    async def read(self, program: Program[T]) -> T:
        """Run a program that changes nothing."""
        self._require_life()
        return await self._store.read(program)

    async def write(self, program: Program[T]) -> T:
        """Run a program and keep what it did, or die."""
        self._require_life()
        if self._left is not None:
            self._left -= 1
            if self._left == 0 and not self._after_commit:
                self._die()
        result = await self._store.write(program)
        if self._left == 0:
            self._die()
        return result

    async def check(self) -> None:
        """Return while alive."""
        self._require_life()

    async def close(self) -> None:
        """Leave the store open for the next process."""

    def _die(self) -> None:
        self.is_dead = True
        raise Crash

    def _require_life(self) -> None:
        if self.is_dead:
            raise Crash
