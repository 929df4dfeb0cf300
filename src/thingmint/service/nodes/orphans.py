"""Owns the connections of lost nodes: publishes their disconnect events and their wills, each once.

Any node may do it. The node that removes a connection from the database writes its end and its will in the same
transaction, as messages to all nodes.
"""

import logging
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from thingmint.core.clock import Clock
from thingmint.core.identifiers import Scope
from thingmint.core.principals import principal_target
from thingmint.mqtt.counters import Counters
from thingmint.mqtt.edges.life_cycle import life_cycle_event
from thingmint.mqtt.edges.registered_devices import RegisteredDevices
from thingmint.mqtt.events import ClientDisconnected, DisconnectReason, Link
from thingmint.mqtt.rights.ports import DeviceRefused
from thingmint.mqtt.rights.will_right import DeviceWillRight
from thingmint.records.nodes import connections as connection_table
from thingmint.records.nodes import messages as message_table
from thingmint.records.nodes.connections import ConnectionRow
from thingmint.records.nodes.messages import NewMessage
from thingmint.records.steps import Steps
from thingmint.registration.kernel.ports import Store
from thingmint.service.nodes.wire import ForwardedEvent, due_column, ending_row, facts_of, publish_of_bytes

FROM_REGISTRY: Final = "shared_event"
"""The kind of an event that no node has published yet: each node publishes it to its devices."""
FROM_NOBODY: Final = "shared_message"
"""The kind of an MQTT message that no node has delivered yet."""
_AT_ONCE: Final = 200

log = logging.getLogger(__name__)


class Orphans(Struct):
    """Ends the connections of lost nodes."""

    store: Store
    clock: Clock
    devices: RegisteredDevices
    counters: Counters
    node_id: Callable[[], str]

    async def give_up(self) -> None:
        """End the connections that are due; after ServiceUnavailable or Throttled, the next call continues."""
        while True:
            rows = await self.store.read(lambda: connection_table.orphans(_AT_ONCE))
            for row in rows:
                await self._give_up(row)
            if len(rows) < _AT_ONCE:
                return

    async def _give_up(self, row: ConnectionRow) -> None:
        if not row.client_id:
            # This row shows a node that its connections are in the database.
            await self.store.write(lambda: connection_table.take_orphan(row.session_id))
        elif row.will is not None and row.will_delay and row.will_due_at is None:
            due_at = due_column(self.clock.now(), row.will_delay)
            await self.store.write(lambda: self._awaited(row, due_at))
        else:
            may_publish = row.will is not None and await self._may_publish(row)
            await self.store.write(lambda: self._taken(row, may_publish=may_publish))

    def _awaited(self, row: ConnectionRow, due_at: int) -> Steps[None]:
        if (yield from connection_table.await_will(row.session_id, due_at)):
            yield from self._end_told(row, [])

    def _taken(self, row: ConnectionRow, *, may_publish: bool) -> Steps[None]:
        has_will = yield from connection_table.take_orphan(row.session_id)
        if has_will is None:
            return
        wills = list[NewMessage]()
        if has_will and may_publish and row.will is not None:
            wills = [self._message(row.scope, FROM_NOBODY, f"will/{row.session_id}", row.will)]
        if row.will_due_at is None:
            yield from self._end_told(row, wills)
        else:
            yield from message_table.add_messages(wills)

    def _end_told(self, row: ConnectionRow, wills: list[NewMessage]) -> Steps[None]:
        facts, at = facts_of(row), self.clock.now()
        link = Link(row.client_id, row.principal_id, row.session_id, facts.source_address, row.scope)
        published = life_cycle_event(ClientDisconnected(link, at, DisconnectReason.CONNECTION_LOST))
        messages = list(wills)
        if published is not None:
            body = msgspec.json.encode(ForwardedEvent(*published))
            messages.append(self._message(row.scope, FROM_REGISTRY, f"end/{row.session_id}", body))
        yield from connection_table.record_endings([ending_row(row, at, DisconnectReason.CONNECTION_LOST)])
        yield from message_table.add_messages(messages)

    async def _may_publish(self, row: ConnectionRow) -> bool:
        try:
            device = await self.devices.of_principal(principal_target(row.scope, row.principal_id))
        except DeviceRefused as refused:
            log.info("a will is not published: %s (principal %s)", refused.reason, row.principal_id)
            return False
        assert row.will is not None, "asked of connections with a will"
        return await DeviceWillRight(device, facts_of(row), self.counters).allows(publish_of_bytes(row.will))

    def _message(self, scope: Scope, kind: str, subject: str, body: bytes) -> NewMessage:
        return NewMessage(None, self.node_id(), kind, scope, subject, body)
