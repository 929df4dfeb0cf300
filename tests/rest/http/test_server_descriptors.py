"""File descriptors run out: the server neither spins nor falls, and is healthy as soon as some are free again."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.machine.live_server import Client
from tests.support.machine.loop_thread import LOOPS

from thingmint.host.connections.listening import listen

GET = b"GET /things HTTP/1.1\r\nHost: localhost\r\n\r\n"

# Answers commands on its standard input, one line each. Everything it needs is open before descriptors run out.
CHILD = r"""
import errno, logging, os, resource, sys, time
from tests.support.machine.live_server import live_server

class Counter(logging.Handler):
    count = 0
    def emit(self, record):
        self.count += "cannot accept" in record.getMessage()

counter = Counter()
logging.getLogger().addHandler(counter)
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
with live_server(loop_name=sys.argv[1]) as live:
    print(live.server.port, flush=True)
    hoard = []
    for command in sys.stdin:
        if command == "fill\n":
            try:
                while True:
                    hoard.append(os.dup(0))
            except OSError as error:
                assert error.errno == errno.EMFILE
            print("full", flush=True)
        elif command == "attempts\n":
            while not counter.count:
                time.sleep(0.01)
            before = counter.count
            time.sleep(1)
            print(counter.count - before, flush=True)
        elif command == "free\n":
            for each in hoard:
                os.close(each)
            print("free", flush=True)
"""


class Child:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def tell(self, command: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._line().strip()


@contextlib.contextmanager
def child(loop_name: str) -> Iterator[Child]:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, loop_name],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield Child(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(30) == 0


@pytest.fixture(params=sorted(LOOPS))
def server(request: pytest.FixtureRequest) -> Iterator[Child]:
    with child(request.param) as running:
        yield running


def test_server_without_descriptors_rests_and_serves_when_they_are_back(server: Child) -> None:
    assert server.tell("fill") == "full"
    with Client(server.port) as client:
        client.send(GET)
        # A loop that spins would try some ten thousand times in the second that the child counts.
        assert int(server.tell("attempts")) < 20
        assert server.tell("free") == "free"
        response = client.response()
        assert response is not None
        assert response.status == 200


def test_server_without_descriptors_takes_them_from_idle_connections(server: Child) -> None:
    with Client(server.port) as idle:
        assert idle.ask(GET) is not None
        assert server.tell("fill") == "full"
        with Client(server.port) as late:
            response = late.ask(GET)
            assert response is not None
            assert response.status == 200
            assert idle.is_closed_by_server()


def test_host_without_an_address_cannot_be_listened_on() -> None:
    with pytest.raises(OSError, match="no address"):
        listen([])
