"""Owns what an operation did: what its caller was told, what changed in the database, what listeners heard.

Each trial has accounts of its own, so that what it changed is what these accounts have afterwards.
"""

import itertools
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace
from tests.support.databases.stores import sample_access_key
from tests.support.devices.device_edge import FakeDeviceEdge, new_data_plane
from tests.support.devices.device_requests import asked
from tests.support.registration.api import build_router
from tests.support.registration.authority import EVERYTHING, REGION, Listener, caller_with, new_authority
from tests.support.registration.bulk import device, write_input
from tests.support.registration.fleet import CLAIM_ID
from tests.support.registration.mutations import Mutation, Request, prepared

from thingmint.api.devices.device_api import DeviceApi
from thingmint.api.wire.routing import Router
from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import AccountId
from thingmint.data_directory.buckets import Buckets
from thingmint.records.access import access_keys as access_key_table
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.ports import Store
from thingmint.registration.provisioning.device_provisioning import FleetDevice

Rows = dict[str, int]


class Fault(Protocol):
    """Something that goes wrong at one place; ``fired`` says whether that place was reached."""

    @property
    def fired(self) -> bool:
        """Whether the fault has happened."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What the caller was told, what changed in the database, and how much listeners heard."""

    told: str
    changed: Rows
    entries: int
    events: int


@dataclass
class Trials:
    """The API on one database: through what fails, and past it.

    ``arm`` sets the fault, or none. ``rows`` counts the rows that accounts have in each table, once nothing is under
    way any more.
    """

    direct: Store
    failing: Store
    registration_dir: Path
    arm: Callable[[Any], None]
    rows: Callable[[str, str], Awaitable[Rows]]
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    listener: Listener = field(default_factory=Listener)
    authority: RegistrationAuthority = field(default_factory=new_authority)
    routers: dict[int, Router] = field(default_factory=dict)

    async def tried(self, mutation: Mutation, fault: Fault | None) -> Outcome:
        """Do the operation for a fresh account, with this fault."""
        own, other = (f"{next(self.numbers):012d}" for _ in range(2))
        accounts = {"own": own, "other": other}
        write_input(self.registration_dir, [device(1)], own)
        key = sample_access_key(int(other), account=AccountId(other))
        await self.direct.write(lambda: access_key_table.insert_access_key(key))

        async def call(request: Request, account: str) -> object:
            return await self.call(self.direct, request, accounts[account])

        request = await prepared(mutation, call, own, other)
        before = await self.rows(own, other)
        self.listener.entries.clear()
        self.listener.events.clear()
        self.arm(fault)
        try:
            await self.call(self.failing, request, accounts[request.account])
            told = "200"
        except ServiceUnavailable:
            told = "503"
        finally:
            self.arm(None)
        after = await self.rows(own, other)
        changed = {table: after[table] - before[table] for table in after if after[table] != before[table]}
        return Outcome(told, changed, len(self.listener.entries), len(self.listener.events))

    async def call(self, store: Store, request: Request, account: str) -> Any:
        """Return the answer to the request, served on this store."""
        if request.method == "MQTT":
            return await self._asked_by_device(store, request, account)
        path, _, query = request.target.partition("?")
        body = json.dumps(request.body).encode() if request.body else b""
        headers = [(name.encode(), value.encode()) for name, value in request.headers.items()]
        match = self._router(store).match(request.method, path.encode())
        caller = caller_with(EVERYTHING, account=AccountId(account), region=REGION)
        return json.loads(await match.invoke(caller, match.read(query.encode(), headers, body)))

    async def _asked_by_device(self, store: Store, request: Request, account: str) -> Any:
        device = FleetDevice(caller_with(EVERYTHING, account=AccountId(account), region=REGION), CLAIM_ID)
        payload = json.dumps(request.body).encode()
        reply = await DeviceApi(self._authority(store)).answer(device, "client", asked(request.target), payload)
        answer = json.loads(reply.payload)
        if reply.topic.endswith("/rejected"):
            assert answer["statusCode"] == 503, answer
            raise ServiceUnavailable(answer["errorMessage"])
        return answer

    def _authority(self, store: Store) -> RegistrationAuthority:
        return replace(
            self.authority,
            store=store,
            files=Buckets(self.registration_dir),
            events=self.listener,
            thing_type_deletable_after=timedelta(),
        )

    def _router(self, store: Store) -> Router:
        if id(store) not in self.routers:
            data_plane = new_data_plane(FakeDeviceEdge())
            self.routers[id(store)] = build_router(self._authority(store), "devices.example", data_plane)
        return self.routers[id(store)]


async def judge(
    trials: Trials, mutation: Mutation, fault_at: Callable[[int], Fault], places: Iterable[int] | None = None
) -> None:
    """Let the fault happen at each place in turn: the operation was done once or not at all, and its caller knows.

    ``places`` are those that are tried, by default all.

    Success means done once; unavailable means done once or not at all; any other answer would be wrong, because the
    request is valid.
    """
    done = await trials.tried(mutation, None)
    assert done.told == "200"
    assert done.changed, f"{mutation.operation} changes nothing"
    for place in itertools.count() if places is None else places:
        fault = fault_at(place)
        outcome = await trials.tried(mutation, fault)
        where = f"{mutation.operation}, {fault}: {outcome}"
        if outcome.told == "200":
            assert outcome == done, where
        else:
            assert outcome.changed in ({}, done.changed), where
            assert (outcome.entries, outcome.events) == (0, 0), where
        if not fault.fired:
            assert place, where
            return
