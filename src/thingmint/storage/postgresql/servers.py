"""Owns which of several PostgreSQL servers a connection is made to. A failover changes it, and needs no restart here.

The driver tries servers one after the other within one time limit, so a first server that does not answer would use it
up: its machine may be off, or its processes may stand still. Here each attempt has a limit of its own, and the next one
begins while a slow one is still under way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Protocol, TypeAlias

import asyncpg

from thingmint.storage.database_url import DatabaseServer, DatabaseURL
from thingmint.storage.postgresql.ending import end_at_once
from thingmint.storage.postgresql.session import CONNECT_SECONDS

NEXT_AFTER_SECONDS: Final = 0.5
"""After this time without an answer of a server, the next one is asked, too."""

OpenConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Connecting(Protocol):
    """Connects to one server, or to the only one of the URL if it is None."""

    def __call__(self, server: DatabaseServer | None) -> Coroutine[object, object, OpenConnection]:
        """Return a connection to a server with the wanted attribute; raise what the driver raises."""
        ...


class Servers:
    """The servers of a URL, in the order in which they are tried: the one that served last comes first."""

    def __init__(self, url: DatabaseURL, moved: Callable[[], Awaitable[None]] | None = None) -> None:
        """``moved`` is called when another server than before serves."""
        self._url = url
        self._moved = moved
        self._order: Sequence[DatabaseServer] = url.each_server
        self._has_served = False

    async def connect(self, *_dsn: object, **options: Any) -> OpenConnection:  # the driver's options
        """Return a connection to a server with the wanted attribute; raise the error of the server that served last.

        The options are the driver's. It is a pool's way to connect, which passes the URL again.
        """

        async def attempt(server: DatabaseServer | None) -> OpenConnection:
            if server is not None:
                used = {**options, "host": server.host, "port": server.port, "target_session_attrs": self._url.wanted}
            else:
                used = options
            connection: OpenConnection = await asyncpg.connect(
                self._url.dsn, password=self._url.password, timeout=CONNECT_SECONDS, **used
            )
            return connection

        if len(self._order) < 2:
            return await attempt(None)
        server, connection = await _first_of(self._order, attempt)
        if server != self._order[0]:
            self._order = [server, *(each for each in self._order if each != server)]
            if self._has_served and self._moved is not None:
                await self._moved()
        self._has_served = True
        return connection


async def _first_of(servers: Sequence[DatabaseServer], attempt: Connecting) -> tuple[DatabaseServer, OpenConnection]:
    """Return the first connection, and its server; raise the first server's error if there is none."""
    waiting, under_way = list(servers), dict[asyncio.Task[OpenConnection], DatabaseServer]()
    failures: dict[DatabaseServer, BaseException] = {}
    try:
        while waiting or under_way:
            if waiting:
                server = waiting.pop(0)
                under_way[asyncio.create_task(attempt(server))] = server
            done, _ = await asyncio.wait(
                under_way, timeout=NEXT_AFTER_SECONDS if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is None:
                    return under_way.pop(task), task.result()
                failures[under_way.pop(task)] = error
        raise failures[servers[0]]
    finally:
        for task in under_way:
            task.add_done_callback(_end)
            task.cancel()


def _end(task: "asyncio.Task[OpenConnection]") -> None:
    """End the connection of an attempt that came too late."""
    if not task.cancelled() and task.exception() is None:
        end_at_once(task.result())
