"""Owns the writing of this node's connections to the database: collects changes and writes them in batches.

Devices do not wait for it. While one batch is written, the next one collects, so a thousand connections need a few
transactions. While the database is away, changes wait.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct, field

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import Scope
from thingmint.mqtt.counters import Counters, Loss
from thingmint.records.nodes import connections as connection_table
from thingmint.records.nodes import messages as message_table
from thingmint.records.nodes import nodes as node_table
from thingmint.records.nodes.connections import ConnectionRow, EndingRow
from thingmint.records.nodes.messages import NewMessage
from thingmint.records.steps import Steps
from thingmint.registration.kernel.ports import Store
from thingmint.service.nodes.membership import OUTAGES

MOST_AT_ONCE: Final = 500
MOST_EVENTS: Final = 20_000
_RETRY_SECONDS: Final = 0.2

TAKEN_OVER: Final = "taken_over"
EVENT: Final = "event"


class ConnectionDirectory(Struct):
    """New and ended connections, and their events for other nodes; ``lost`` ends a connection on this node."""

    store: Store
    node_id: Callable[[], str]
    lost: Callable[[Scope, str, str], None]
    counters: Counters
    _opened: dict[str, ConnectionRow] = field(default_factory=dict)
    _ended: dict[str, EndingRow] = field(default_factory=dict)
    _events: deque[NewMessage] = field(default_factory=deque)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be written."""
        return not (self._opened or self._ended or self._events)

    def opened(self, row: ConnectionRow) -> None:
        """Add a new connection to the next batch."""
        self._opened[row.session_id] = row
        self._changed.set()

    def ended(self, row: EndingRow) -> None:
        """Remove a connection, and store how it ended, in the next batch."""
        self._ended[row.session_id] = row
        self._changed.set()

    def send_event(self, kind: str, scope: Scope, body: bytes) -> None:
        """Send an event to the other nodes; if too many wait, the oldest are dropped."""
        if len(self._events) >= MOST_EVENTS:
            self._events.popleft()
            self.counters.lost(Loss.EVENT_UNSENT)
        self._events.append(NewMessage(None, self.node_id(), kind, scope, str(uuid.uuid4()), body))
        self._changed.set()

    def enter_again(self, rows: Iterable[ConnectionRow]) -> None:
        """Write connections again that the database has lost."""
        for row in rows:
            self._opened.setdefault(row.session_id, row)
        self._changed.set()

    def clear(self) -> None:
        """Drop everything: other nodes have declared this one lost, and have published its events."""
        self._opened, self._ended, self._events = {}, {}, deque()

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while not self.is_empty:
                try:
                    await self.write()
                except OUTAGES:
                    await asyncio.sleep(_RETRY_SECONDS)

    async def write(self) -> None:
        """Write one batch; raise ServiceUnavailable or Throttled, and keep the batch in that case."""
        async with self._writing:
            opened = list(self._opened.values())[:MOST_AT_ONCE]
            # A connection may end before it was written. It did replace the client's earlier connection.
            unentered = self._opened.keys() - {each.session_id for each in opened}
            ended = [each for each in list(self._ended.values())[:MOST_AT_ONCE] if each.session_id not in unentered]
            events = [self._events[place] for place in range(min(len(self._events), MOST_AT_ONCE))]
            node_id = self.node_id()
            entered = await self.store.write(lambda: _batch(node_id, opened, ended, events))
            if entered is None:
                # Other nodes have published the ends of this node's connections; the next heartbeat closes them.
                raise ServiceUnavailable("This node is not among the nodes any more")
            if node_id != self.node_id():
                # `clear` was called meanwhile.
                return
            self._written(opened, ended, events, entered)

    def _written(
        self,
        opened: Sequence[ConnectionRow],
        ended: Sequence[EndingRow],
        events: Sequence[NewMessage],
        entered: dict[str, bool],
    ) -> None:
        done = {each.session_id for each in ended}
        for row in opened:
            if row.session_id in entered or row.session_id in done:
                self._opened.pop(row.session_id, None)
            if entered.get(row.session_id) is False and row.session_id not in done:
                # The client has connected to another node since then.
                self.lost(row.scope, row.client_id, row.session_id)
        for each in ended:
            self._ended.pop(each.session_id, None)
        for event in events:
            # Some events may have been dropped meanwhile.
            if self._events and self._events[0] is event:
                self._events.popleft()


def _batch(
    node_id: str, opened: Sequence[ConnectionRow], ended: Sequence[EndingRow], events: Sequence[NewMessage]
) -> Steps[dict[str, bool] | None]:
    """Write a batch; return whether each connection is the client's current one, or None if this node was removed."""
    if not (yield from node_table.is_kept(node_id)):
        return None
    messages, entered = list(events), dict[str, bool]()
    if opened:
        displaced, entered = yield from connection_table.open_connections(opened)
        messages += [
            NewMessage(each.node_id, node_id, TAKEN_OVER, each.scope, each.session_id, each.client_id.encode())
            for each in displaced
            if each.node_id != node_id
        ]
    if ended:
        yield from connection_table.end_connections(ended)
    yield from message_table.add_messages(messages)
    return entered
