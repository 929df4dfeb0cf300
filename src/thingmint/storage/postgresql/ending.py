"""Owns the ending of connections to PostgreSQL. No function raises, because the outcome is decided before."""

import asyncio
import contextlib
from typing import TypeAlias, Union

import asyncpg
from asyncpg.pool import PoolConnectionProxy

AnyConnection: TypeAlias = Union["asyncpg.Connection[asyncpg.Record]", "PoolConnectionProxy[asyncpg.Record]"]
AnyPool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


def end_at_once(connection: AnyConnection) -> None:
    """Abort the connection; the server then rolls back a transaction that was not committed."""
    # The driver raises if the connection was lost, because the pool has then taken it back.
    with contextlib.suppress(Exception):
        connection.terminate()


async def end_politely(connection: AnyConnection, seconds: float) -> None:
    """Close the connection by the protocol; abort it if that takes longer than ``seconds`` or fails."""
    # The driver aborts the connection before it raises any error.
    with contextlib.suppress(Exception):
        await connection.close(timeout=seconds)


async def give_back(pool: AnyPool, connection: "PoolConnectionProxy[asyncpg.Record]", seconds: float) -> None:
    """Return the connection to its pool; abort it if that takes longer than ``seconds`` or fails."""
    try:
        await pool.release(connection, timeout=seconds)
    except Exception:  # noqa: BLE001  what was done on the connection is not changed by how it ends
        end_at_once(connection)


async def end_pool(pool: AnyPool, seconds: float) -> None:
    """Close all connections of the pool by the protocol; abort them if that takes longer than ``seconds`` or fails."""
    with contextlib.suppress(Exception):
        # The driver terminates the pool before it raises any error, also on cancellation.
        async with asyncio.timeout(seconds):
            await pool.close()
