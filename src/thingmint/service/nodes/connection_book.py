"""Owns what is to be written of this node's connections: collected, and written in one transaction at a time.

A device waits for none of it. While one batch is being written the next one collects, so that a thousand connections
cost a few transactions. Where the database is away, what is to be written waits.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

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


@dataclass(slots=True)
class ConnectionBook:
    """The connections that begin and end, and the events of them for other nodes; ``lost`` ends a connection here."""

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
        """Whether everything is written."""
        return not (self._opened or self._ended or self._events)

    def opened(self, row: ConnectionRow) -> None:
        """Enter a connection."""
        self._opened[row.session_id] = row
        self._changed.set()

    def ended(self, row: EndingRow) -> None:
        """Remove a connection, and remember how it ended."""
        self._ended[row.session_id] = row
        self._changed.set()

    def told(self, kind: str, scope: Scope, body: bytes) -> None:
        """Tell the other nodes of an event; the oldest are given up if the database is away for too long."""
        if len(self._events) >= MOST_EVENTS:
            self._events.popleft()
            self.counters.lost(Loss.EVENT_UNSENT)
        self._events.append(NewMessage(None, self.node_id(), kind, scope, str(uuid.uuid4()), body))
        self._changed.set()

    def enter_again(self, rows: Iterable[ConnectionRow]) -> None:
        """Enter connections that the database has lost."""
        for row in rows:
            self._opened.setdefault(row.session_id, row)
        self._changed.set()

    def clear(self) -> None:
        """Forget everything: other nodes have declared this one lost, and told what was to be told."""
        self._opened, self._ended, self._events = {}, {}, deque()

    async def run(self) -> None:
        """Write what there is, again and again, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while not self.is_empty:
                try:
                    await self.write()
                except OUTAGES:
                    await asyncio.sleep(_RETRY_SECONDS)

    async def write(self) -> None:
        """Write one batch; raise ServiceUnavailable or Throttled, and keep it then."""
        async with self._writing:
            opened = list(self._opened.values())[:MOST_AT_ONCE]
            # A connection may end before it was entered; it took the client's earlier one over all the same.
            unentered = self._opened.keys() - {each.session_id for each in opened}
            ended = [each for each in list(self._ended.values())[:MOST_AT_ONCE] if each.session_id not in unentered]
            events = [self._events[place] for place in range(min(len(self._events), MOST_AT_ONCE))]
            node_id = self.node_id()
            entered = await self.store.write(lambda: _batch(node_id, opened, ended, events))
            if entered is None:
                # Others have told that the connections of this node ended: it gives them up at its next beat.
                raise ServiceUnavailable("This node is not among the nodes any more")
            if node_id != self.node_id():
                # Everything was given up meanwhile.
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
                # Its client has connected to another node since.
                self.lost(row.scope, row.client_id, row.session_id)
        for each in ended:
            self._ended.pop(each.session_id, None)
        for event in events:
            # Some may have been given up meanwhile.
            if self._events and self._events[0] is event:
                self._events.popleft()


def _batch(
    node_id: str, opened: Sequence[ConnectionRow], ended: Sequence[EndingRow], events: Sequence[NewMessage]
) -> Steps[dict[str, bool] | None]:
    """Write a batch and return which connections are entered, and whether as current; None for a node that is gone."""
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
