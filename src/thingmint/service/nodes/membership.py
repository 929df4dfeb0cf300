"""Owns which nodes are alive: each node writes a heartbeat every second, and declares nodes without heartbeats lost.

A node relies only on its uninterrupted observation, measured by a monotonic clock. So it does not declare others lost
after the database was away or the node itself was frozen.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from thingmint.core.errors import ServiceUnavailable, Throttled
from thingmint.core.operational_log import OperationalLog
from thingmint.records.clock import postgresql_time
from thingmint.records.nodes import connections as connection_table
from thingmint.records.nodes import nodes as node_table
from thingmint.records.nodes.nodes import NodeRow
from thingmint.records.steps import Program, Steps
from thingmint.registration.kernel.ports import Store
from thingmint.service.nodes.settings_comparison import differences

BEAT_SECONDS: Final = 1.0
LOST_AFTER_SECONDS: Final = 6.0
# After a longer pause between two heartbeats, earlier observations are discarded.
_LONGEST_PAUSE_SECONDS: Final = 3.0
_JOIN_SECONDS: Final = 2.0
# The first limit is short: a server that has failed over or stands still does not answer on a connection that was
# opened before. The second one lets a slow database answer. Both end 5 seconds after the last heartbeat at the latest,
# so before this node is taken for lost.
_ANSWER_SECONDS: Final = (1.5, 2.5)


class NodeDescription(Struct, frozen=True):
    """The facts that a node publishes about itself."""

    name: str
    version: str
    data_plane: str
    settings: str

    @property
    def has_own_broker(self) -> bool:
        """Whether it uses the built-in broker, so that messages of its devices stay in its process."""
        return self.data_plane == "local"


class Heartbeat(Struct, frozen=True):
    """The result of a heartbeat: whether the node's row exists, whether its connections' rows exist, and all nodes."""

    is_member: bool
    is_marked: bool
    nodes: Sequence[NodeRow]


class Membership(Struct):
    """The nodes that this one has observed; ``others`` are those that are not declared lost.

    The store has a connection of its own: requests that wait for the database do not delay a heartbeat.
    """

    store: Store
    description: NodeDescription
    new_id: Callable[[], str]
    log: OperationalLog
    observe: Callable[[int], None]
    monotonic: Callable[[], float] = time.monotonic
    node_id: str = ""
    others: tuple[NodeRow, ...] = ()
    _last_beat: float = float("-inf")
    _seen: dict[str, tuple[datetime, float]] = field(default_factory=dict)
    _told: dict[str, Sequence[str]] = field(default_factory=dict)

    async def join(self) -> None:
        """Add this node with a new id; return when the others have seen it. Raise ServiceUnavailable or Throttled."""
        self.node_id = node_id = self.new_id()
        told = self.description

        def program() -> Steps[Sequence[NodeRow]]:
            yield from node_table.add_node(node_id, told.name, told.version, told.data_plane, told.settings)
            yield from connection_table.mark_node(node_id)
            return (yield from node_table.nodes())

        entered = await self.store.write(program)
        joined_at = await self.store.read(postgresql_time)
        self._note(entered)
        await self._known_to_others(joined_at)

    async def heartbeat(self, read_to: int) -> Heartbeat:
        """Write that this node is alive, and read the others; raise ServiceUnavailable or Throttled."""
        node_id = self.node_id

        def program() -> Steps[Heartbeat]:
            is_member = yield from node_table.heartbeat(node_id, read_to)
            is_marked = yield from connection_table.is_marked(node_id)
            yield from node_table.prune_messages()
            return Heartbeat(is_member, is_marked, (yield from node_table.nodes()))

        found = await self._written_soon(program)
        if found.is_member:
            self._note(found.nodes)
        return found

    async def _written_soon(self, program: Program[Heartbeat]) -> Heartbeat:
        """Run the program; if the database does not answer soon, run it again on another connection."""
        first, second = _ANSWER_SECONDS
        with contextlib.suppress(TimeoutError, ServiceUnavailable):
            async with asyncio.timeout(first):
                return await self.store.write(program)
        try:
            async with asyncio.timeout(second):
                return await self.store.write(program)
        except TimeoutError as error:
            raise ServiceUnavailable from error

    async def remove_lost(self) -> bool:
        """Remove the nodes without heartbeats for too long; return whether this node removed one."""
        now, removed = self.monotonic(), False
        for node in self.others:
            seen_at, since = self._seen[node.node_id]
            if now - since < LOST_AFTER_SECONDS or node.seen_at != seen_at:
                continue
            if await self.store.write(lambda lost=node: node_table.remove_silent(lost)):  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                self.log.warning("another node is lost: its connections are given up", node=node.name)
                removed = True
        return removed

    async def leave(self) -> None:
        """Remove this node, whose connections have ended. If the database is away, other nodes remove it later."""
        node_id = self.node_id

        def program() -> Steps[None]:
            yield from connection_table.unmark_node(node_id)
            yield from node_table.remove_node(node_id)

        await self.store.write(program)

    async def _known_to_others(self, joined_at: datetime) -> None:
        """Wait until the others have read the nodes after this time; do not wait for those that are probably lost."""
        deadline = self.monotonic() + _JOIN_SECONDS
        while self.monotonic() < deadline and any(each.seen_at <= joined_at for each in self.others):
            await asyncio.sleep(0.05)
            self._note(await self.store.read(node_table.nodes))

    def _note(self, nodes: Sequence[NodeRow]) -> None:
        now = self.monotonic()
        if now - self._last_beat > _LONGEST_PAUSE_SECONDS:
            self._seen = {}
        self._last_beat = now
        others = tuple(each for each in nodes if each.node_id != self.node_id)
        seen = self._seen
        self._seen = {
            each.node_id: seen[each.node_id]
            if each.node_id in seen and seen[each.node_id][0] == each.seen_at
            else (each.seen_at, now)
            for each in others
        }
        self._tell(others)
        self.others = others
        self.observe(1 + len(others))

    def _tell(self, others: Sequence[NodeRow]) -> None:
        known = {each.node_id for each in self.others}
        for node in others:
            if node.node_id not in known:
                self.log.info("another node serves this database", node=node.name, version=node.version)
                if self.description.has_own_broker:
                    self.log.warning(CROSSES_NOT, node=node.name)
            found = differences(self.description.settings, node)
            if found and self._told.get(node.node_id) != found:
                self.log.warning("a node has other settings than this one", node=node.name, settings=found)
            self._told[node.node_id] = found
        self._told = {each.node_id: self._told[each.node_id] for each in others}


CROSSES_NOT: Final = (
    "with the built-in broker, messages, retained messages and sessions of devices stay on the node that they are "
    "connected to: use mqtt_data_plane for several nodes"
)

OUTAGES: Final = (ServiceUnavailable, Throttled)
"""The errors of any database call after which the call is repeated."""
