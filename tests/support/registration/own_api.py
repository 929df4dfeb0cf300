"""Owns the service's own operations on an authority of their own, called as an edge would call them."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.devices.device_edge import FakeDataPlane, FakeDeviceEdge
from tests.support.registration.api import Api
from tests.support.registration.authority import ACCOUNT, new_authority

from thingmint.api.accounts.accounts import Administration
from thingmint.api.service import operations_of_test_mode, own_operations, served_operations
from thingmint.api.wire.routing import Router
from thingmint.core.identifiers import AccountId


@dataclass
class MovedClock(SettableClock):
    """A clock that moves by what it is told, and remembers by how much."""

    ahead: timedelta = timedelta(0)

    def advance(self, by: timedelta) -> None:
        """Move."""
        self.ahead += by
        self.at += by

    def set_right(self) -> None:
        """Move back."""
        self.at -= self.ahead
        self.ahead = timedelta(0)


@dataclass
class OwnApi:
    """The operations, and what they work on."""

    api: Api
    clock: MovedClock

    @property
    def store(self) -> MemoryStore:
        """The tables."""
        return self.api.store

    async def call(self, method: str, target: str, body: object = None, account: AccountId = ACCOUNT) -> Any:
        """Return the answer; raise what an edge would answer with."""
        content = b"" if body is None else json.dumps(body).encode()
        return await self.api.call(method, target, content, account=account)


def new_own_api(data_plane: FakeDataPlane) -> OwnApi:
    """Return the API with the operations of accounts and of the test mode; the service's own account is ``ACCOUNT``."""
    store = MemoryStore()
    authority, clock = new_authority(store), MovedClock()
    served = served_operations(authority, "devices.example", data_plane)
    administration = Administration(authority, data_plane, ACCOUNT)
    own = (*own_operations(administration), *operations_of_test_mode(administration, clock, served))
    return OwnApi(Api(Router((*served, *own)), store, FakeDeviceEdge(), data_plane), clock)
