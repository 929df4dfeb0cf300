"""Owns the application of changed policies to open connections, one after the other, in time slices."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from thingmint.core.errors import ThingmintError
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.gateway.connection import GatewayConnection
from thingmint.mqtt.rights.permissions import to_connect
from thingmint.mqtt.rights.ports import DeviceRefused
from thingmint.registration.kernel.turns import Pace

_RETRY_SECONDS: Final = 1.0
_NOT_ANY_MORE: Final = "Not authorized any more"

log = logging.getLogger(__name__)


class PolicyRefresh:
    """Applies the policies that are attached now to connections, and ends connections that are no longer permitted."""

    def __init__(self, observe_kept: Callable[[], None]) -> None:
        self._observe_kept = observe_kept
        self.task: asyncio.Task[None] | None = None
        """The running task; None while no connection waits."""
        self._waiting: dict[GatewayConnection, None] = {}

    def refresh(self, connections: Iterable[GatewayConnection], loop: asyncio.AbstractEventLoop) -> None:
        """Refresh the connections, after those that already wait."""
        for connection in connections:
            connection.is_stale = True
            self._waiting[connection] = None
        if self._waiting and self.task is None:
            self.task = loop.create_task(self._refresh_all())

    async def _refresh_all(self) -> None:
        pace = Pace()
        while self._waiting:
            # In the order of the changes; a connection that cannot be bound now comes last.
            connection = next(iter(self._waiting))
            del self._waiting[connection]
            try:
                await _bind_again(connection)
                self._observe_kept()
            except ThingmintError as error:
                log.warning("the policies of a connection could not be read again: %s", error.message)
                self._waiting[connection] = None
                await asyncio.sleep(_RETRY_SECONDS)
            except DeviceRefused as refused:
                # Its certificate has gone since the change was noticed, to another account for instance.
                connection.device.refuse(to_connect(connection.client_id).refused_for(refused.reason))
                connection.end(ReasonCode.NOT_AUTHORIZED, _NOT_ANY_MORE, cut=True)
            except Exception:
                log.exception("the policies of a connection could not be read again")
                connection.end(ReasonCode.UNSPECIFIED_ERROR, cut=True)
            await pace.rest()
        self.task = None


async def _bind_again(connection: GatewayConnection) -> None:
    admitted = connection.device.admitted
    if admitted is None or connection.is_over:
        # A connection whose CONNECT is being decided looks at `is_stale` by itself.
        return
    connection.is_stale = False
    admitted.authorizer = await admitted.device.authorizer(admitted.facts)
    needed = to_connect(connection.client_id)
    if not needed.is_given_by(admitted.authorizer):
        connection.device.refuse(needed.refused_by(admitted.authorizer))
        connection.end(ReasonCode.NOT_AUTHORIZED, _NOT_ANY_MORE, cut=True)
