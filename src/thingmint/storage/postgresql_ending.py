"""Owns how a connection to PostgreSQL is ended. Nothing here raises: an error that matters was decided before."""

import asyncio
import contextlib
from typing import TypeAlias, Union

import asyncpg
from asyncpg.pool import PoolConnectionProxy

AnyConnection: TypeAlias = Union["asyncpg.Connection[asyncpg.Record]", "PoolConnectionProxy[asyncpg.Record]"]
AnyPool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


def end_at_once(connection: AnyConnection) -> None:
    """End the connection without a farewell; the server then undoes a transaction that was not committed."""
    # The driver raises if the pool has taken the connection back, which it does by itself when the connection is lost.
    with contextlib.suppress(Exception):
        connection.terminate()


async def end_politely(connection: AnyConnection, seconds: float) -> None:
    """Say goodbye to the server, and end the connection at once if that takes longer or fails."""
    # On every failure the driver aborts the connection before it raises.
    with contextlib.suppress(Exception):
        await connection.close(timeout=seconds)


async def give_back(pool: AnyPool, connection: "PoolConnectionProxy[asyncpg.Record]", seconds: float) -> None:
    """Give the connection back to its pool, and end it at once if that takes longer or fails."""
    try:
        await pool.release(connection, timeout=seconds)
    except Exception:  # noqa: BLE001  what was done on the connection is not changed by how it ends
        end_at_once(connection)


async def end_pool(pool: AnyPool, seconds: float) -> None:
    """Say goodbye on all connections of the pool, and end them at once if that takes longer or fails."""
    with contextlib.suppress(Exception):
        # On every failure and on cancellation the driver terminates the pool before it raises.
        async with asyncio.timeout(seconds):
            await pool.close()
