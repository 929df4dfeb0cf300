"""Owns the life of this node among the nodes of its database: joins, writes connections, reads messages, leaves."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

import msgspec

from thingmint.core.identifiers import Scope
from thingmint.host.service_log import service_log
from thingmint.mqtt.codec.reason_codes import PacketRefused
from thingmint.mqtt.counters import Counters
from thingmint.mqtt.data_plane import DataPlane
from thingmint.mqtt.edges.registered_devices import RegisteredDevices
from thingmint.mqtt.events import ClientConnected, ClientDisconnected, LifeCycleEvent
from thingmint.mqtt.gateway.connection import GatewayConnection
from thingmint.mqtt.gateway.gateway import Gateway
from thingmint.mqtt.gateway.last_endings import MOST_ENDINGS
from thingmint.records.nodes import connections as connection_table
from thingmint.records.nodes.connections import ConnectionRow
from thingmint.records.nodes.messages import NodeMessage
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.turns import Pace
from thingmint.service.nodes.connection_directory import EVENT, TAKEN_OVER, ConnectionDirectory
from thingmint.service.nodes.mailbox import Mailbox
from thingmint.service.nodes.membership import BEAT_SECONDS, OUTAGES, Membership
from thingmint.service.nodes.orphans import FROM_NOBODY, FROM_REGISTRY, Orphans
from thingmint.service.nodes.reach import ANSWER, ASK_DISCONNECT, ASK_SEND, PUBLISHED, Reach
from thingmint.service.nodes.wire import ForwardedEvent, ending_row, publish_of_bytes, row_of_connection

_TIDY_BEATS: Final = 600


class Nodes:
    """One node among those of its database."""

    def __init__(
        self,
        authority: RegistrationAuthority,
        membership: Membership,
        gateway: Callable[[], Gateway],
        devices: RegisteredDevices,
        data_plane: DataPlane,
        counters: Counters,
        begin_anew: Callable[[], None],
    ) -> None:
        """``begin_anew`` is called when decisions about devices may be out of date."""
        store = authority.store
        self._store = store
        self._membership = membership
        self._gateway = gateway
        self._data_plane = data_plane
        self._begin_anew = begin_anew
        self.reach = Reach(store, membership, gateway)
        self._rows: dict[str, ConnectionRow] = {}
        self._orphans = Orphans(store, authority.clock, devices, counters, lambda: membership.node_id)
        self._directory = ConnectionDirectory(
            store, lambda: membership.node_id, lambda *session: gateway().taken_over(*session), counters
        )
        self.mailbox = Mailbox(
            store,
            lambda: membership.node_id,
            {
                TAKEN_OVER: self._taken_over,
                EVENT: partial(self._event, is_told_by_origin=True),
                FROM_REGISTRY: partial(self._event, is_told_by_origin=False),
                PUBLISHED: partial(self._published, is_passed_on_by_origin=True),
                FROM_NOBODY: partial(self._published, is_passed_on_by_origin=False),
                ASK_DISCONNECT: self.reach.asked_to_disconnect,
                ASK_SEND: self.reach.asked_to_send,
                ANSWER: self.reach.answered,
            },
        )
        self._beats = 0
        self._beat_at_once = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Join the nodes and start the tasks; raise ServiceUnavailable or Throttled."""
        await self._membership.join()
        await self.mailbox.begin()
        works: tuple[Callable[[], Awaitable[None]], ...] = (self._directory.run, self.mailbox.run, self._beat_on)
        self._tasks = [asyncio.create_task(_kept_up(work)) for work in works]

    async def stop(self) -> None:
        """Write the last batch and leave, after all connections of devices have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.reach.stop()
        # If this cannot be written, other nodes detect the loss of this one.
        with contextlib.suppress(*OUTAGES):
            while not self._directory.is_empty:
                await self._directory.write()
            await self._membership.leave()

    def nodes_changed(self) -> None:
        """Read the nodes now instead of within a second."""
        self._beat_at_once.set()

    # Events of this node

    def receive(self, event: LifeCycleEvent, published: tuple[str, bytes] | None) -> None:
        """Receive an event of a connection to this node, and the topic and payload if it is published."""
        if isinstance(event, ClientConnected):
            self._opened(event)
        if isinstance(event, ClientDisconnected):
            row = self._rows.pop(event.link.session_id, None)
            if row is None:
                # Other nodes have removed the connection and published its end.
                return
            self._directory.ended(ending_row(row, event.at, event.reason))
        if published is not None:
            self.event_published(event.link.scope, *published)

    def event_published(self, scope: Scope, topic: str, payload: bytes) -> None:
        """Receive an event of an account that was published to the devices of this node."""
        self._directory.send_event(EVENT, scope, msgspec.json.encode(ForwardedEvent(topic, payload)))

    def _opened(self, event: ClientConnected) -> None:
        link = event.link
        connection = self._gateway().connection_of(link.scope, link.client_id)
        if connection is not None and connection.device.session_id == link.session_id:
            row = self._row(connection)
            # Only the data plane keeps the will.
            self._rows[link.session_id] = replace(row, will=None)
            self._directory.opened(row)

    def _row(self, connection: GatewayConnection) -> ConnectionRow:
        return row_of_connection(self._membership.node_id, connection, self._data_plane.will_of(connection.device))

    # Messages of other nodes

    async def _taken_over(self, message: NodeMessage) -> None:
        self._gateway().taken_over(message.scope, message.body.decode(), message.subject)

    async def _event(self, message: NodeMessage, *, is_told_by_origin: bool) -> None:
        if not (is_told_by_origin and message.origin == self._membership.node_id):
            event = msgspec.json.decode(message.body, type=ForwardedEvent)
            self._gateway().publish_event(message.scope, event.topic, event.payload)

    async def _published(self, message: NodeMessage, *, is_passed_on_by_origin: bool) -> None:
        if is_passed_on_by_origin and message.origin == self._membership.node_id:
            return
        try:
            code = await self._data_plane.publish_own(message.scope, publish_of_bytes(message.body))
        except PacketRefused as refused:
            code = refused.reason_code
        if code.is_failure:
            service_log.warning("a message of another node was refused here", reason=code.name)

    # Membership

    async def _beat_on(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._beat_at_once.wait()
            self._beat_at_once.clear()
            with contextlib.suppress(*OUTAGES):
                await self._beat()

    async def _beat(self) -> None:
        found = await self._membership.heartbeat(self.mailbox.position or 0)
        if not found.is_member:
            await self._join_again()
            return
        if not found.is_marked:
            await self._enter_again()
        self._beats += 1
        await self._membership.remove_lost()
        await self._orphans.give_up()
        if self._beats % _TIDY_BEATS == 0:
            while await self._store.write(lambda: connection_table.prune_endings(MOST_ENDINGS)):
                pass

    async def _join_again(self) -> None:
        """Close all connections and join again: other nodes have declared this one lost and published the ends."""
        service_log.error("this node was cut off from the database for too long: its connections are ended")
        await self._gateway().end_all_without_wills()
        self._rows = {}
        self._directory.clear()
        await self._membership.join()
        await self.mailbox.begin()
        self._begin_anew()

    async def _enter_again(self) -> None:
        """Write all connections again: the database has crashed or was replaced, and its unlogged tables are empty."""
        # The mark comes last: it may be committed although the answer is lost, and then this is not called again.
        pace = Pace()
        for connection in self._gateway().accepted_connections:
            # Those that have ended meanwhile are not in `_rows` any more.
            if connection.device.session_id in self._rows:
                self._directory.enter_again([self._row(connection)])
            await pace.rest()
        node_id = self._membership.node_id
        await self._store.write(lambda: connection_table.mark_node(node_id))


async def _kept_up(work: Callable[[], Awaitable[None]]) -> None:
    """Call the function until cancelled; after an unexpected failure, log it and call it again."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  the node goes on after any error
            # Only the type: the messages of other libraries' errors may quote their arguments, such as secrets.
            service_log.error("the work of a node among others failed", cause=type(error).__name__)
        await asyncio.sleep(BEAT_SECONDS)
