"""Owns clients of the API that hold connections and give nothing for them: a process of its own, without signatures.

Jobs arrive as lines of JSON on standard input, results on standard output. One job opens so many clients of each kind;
the next one keeps them at work for so many seconds, and opens again those that the service ends.
"""

import contextlib
import json
import selectors
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_HOST = b" HTTP/1.1\r\nHost: localhost\r\n"
_HALF_HEAD = b"GET /things" + _HOST + b"X-Slow: "
_HALF_BODY = b"POST /things/a" + _HOST + b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
_METRICS = b"GET /metrics" + _HOST + b"\r\n"
_DRIP_S = 0.25
_PIPELINED = 16
_PATIENCE_S = 30.0


@dataclass(slots=True, eq=False)
class Client:
    """One connection: what it sends first, what it sends again and again, and whether it reads."""

    first: bytes
    again: bytes
    reads: bool
    speaks_tls: bool = True
    connection: socket.socket = field(init=False)

    def open(self, port: int, context: ssl.SSLContext) -> None:
        """Connect and begin."""
        plain = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self.connection = context.wrap_socket(plain, server_hostname="localhost") if self.speaks_tls else plain
        self.connection.sendall(self.first)
        self.connection.setblocking(False)

    def drip(self) -> None:
        """Send a little more; raise OSError if the service has ended the connection."""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            self.connection.send(self.again)

    def read(self) -> None:
        """Read what is there, and ask again; raise OSError if the service has ended the connection."""
        with contextlib.suppress(ssl.SSLWantReadError, BlockingIOError):
            while True:
                if not self.connection.recv(262_144):
                    raise ConnectionError("ended")
        self.drip()


# Silent ones have said the first byte of a handshake, and keep a place that others wait for.
KINDS: dict[str, Callable[[], Client]] = {
    "half_heads": lambda: Client(_HALF_HEAD, b"x", reads=False),
    "half_bodies": lambda: Client(_HALF_BODY, b"x", reads=False),
    "pipelines": lambda: Client(_METRICS * _PIPELINED, _METRICS * _PIPELINED, reads=True),
    "no_readers": lambda: Client(_METRICS * _PIPELINED, _METRICS * _PIPELINED, reads=False),
    "half_handshakes": lambda: Client(b"\x16", b"", reads=False, speaks_tls=False),
}


class Crowd:
    """All of them."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._context = ssl.create_default_context(cafile=job["ca_file"])
        self._port: int = job["port"]
        self._selector = selectors.DefaultSelector()
        self._ended: Counter[str] = Counter()
        self._clients = [(kind, make()) for kind, make in KINDS.items() for _ in range(job["of_each_kind"])]
        for kind, client in self._clients:
            self._open(kind, client)

    def work(self, seconds: float) -> dict[str, Any]:
        """Keep them at work."""
        until = time.monotonic() + seconds
        next_drip = time.monotonic()
        while time.monotonic() < until:
            if time.monotonic() >= next_drip:
                next_drip += _DRIP_S
                for kind, client in self._clients:
                    self._unless_ended(kind, client, client.drip)
            for key, _ in self._selector.select(0.05):
                kind, client = key.data
                self._unless_ended(kind, client, client.read)
        return {"ended": dict(self._ended)}

    def _open(self, kind: str, client: Client) -> None:
        with contextlib.suppress(OSError):
            client.open(self._port, self._context)
            if client.reads:
                self._selector.register(client.connection, selectors.EVENT_READ, (kind, client))

    def _unless_ended(self, kind: str, client: Client, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError:
            self._ended[kind] += 1
            if client.reads:
                self._selector.unregister(client.connection)
            client.connection.close()
            self._open(kind, client)


def main() -> None:
    """Answer each line of standard input."""
    crowd: Crowd | None = None
    for line in sys.stdin:
        job = json.loads(line)
        if "of_each_kind" in job:
            crowd, answer = Crowd(job), dict[str, Any]()
        else:
            assert crowd is not None, "the first job opens the clients"
            answer = crowd.work(job["seconds"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
