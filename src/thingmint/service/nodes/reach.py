"""Owns operators' requests to clients of other nodes: sends them as messages in the database, and awaits answers."""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct, field

from thingmint.api.devices.data_plane import EndedConnection, OpenConnection
from thingmint.core.errors import ResourceNotFound, ServiceUnavailable, ThingmintError, Throttled
from thingmint.core.identifiers import Scope
from thingmint.mqtt.codec.packets import Publish
from thingmint.mqtt.edges.operator_edge import MOST_CONFIRMATIONS, send_here
from thingmint.mqtt.edges.other_nodes import NOT_CONNECTED
from thingmint.mqtt.gateway.gateway import Gateway
from thingmint.records.nodes import connections as connection_table
from thingmint.records.nodes import messages as message_table
from thingmint.records.nodes.connections import ConnectionRow
from thingmint.records.nodes.messages import NewMessage, NodeMessage
from thingmint.records.steps import Steps
from thingmint.registration.kernel.ports import Store
from thingmint.service.nodes.membership import Membership
from thingmint.service.nodes.wire import (
    DirectMessage,
    Disconnection,
    bytes_of_publish,
    outcome_of,
    publish_of_bytes,
    raise_outcome,
    shown_connection,
    shown_ending,
)

ASK_DISCONNECT: Final = "ask_disconnect"
ASK_SEND: Final = "ask_send"
ANSWER: Final = "answer"
PUBLISHED: Final = "published"

# The other node reads at least once a second. A request should not wait for a node that is being declared lost.
_ANSWER_SECONDS: Final = 4.0
_MOST_ASKED: Final = 256
# Messages that operators publish stay in the database until every node has read them, for some seconds at most.
_BYTES_A_SECOND: Final = 8 * 1024 * 1024
_MOST_BYTES: Final = 4 * _BYTES_A_SECOND


class _Budget(Struct):
    """A token bucket of the bytes that may be written."""

    left: float = float(_MOST_BYTES)
    at: float = field(default_factory=time.monotonic)

    def take(self, count: int) -> None:
        now = time.monotonic()
        self.left = min(self.left + (now - self.at) * _BYTES_A_SECOND, float(_MOST_BYTES))
        self.at = now
        if count > self.left:
            raise Throttled("Too many bytes are published to the devices of other nodes")
        self.left -= count


class Reach(Struct):
    """Sends requests to other nodes, and carries out their requests."""

    store: Store
    membership: Membership
    gateway: Callable[[], Gateway]
    _answers: dict[str, "asyncio.Future[bytes]"] = field(default_factory=dict)
    _work: set["asyncio.Task[None]"] = field(default_factory=set)
    _confirmations: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_CONFIRMATIONS))
    _budget: _Budget = field(default_factory=_Budget)

    async def connection(self, scope: Scope, client_id: str) -> OpenConnection | None:
        """Return a client's connection to any node, or None."""
        row = await self._row(scope, client_id)
        return None if row is None else shown_connection(row)

    async def last_connection(self, scope: Scope, client_id: str) -> EndedConnection | None:
        """Return how a client's last connection to any node ended, or None."""
        kept = await self.store.read(lambda: connection_table.last_ending(scope, client_id))
        return None if kept is None else shown_ending(client_id, kept)

    async def disconnect(self, scope: Scope, client_id: str, *, clean_session: bool, prevent_will: bool) -> bool:
        """End a client's connection to another node; return whether it was connected."""
        row = await self._row(scope, client_id)
        if row is None or row.node_id == self.membership.node_id:
            return False
        body = msgspec.json.encode(Disconnection(client_id, clean_session, prevent_will))
        try:
            keeps_back = row.session_id if prevent_will else None
            await self._ask(row.node_id, ASK_DISCONNECT, scope, body, _ANSWER_SECONDS, keeps_back)
        except ResourceNotFound:
            return False
        return True

    async def send(self, scope: Scope, client_id: str, message: Publish, confirmed_within: float | None) -> None:
        """Write a message to a client of another node; raise what `OperatorEdge.send` raises."""
        row = await self._row(scope, client_id)
        if row is None or row.node_id == self.membership.node_id:
            raise ResourceNotFound(NOT_CONNECTED)
        body = msgspec.json.encode(DirectMessage(client_id, bytes_of_publish(message), confirmed_within))
        self._budget.take(len(body))
        await self._ask(row.node_id, ASK_SEND, scope, body, _ANSWER_SECONDS + (confirmed_within or 0))

    async def publish(self, scope: Scope, message: Publish) -> None:
        """Write a message for the devices of the other nodes; raise ServiceUnavailable or Throttled."""
        if not self.membership.others or not self.membership.description.has_own_broker:
            return
        body = bytes_of_publish(message)
        self._budget.take(len(body))
        await self._write(NewMessage(None, self.membership.node_id, PUBLISHED, scope, str(uuid.uuid4()), body))

    # Requests of other nodes

    async def asked_to_disconnect(self, message: NodeMessage) -> None:
        """End a client's connection, and answer."""
        asked = msgspec.json.decode(message.body, type=Disconnection)
        was_connected = self.gateway().delete_connection(
            message.scope,
            asked.client_id,
            clean_session=asked.clean_session,
            prevent_will_message=asked.prevent_will,
        )
        await self._answer(message, None if was_connected else ResourceNotFound(NOT_CONNECTED))

    async def asked_to_send(self, message: NodeMessage) -> None:
        """Write a message to a client, and answer when that is done. Later requests do not wait for it."""
        task = asyncio.create_task(self._send(message))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def answered(self, message: NodeMessage) -> None:
        """Pass an answer to the request that waits for it; ignore it if none waits any more."""
        waiting = self._answers.get(message.subject)
        if waiting is not None and not waiting.done():
            waiting.set_result(message.body)

    async def stop(self) -> None:
        """Cancel the requests in progress."""
        work = tuple(self._work)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)

    async def _row(self, scope: Scope, client_id: str) -> ConnectionRow | None:
        return await self.store.read(lambda: connection_table.current_connection(scope, client_id))

    async def _send(self, message: NodeMessage) -> None:
        asked, error = msgspec.json.decode(message.body, type=DirectMessage), None
        found = self.gateway().connection_of(message.scope, asked.client_id)
        try:
            if found is None:
                raise ResourceNotFound(NOT_CONNECTED)
            packet = publish_of_bytes(asked.packet)
            await send_here(found, packet, asked.confirmed_within, self._confirmations)
        except ThingmintError as raised:
            error = raised
        await self._answer(message, error)

    async def _answer(self, message: NodeMessage, error: ThingmintError | None) -> None:
        node_id = self.membership.node_id
        await self._write(
            NewMessage(message.origin, node_id, ANSWER, message.scope, message.subject, outcome_of(error))
        )

    async def _ask(
        self, node_id: str, kind: str, scope: Scope, body: bytes, seconds: float, keeps_back: str | None = None
    ) -> None:
        """Send a request to a node and return when it is done; raise the error in the answer, or ServiceUnavailable."""
        if len(self._answers) >= _MOST_ASKED:
            raise Throttled("Too many answers of other nodes are waited for")
        request_id = str(uuid.uuid4())
        waiting = self._answers[request_id] = asyncio.get_running_loop().create_future()
        message = NewMessage(node_id, self.membership.node_id, kind, scope, request_id, body)
        try:
            await self._write(message, keeps_back)
            async with asyncio.timeout(seconds):
                answer = await waiting
        except TimeoutError:
            raise ServiceUnavailable("The node that the client is connected to does not answer") from None
        finally:
            del self._answers[request_id]
        raise_outcome(answer)

    async def _write(self, message: NewMessage, keeps_back: str | None = None) -> None:
        def program() -> Steps[None]:
            if keeps_back is not None:
                # If the node is lost before it reads the message, the will must not be published either.
                yield from connection_table.keep_back_will(keeps_back)
            yield from message_table.add_messages([message])

        await self.store.write(program)
