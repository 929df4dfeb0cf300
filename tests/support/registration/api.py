"""Owns the whole API on an authority of its own, called as an edge would call it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.databases.memory_store import MemoryStore
from tests.support.devices.device_edge import FakeDataPlane, FakeDeviceEdge, new_data_plane
from tests.support.registration.authority import ACCOUNT, EVERYTHING, REGION, caller_with, new_authority

from thingmint.api.devices.data_plane import OperatorDataPlane
from thingmint.api.service import Endpoint, served_operations
from thingmint.api.wire.routing import Router
from thingmint.core.identifiers import AccountId, Region
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.policies.authorization import Permission


@dataclass
class Api:
    """The API as an edge would call it, one request at a time."""

    router: Router
    store: MemoryStore
    edge: FakeDeviceEdge = field(default_factory=FakeDeviceEdge)
    data_plane: FakeDataPlane = field(default_factory=FakeDataPlane)

    async def call(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        account: AccountId = ACCOUNT,
        region: Region = REGION,
    ) -> Any:  # parsed JSON, looked into by tests
        """Return the answer to a request of a caller who may do everything; raise what an edge would answer with."""
        path, _, query = target.partition("?")
        match = self.router.match(method, path.encode())
        caller = caller_with(EVERYTHING, account=account, region=region)
        return json.loads(await match.invoke(caller, match.read(query.encode(), list(headers), body)))

    def resource_of(
        self, method: str, target: str, body: bytes = b"", *, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> str | None:
        """Return the resource that policies would be asked about."""
        path, _, query = target.partition("?")
        match = self.router.match(method, path.encode())
        named = match.operation.resources(caller_with().scope, match.read(query.encode(), list(headers), body))
        return named[0] if named else None

    def resources_of(
        self, method: str, target: str, body: bytes = b"", *, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> tuple[str, ...]:
        """Return all resources that policies would be asked about."""
        path, _, query = target.partition("?")
        match = self.router.match(method, path.encode())
        return match.operation.resources(caller_with().scope, match.read(query.encode(), list(headers), body))

    def context_of(self, method: str, target: str) -> Mapping[str, tuple[str, ...]]:
        """Return the condition keys that only this operation has."""
        match = self.router.match(method, target.encode())
        return match.operation.permissions(caller_with().scope, match.read(b"", [], b""))[0].context

    def permissions_of(self, method: str, target: str, body: bytes = b"") -> tuple[Permission, ...]:
        """Return all that policies would be asked."""
        path, _, query = target.partition("?")
        match = self.router.match(method, path.encode())
        return match.operation.permissions(caller_with().scope, match.read(query.encode(), [], body))


def new_api() -> Api:
    """Return the API with an empty registry."""
    store, edge = MemoryStore(), FakeDeviceEdge()
    data_plane = new_data_plane(edge)
    return Api(build_router(new_authority(store), "devices.example", data_plane), store, edge, data_plane)


def build_router(authority: RegistrationAuthority, endpoint: Endpoint, data_plane: OperatorDataPlane) -> Router:
    """Return the router to every operation of AWS IoT, compiled.

    All planes share one router, because no two operations have the same method and path.
    """
    return Router(served_operations(authority, endpoint, data_plane))
