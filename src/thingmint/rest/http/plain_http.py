"""Owns the answer to plain HTTP on a TLS port. Independent of routes and of the server."""

import asyncio
import re
import socket
from typing import Final

from thingmint.rest.http.protocol.head import Refusal, refusal_bytes
from thingmint.rest.http.protocol.request_id import new_request_id

_SPEAKS_TLS: Final = Refusal(
    400, "This port speaks HTTPS, and the request came as plain HTTP. Use a URL that starts with https://"
)
# The length of the longest method in use, and the space after it.
_LOOK_AT_BYTES: Final = 8
_REQUEST: Final = re.compile(rb"[A-Z]{3,7} |[A-Z]{8}")
# A client that was refused sends no more than this.
_READ_BYTES: Final = 16 * 1024
_READS: Final = 16


async def first_bytes(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> bytes:
    """Return a client's first bytes without removing them from the socket; empty if it closes. Raises OSError."""
    readable: asyncio.Future[None] = loop.create_future()

    def now_readable() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(connection, now_readable)
    try:
        await readable
    finally:
        loop.remove_reader(connection)
    return connection.recv(_LOOK_AT_BYTES, socket.MSG_PEEK)


def is_plain_http(beginning: bytes) -> bool:
    """Return whether a connection begins with a request instead of a TLS handshake."""
    return _REQUEST.match(beginning) is not None


async def refuse_plain_http(
    loop: asyncio.AbstractEventLoop, connection: socket.socket, beginning: bytes, standing_fields: bytes
) -> None:
    """Answer in plain HTTP that the port speaks HTTPS, and let the client read it; raise OSError."""
    to_head = beginning.startswith(b"HEAD ")
    answer = refusal_bytes(_SPEAKS_TLS, new_request_id(), standing_fields, to_head=to_head)
    await loop.sock_sendall(connection, answer)
    connection.shutdown(socket.SHUT_WR)
    # Closing the socket with unread bytes would reset the connection before the client reads the answer.
    for _ in range(_READS):
        if not await loop.sock_recv(connection, _READ_BYTES):
            return
