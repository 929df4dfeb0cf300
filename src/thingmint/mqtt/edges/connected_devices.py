"""Owns the view that operators have of their account's devices on this node, from the gateway and data plane."""

import heapq
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from thingmint.api.devices.live_devices import ConnectionFilter, LiveConnection, RecentRefusal, Watch
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import Scope
from thingmint.mqtt.data_plane import DataPlane
from thingmint.mqtt.edges.recent_refusals import RecentRefusals
from thingmint.mqtt.edges.topic_watch import TopicWatches
from thingmint.mqtt.gateway.connection import GatewayConnection
from thingmint.mqtt.gateway.gateway import Gateway


class ConnectedDevices:
    """Implements `api.devices.live_devices.LiveDevices`. Each call gets the gateway anew, as it may be replaced."""

    def __init__(
        self,
        gateway: Callable[[], Gateway],
        data_plane: DataPlane,
        refusals: RecentRefusals,
        new_id: Callable[[], str],
    ) -> None:
        self._gateway = gateway
        self._data_plane = data_plane
        self._refusals = refusals
        self._watches = TopicWatches(data_plane, new_id)

    def connections(self, scope: Scope, wanted: ConnectionFilter, after: str, count: int) -> Sequence[LiveConnection]:
        """Return up to ``count`` connections whose client ids sort after ``after``, in order."""
        open_now = self._gateway().connections_of_account(scope)
        found = (
            client_id
            for client_id, connection in open_now.items()
            if client_id > after and _is_wanted(client_id, connection, wanted)
        )
        return tuple(_shown(open_now[client_id]) for client_id in heapq.nsmallest(count, found))

    def refusals(self, scope: Scope, wanted: ConnectionFilter, count: int) -> Sequence[RecentRefusal]:
        """Return the last recorded refusals of the account's devices, newest first."""
        return self._refusals.newest(scope, wanted, count)

    def watch(
        self, scope: Scope, topic_filter: str, may_see: Callable[[str], bool]
    ) -> AbstractAsyncContextManager[Watch]:
        """Watch the topics of a filter; raise InvalidRequest, Throttled or ServiceUnavailable."""
        if not self._data_plane.serves(scope):
            raise InvalidRequest(f"The broker behind this service serves another account than {scope.account}")
        return self._watches.open(scope, topic_filter, may_see)


def _is_wanted(client_id: str, connection: GatewayConnection, wanted: ConnectionFilter) -> bool:
    is_of_certificate = not wanted.certificate_id or connection.principal_id == wanted.certificate_id
    return is_of_certificate and client_id.startswith(wanted.client_id_prefix)


def _shown(connection: GatewayConnection) -> LiveConnection:
    return LiveConnection(
        client_id=connection.client_id,
        principal_id=connection.principal_id,
        connected_at=connection.opened_at,
        source=connection.sockets[0],
    )
