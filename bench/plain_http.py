"""Owns a client of plain HTTP that costs little: bytes that were written before, over one connection or one each."""

import socket
from collections.abc import Iterable
from contextlib import closing

_READ_BYTES = 65_536
_TIMEOUT_S = 60.0


def post_bytes(path: str, body: bytes, *, keeps_open: bool = True) -> bytes:
    """Return a POST request as it is sent."""
    connection = "" if keeps_open else "connection: close\r\n"
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n{connection}"
    return f"{head}content-type: application/ocsp-request\r\n\r\n".encode() + body


def get_bytes(path: str) -> bytes:
    """Return a GET request as it is sent."""
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


def exchange_kept_open(port: int, requests: Iterable[bytes]) -> int:
    """Send each request when the one before it is answered, over one connection; return how many were.

    Raises RuntimeError if one is not answered with 200.
    """
    count = 0
    with closing(socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            connection.sendall(request)
            _require_success(_one_answer(connection))
            count += 1
    return count


def exchange_one_each(port: int, requests: Iterable[bytes]) -> int:
    """Send each request over a connection of its own, and read until the server ends it; return how many there were.

    Raises RuntimeError if one is not answered with 200.
    """
    count = 0
    for request in requests:
        with closing(socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)) as connection:
            connection.sendall(request)
            answer = b""
            while part := connection.recv(_READ_BYTES):
                answer += part
            _require_success(answer)
        count += 1
    return count


def _one_answer(connection: socket.socket) -> bytes:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _more(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _more(connection)
    return answer


def _more(connection: socket.socket) -> bytes:
    part = connection.recv(_READ_BYTES)
    if not part:
        raise RuntimeError("the server has ended the connection")
    return part


def _require_success(answer: bytes) -> None:
    if b" 200 " not in answer[:16]:
        raise RuntimeError(f"the server answered {answer[:80]!r}")
