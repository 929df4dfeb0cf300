"""Owns exchanges in raw bytes over plain TCP: everything is sent, then everything is read until the other side ends."""

import contextlib
import json
import socket
from dataclasses import dataclass
from typing import Any

_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class WireAnswer:
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # whatever it is, tests look into it
        """The body as JSON; raises ValueError if it is none."""
        return json.loads(self.body)


def exchange(port: int, sent: bytes) -> bytes:
    """Send the bytes on a connection of their own, say that there are no more, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS) as connection:
        # The server may refuse before it has read everything.
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        received = bytearray()
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                received += piece
    return bytes(received)


def answers(received: bytes, *, first_is_bodyless: bool = False) -> list[WireAnswer]:
    """Return the answers in what was received; raise AssertionError if it is anything else than whole answers."""
    found: list[WireAnswer] = []
    rest = received
    while rest:
        head, separator, rest = rest.partition(b"\r\n\r\n")
        assert separator, f"an answer without an end: {head[:200]!r}"
        status_line, *lines = head.decode("latin-1").split("\r\n")
        version, status, *_ = status_line.split(" ", 2)
        assert version in {"HTTP/1.1", "HTTP/1.0"}, status_line
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if status == "100":
            continue
        # An answer to HEAD has no body; one to a request that ended within its first line may take it for anything.
        is_bodyless = first_is_bodyless and not found and (not rest or rest.startswith(b"HTTP/"))
        length = 0 if is_bodyless else int(headers["content-length"])
        assert len(rest) >= length, f"an answer that is cut off: {head[:200]!r}"
        found.append(WireAnswer(int(status), headers, rest[:length]))
        rest = rest[length:]
    return found
