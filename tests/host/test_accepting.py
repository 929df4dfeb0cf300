"""The acceptor of both edges: who is let in, who is closed, and who waits in the kernel's queue."""

import contextlib
import errno
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from tests.support.loop_thread import GENEROUS, LOOPS, LoopThread, loop_thread

from thingmint.host.accepting import Acceptor


@dataclass
class Edge:
    """An edge with so many places; it ends its oldest connection for another if it is willing."""

    places: int = 100
    is_willing: bool = False
    leaves_next_in_kernel: bool = False
    asked_for: list[str] = field(default_factory=list)
    taken: list[tuple[socket.socket, str, str]] = field(default_factory=list)

    @property
    def has_no_room(self) -> bool:
        return len(self.taken) >= self.places

    def make_way(self, network: str) -> bool:
        self.asked_for.append(network)
        if self.is_willing and self.taken:
            self.taken.pop(0)[0].close()
            return True
        return False

    def take(self, accepted: socket.socket, address: str, network: str) -> None:
        assert not accepted.getblocking()
        self.taken.append((accepted, address, network))


class Door:
    """An acceptor that runs, with its edge."""

    def __init__(self, thread: LoopThread, edge: Edge) -> None:
        self.thread, self.edge, self.turned_away = thread, edge, 0
        hosts = (("127.0.0.1", 0), ("127.0.0.1", 0))
        self.acceptor = Acceptor(
            edge, hosts, whose="test", max_connections=50, observe_turned_away=self._count_turned_away
        )
        thread.run(self.acceptor.start())

    def _count_turned_away(self, count: int) -> None:
        self.turned_away += count

    def connect(self, stack: contextlib.ExitStack, which: int = 0) -> socket.socket:
        address = ("127.0.0.1", self.acceptor.ports[which])
        return stack.enter_context(socket.create_connection(address, timeout=GENEROUS))

    def wait_for(self, count: int) -> None:
        self.thread.wait_until(lambda: len(self.edge.taken) == count)


@pytest.fixture
def edge() -> Edge:
    return Edge()


@pytest.fixture(params=sorted(LOOPS))
def door(request: pytest.FixtureRequest, edge: Edge) -> Iterator[Door]:
    with loop_thread(str(request.param)) as thread:
        door = Door(thread, edge)
        yield door
        thread.call(door.acceptor.stop)
        for accepted, _, _ in edge.taken:
            accepted.close()


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def test_connections_of_every_port_are_handed_on_with_their_network(door: Door, edge: Edge) -> None:
    with contextlib.ExitStack() as stack:
        for which in (0, 1, 0):
            door.connect(stack, which)
        door.wait_for(3)
        assert {(address, network) for _, address, network in edge.taken} == {("127.0.0.1", "127.0.0.1")}
        assert door.acceptor.capacity == 50
        assert door.acceptor.addresses == tuple(("127.0.0.1", port) for port in door.acceptor.ports)


@pytest.mark.parametrize("is_willing", [False, True])
def test_one_client_is_counted_as_turned_away_whoever_it_is(door: Door, edge: Edge, is_willing: bool) -> None:
    edge.places, edge.is_willing = 1, is_willing
    with contextlib.ExitStack() as stack:
        first = door.connect(stack)
        door.wait_for(1)
        second = door.connect(stack)
        assert is_closed(first if is_willing else second)
        door.wait_for(1)
        assert edge.asked_for == ["127.0.0.1"]
        assert len(edge.taken) == door.turned_away == 1


def test_connection_that_would_be_refused_waits_in_the_kernel_until_there_is_room(door: Door, edge: Edge) -> None:
    edge.leaves_next_in_kernel = True
    with contextlib.ExitStack() as stack:
        waiting = door.connect(stack)
        waiting.settimeout(0.5)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        assert not edge.asked_for
        edge.leaves_next_in_kernel = False
        door.wait_for(1)


def test_edge_that_leaves_connections_in_the_kernel_is_shown_some_now_and_then(door: Door, edge: Edge) -> None:
    edge.leaves_next_in_kernel = True
    with contextlib.ExitStack() as stack:
        door.connect(stack)
        door.wait_for(1)


class Exhausted:
    """A listening socket that finds no descriptor."""

    def __init__(self, listener: socket.socket) -> None:
        self.fileno = listener.fileno

    def accept(self) -> tuple[socket.socket, object]:
        raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize("is_willing", [False, True])
def test_exhausted_descriptors_end_a_connection_and_are_asked_for_again_later(
    door: Door, edge: Edge, is_willing: bool, caplog: pytest.LogCaptureFixture
) -> None:
    edge.is_willing = is_willing
    with contextlib.ExitStack() as stack, caplog.at_level(logging.WARNING):
        first = door.connect(stack)
        door.wait_for(1)
        exhausted = Exhausted(door.acceptor._listeners[0])
        door.thread.call(lambda: door.acceptor._accept(exhausted))  # type: ignore[arg-type]  # it is enough of one
        assert edge.asked_for == [""]
        assert door.turned_away == len([first] if is_willing else [])
        assert "cannot accept a connection: " in caplog.text
        # The pause has replaced the reader of the socket that is exhausted; that of the real one is added anew.
        listener = door.acceptor._listeners[0]
        door.thread.call(lambda: door.acceptor._loop.add_reader(listener, door.acceptor._accept, listener))
        door.connect(stack)
        door.wait_for(1 if is_willing else 2)


def test_stopped_acceptor_refuses_and_leaves_open_what_is_open(door: Door, edge: Edge) -> None:
    with contextlib.ExitStack() as stack:
        client = door.connect(stack)
        door.wait_for(1)
        door.thread.call(door.acceptor.stop)
        assert not door.acceptor.is_listening
        with pytest.raises(ConnectionRefusedError):
            door.connect(stack)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)


def test_hosts_that_cannot_all_be_bound_leave_nothing_open(edge: Edge) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, loop_thread() as thread:
        hosts = (("127.0.0.1", 0), ("127.0.0.1", taken.getsockname()[1]))
        acceptor = Acceptor(edge, hosts, whose="test", max_connections=1)
        with pytest.raises(OSError, match="in use"):
            thread.run(acceptor.start())
        assert not acceptor.is_listening
