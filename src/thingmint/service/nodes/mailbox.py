"""Owns the reading of other nodes' messages for this node: in one order, each message once."""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from msgspec import Struct, field

from thingmint.records import changes as change_table
from thingmint.records.nodes import messages as message_table
from thingmint.records.nodes.messages import MessagesFound, NodeMessage
from thingmint.registration.kernel.ports import Store
from thingmint.service.nodes.membership import OUTAGES

POLL_SECONDS: Final = 1.0
_AT_ONCE: Final = 200
# The ids of the last messages. If a COMMIT is not answered, its batch is written again; the second copy is dropped.
_REMEMBERED: Final = 50_000

Reader: TypeAlias = Callable[[NodeMessage], Awaitable[None]]

log = logging.getLogger(__name__)


class Mailbox(Struct):
    """Reads messages and passes each one to the reader of its kind."""

    store: Store
    node_id: Callable[[], str]
    readers: Mapping[str, Reader]
    position: int | None = None
    _joined_at: int = 0
    _server: int | None = None
    _is_woken: asyncio.Event = field(default_factory=asyncio.Event)
    _known: OrderedDict[tuple[str, str], None] = field(default_factory=OrderedDict)

    def wake(self) -> None:
        """Read now instead of within a second."""
        self._is_woken.set()

    async def begin(self) -> None:
        """Start at the newest message; raise ServiceUnavailable or Throttled."""
        found = await self._found(None)
        self.position = self._joined_at = found.following
        self._server = found.server

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._is_woken.wait()
            self._is_woken.clear()
            with contextlib.suppress(*OUTAGES):
                await self.read()

    async def read(self) -> None:
        """Pass all new messages to their readers; raise ServiceUnavailable or Throttled."""
        while True:
            began, found = self.position, await self._found(self.position)
            if found.server != self._server:
                # A standby that was promoted may have other messages at positions that were read. Those that were
                # passed to their readers are known.
                self._server, self.position = found.server, min(self._joined_at, found.following)
                continue
            for message in found.messages:
                if self.position != began:
                    # This node has joined again.
                    return
                await self._give(message)
            if self.position == began:
                self.position = found.following
            if len(found.messages) < _AT_ONCE:
                return

    async def _found(self, position: int | None) -> MessagesFound:
        node_id = self.node_id()
        found = await self.store.read(lambda: message_table.messages_from(position, node_id, _AT_ONCE))
        if found.has_unplaced:
            while await self.store.write(change_table.place_messages):
                pass
            found = await self.store.read(lambda: message_table.messages_from(position, node_id, _AT_ONCE))
        return found

    async def _give(self, message: NodeMessage) -> None:
        key = (message.kind, message.subject)
        if key in self._known:
            return
        self._known[key] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        reader = self.readers.get(message.kind)
        if reader is None:
            # A later version of the service may send kinds that this version does not have.
            return
        try:
            await reader(message)
        except Exception:
            # The messages after it must still be read.
            log.exception("a message of another node could not be read")
