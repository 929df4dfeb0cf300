"""Owns a device edge that remembers what it was asked, and has what tests put into it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support.registration.authority import ACCOUNT, REGION

from thingmint.api.devices.data_plane import DeviceMessage, EndedConnection, OpenConnection, RetainedMessage
from thingmint.core.identifiers import Scope


@dataclass
class FakeDeviceEdge:
    """Implements `api.devices.data_plane.AccountDevices` without devices."""

    published: list[DeviceMessage] = field(default_factory=list)
    kept: dict[str, RetainedMessage] = field(default_factory=dict)
    connections: dict[str, OpenConnection] = field(default_factory=dict)
    ended: dict[str, EndedConnection] = field(default_factory=dict)
    disconnected: list[tuple[str, bool, bool]] = field(default_factory=list)
    sent: list[tuple[str, DeviceMessage, float | None]] = field(default_factory=list)

    async def publish(self, message: DeviceMessage) -> None:
        self.published.append(message)

    async def retained(self, topic: str) -> RetainedMessage | None:
        return self.kept.get(topic)

    def retained_after(self, topic: str, count: int) -> Sequence[RetainedMessage]:
        return [self.kept[each] for each in sorted(self.kept) if each > topic][:count]

    async def forget(self) -> None:
        self.kept.clear()

    async def disconnect(self, client_id: str, *, clean_session: bool, prevent_will: bool) -> bool:
        self.disconnected.append((client_id, clean_session, prevent_will))
        return client_id in self.connections

    async def connection(self, client_id: str) -> OpenConnection | None:
        return self.connections.get(client_id)

    async def last_connection(self, client_id: str) -> EndedConnection | None:
        return self.ended.get(client_id)

    async def send(self, client_id: str, message: DeviceMessage, confirmed_within: float | None) -> None:
        self.sent.append((client_id, message, confirmed_within))


@dataclass
class FakeDataPlane:
    """Implements `api.devices.data_plane.OperatorDataPlane`: an edge for each account that asks."""

    edges: dict[Scope, FakeDeviceEdge] = field(default_factory=dict)

    def edge_of(self, scope: Scope) -> FakeDeviceEdge:
        return self.edges.setdefault(scope, FakeDeviceEdge())


def new_data_plane(edge: FakeDeviceEdge | None = None) -> FakeDataPlane:
    """Return a data plane with this edge for the tests' account."""
    return FakeDataPlane({Scope(ACCOUNT, REGION): edge or FakeDeviceEdge()})
