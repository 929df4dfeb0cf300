"""Owns the interface of a node's edges to the other nodes of its database. With SQLite there are no other nodes."""

from typing import Final, Protocol

from thingmint.api.devices.data_plane import EndedConnection, OpenConnection
from thingmint.core.errors import ResourceNotFound
from thingmint.core.identifiers import Scope
from thingmint.mqtt.codec.packets import Publish

NOT_CONNECTED: Final = "No client of this id is connected"


class OtherNodes(Protocol):
    """Reaches clients that are connected to other nodes."""

    async def connection(self, scope: Scope, client_id: str) -> OpenConnection | None:
        """Return a client's connection to any node, or None."""
        ...

    async def last_connection(self, scope: Scope, client_id: str) -> EndedConnection | None:
        """Return how a client's last connection to any node ended, or None."""
        ...

    async def disconnect(self, scope: Scope, client_id: str, *, clean_session: bool, prevent_will: bool) -> bool:
        """End a client's connection to another node; return whether it was connected."""
        ...

    async def send(self, scope: Scope, client_id: str, message: Publish, confirmed_within: float | None) -> None:
        """Send a message to a client of another node; raises the same errors as `OperatorEdge.send`."""
        ...

    async def publish(self, scope: Scope, message: Publish) -> None:
        """Deliver a message to the other nodes' devices if no broker does this; raise ServiceUnavailable."""
        ...


class NoOtherNodes:
    """Implements `OtherNodes` for a node that is the only one of its database."""

    async def connection(self, scope: Scope, client_id: str) -> OpenConnection | None:
        """Return None."""
        del scope, client_id
        return None

    async def last_connection(self, scope: Scope, client_id: str) -> EndedConnection | None:
        """Return None."""
        del scope, client_id
        return None

    async def disconnect(self, scope: Scope, client_id: str, *, clean_session: bool, prevent_will: bool) -> bool:
        """Return False."""
        del scope, client_id, clean_session, prevent_will
        return False

    async def send(self, scope: Scope, client_id: str, message: Publish, confirmed_within: float | None) -> None:
        """Raise ResourceNotFound."""
        del scope, client_id, message, confirmed_within
        raise ResourceNotFound(NOT_CONNECTED)

    async def publish(self, scope: Scope, message: Publish) -> None:
        """Do nothing."""
        del scope, message
