"""Owns the load: a process of its own that sends requests over kept connections and times the answers.

It is one epoll loop over non-blocking sockets, without asyncio: the clients share the machine with the server, so what
they cost is taken from what is measured. Jobs arrive as lines of JSON on standard input, results on standard output.
"""

import heapq
import itertools
import json
import os
import select
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httptools

from bench.wire import Endpoint, PreparedRequest, Request, Signer, endpoint_from_json

RECEIVE_SIZE = 65536
ANSWER_TIMEOUT_S = 60.0


@dataclass(slots=True)
class NetworkCounts:
    """What one job has seen so far."""

    latencies_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    first_error: str = ""

    def refuse(self, reason: str, text: str) -> None:
        """Count an answer that is not a success."""
        self.errors[reason] += 1
        self.first_error = self.first_error or text


class Connection:
    """One client: a connection with at most one request in flight."""

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext | None) -> None:
        self._endpoint = endpoint
        self._context = context
        self._connect()

    def _connect(self) -> None:
        plain = socket.create_connection((self._endpoint.host, self._endpoint.port), timeout=ANSWER_TIMEOUT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = self._context.wrap_socket(plain, server_hostname=self._endpoint.host) if self._context else plain
        self.socket.setblocking(False)
        self._parser = httptools.HttpResponseParser(self)
        self._complete = False
        self._lives_on = True
        self._body: list[bytes] = []
        self.sent_at = 0.0

    def reconnect(self) -> None:
        """Replace a connection that the server has closed."""
        self.socket.close()
        self._connect()

    def send(self, message: bytes) -> None:
        """Send one request; raise OSError if the socket does not take it whole."""
        self.sent_at = time.perf_counter()
        if self.socket.send(message) != len(message):
            raise OSError("the socket took a part of the request only")

    def receive(self) -> bool:
        """Read what has arrived and say whether the answer is complete; raise OSError if the server closed."""
        while not self._complete:
            try:
                received = self.socket.recv(RECEIVE_SIZE)
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            if not received:
                raise OSError("the server closed the connection")
            self._parser.feed_data(received)
        self._complete = False
        return True

    def take_answer(self) -> tuple[int, bytes, bool]:
        """Return status and body of the complete answer, and whether the connection lives on."""
        body = b"".join(self._body)
        self._body.clear()
        return self._parser.get_status_code(), body, self._lives_on

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body (called by the parser)."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Note the end of the answer (called by the parser, which forgets the headers after this)."""
        self._complete = True
        self._lives_on = self._parser.should_keep_alive()


class Job:
    """One slice of load against one endpoint."""

    def __init__(self, description: dict[str, Any]) -> None:
        endpoint = endpoint_from_json(description["endpoint"])
        context = ssl.create_default_context(cafile=endpoint.ca_file) if endpoint.ca_file else None
        self._signer = Signer(endpoint)
        prepared = [self._signer.prepare(Request(**members)) for members in description["requests"]]
        self._requests: Iterator[PreparedRequest] = itertools.cycle(prepared)
        self._seconds = float(description["seconds"])
        self._left = int(description["count"])
        self._pace_s = float(description["pace_s"])
        self._tally = NetworkCounts()
        self._epoll = select.epoll()
        self._by_number: dict[int, Connection] = {}
        for _ in range(description["clients"]):
            self._register(Connection(endpoint, context))
        self._in_flight: set[Connection] = set()
        self._resting: list[tuple[float, int]] = []

    def run(self) -> dict[str, Any]:
        """Drive the load to its end, every answer awaited, and return what was seen."""
        cpu_before, started = time.process_time(), time.perf_counter()
        self._ends_at = started + self._seconds if self._seconds else float("inf")
        for connection in list(self._by_number.values()):
            self._send_next(connection)
        while self._in_flight or self._resting:
            self._step()
        elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu_before
        for connection in self._by_number.values():
            connection.socket.close()
        self._epoll.close()
        return {
            "elapsed_s": elapsed,
            "cpu_s": cpu,
            "latencies_ms": self._tally.latencies_ms,
            "errors": dict(self._tally.errors),
            "first_error": self._tally.first_error,
        }

    def _step(self) -> None:
        wait_s = max(0.0, self._resting[0][0] - time.perf_counter()) if self._resting else ANSWER_TIMEOUT_S
        events = self._epoll.poll(wait_s)
        if not events and not self._resting:
            raise TimeoutError(f"no answer within {ANSWER_TIMEOUT_S:.0f} s")
        for number, _ in events:
            self._receive(self._by_number[number])
        while self._resting and self._resting[0][0] <= time.perf_counter():
            self._send_next(self._by_number[heapq.heappop(self._resting)[1]])

    def _receive(self, connection: Connection) -> None:
        # What arrives unasked is a session ticket (nothing is complete) or the server's goodbye (OSError).
        try:
            if not connection.receive():
                return
        except OSError as error:
            if connection in self._in_flight:
                self._tally.refuse("connection", str(error))
            self._renew(connection)
        else:
            self._take_answer(connection)
        if connection in self._in_flight:
            self._in_flight.discard(connection)
            self._rest_or_send(connection)

    def _take_answer(self, connection: Connection) -> None:
        latency_ms = (time.perf_counter() - connection.sent_at) * 1000
        status, body, lives_on = connection.take_answer()
        if status == 200:
            self._tally.latencies_ms.append(round(latency_ms, 4))
        else:
            self._tally.refuse(str(status), body[:300].decode(errors="replace"))
        if not lives_on:
            self._renew(connection)

    def _rest_or_send(self, connection: Connection) -> None:
        if self._pace_s:
            heapq.heappush(self._resting, (connection.sent_at + self._pace_s, connection.socket.fileno()))
        else:
            self._send_next(connection)

    def _send_next(self, connection: Connection) -> None:
        if self._left == 0 or time.perf_counter() >= self._ends_at:
            return
        self._left -= 1
        self._in_flight.add(connection)
        connection.send(self._signer.encode(next(self._requests)))

    def _register(self, connection: Connection) -> None:
        number = connection.socket.fileno()
        self._by_number[number] = connection
        self._epoll.register(number, select.EPOLLIN)

    def _renew(self, connection: Connection) -> None:
        old_number = connection.socket.fileno()
        self._epoll.unregister(old_number)
        del self._by_number[old_number]
        connection.reconnect()
        self._register(connection)
        new_number = connection.socket.fileno()
        self._resting = [(due, new_number if number == old_number else number) for due, number in self._resting]


def main() -> None:
    """Answer jobs until standard input ends."""
    for line in sys.stdin:
        description = json.loads(line)
        if "pin" in description:
            os.sched_setaffinity(0, description["pin"])
            result: dict[str, Any] = {}
        else:
            result = Job(description).run()
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
