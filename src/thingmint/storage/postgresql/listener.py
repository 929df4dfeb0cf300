"""Owns a connection with LISTEN, on which PostgreSQL announces commits. Other modules read what was committed.

It only shortens the delay, because changes are also polled.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping

import asyncpg

from thingmint.storage.database_url import DatabaseURL
from thingmint.storage.postgresql.ending import end_politely
from thingmint.storage.postgresql.servers import Servers
from thingmint.storage.postgresql.session import COMMAND_SECONDS, is_outage

# The interval of test queries, which detect a connection that was lost without an error.
_ASK_SECONDS = 5.0
_SHORTEST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0

log = logging.getLogger(__name__)


class PostgreSQLListener:
    """Calls a channel's function at each of its notifications, and all functions after an interruption."""

    def __init__(self, url: DatabaseURL, heard: Mapping[str, Callable[[], None]]) -> None:
        self._servers = Servers(url)
        self._heard = heard
        self._pause = _SHORTEST_PAUSE_SECONDS

    async def run(self) -> None:
        """Listen until cancelled; reconnect after a lost connection, with increasing pauses."""
        while True:
            try:
                await self._listen()
            except (TimeoutError, *_ERRORS) as error:
                if not is_outage(error) and not isinstance(error, asyncpg.PostgresError):
                    raise
                log.debug("the connection that listens to the database is lost: %s", type(error).__name__)
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)

    async def _listen(self) -> None:
        connection = await self._servers.connect(statement_cache_size=0)
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _: ended.set())
        try:
            for channel in self._heard:
                await connection.add_listener(channel, self._tell)
            self._pause = _SHORTEST_PAUSE_SECONDS
            for heard in self._heard.values():
                heard()
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ASK_SECONDS):
                        await ended.wait()
                if not ended.is_set():
                    await connection.execute("SELECT 1", timeout=COMMAND_SECONDS)
        finally:
            await end_politely(connection, COMMAND_SECONDS)

    def _tell(self, _connection: object, _process: int, channel: str, _payload: object) -> None:
        self._heard[channel]()


_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
