"""The acceptor of both edges: who is let in, who is closed, and who waits in the kernel's queue."""

import contextlib
import errno
import ipaddress
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from tests.support.machine.loop_thread import GENEROUS, LOOPS, LoopThread, loop_thread

from thingmint.host.connections.accepting import Acceptor
from thingmint.host.connections.proxied import TrustedProxies
from thingmint.host.connections.proxy_header import CarriedAddresses


@dataclass
class Edge:
    """An edge with so many places; it ends its oldest connection for another if it is willing."""

    places: int = 100
    is_willing: bool = False
    leaves_next_in_kernel: bool = False
    asked_for: list[str] = field(default_factory=list)
    taken: list[tuple[socket.socket, str, str]] = field(default_factory=list)
    carried: list[CarriedAddresses | None] = field(default_factory=list)

    @property
    def has_no_room(self) -> bool:
        return len(self.taken) >= self.places

    def make_way(self, network: str) -> bool:
        self.asked_for.append(network)
        if self.is_willing and self.taken:
            self.taken.pop(0)[0].close()
            return True
        return False

    def take(self, accepted: socket.socket, address: str, network: str, carried: CarriedAddresses | None) -> None:
        assert not accepted.getblocking()
        self.carried.append(carried)
        self.taken.append((accepted, address, network))


class Door:
    """An acceptor that runs, with its edge."""

    def __init__(self, thread: LoopThread, edge: Edge) -> None:
        self.thread, self.edge, self.turned_away, self.headers_refused = thread, edge, 0, 0
        hosts = (("127.0.0.1", 0), ("127.0.0.1", 0))
        self.acceptor = Acceptor(
            edge,
            hosts,
            whose="test",
            max_connections=50,
            observe_turned_away=self._count_turned_away,
            proxies=TrustedProxies((ipaddress.ip_network("127.0.7.0/24"),), self._count_refused_header),
        )
        thread.run(self.acceptor.start())

    def _count_refused_header(self, count: int) -> None:
        self.headers_refused += count

    def _count_turned_away(self, count: int) -> None:
        self.turned_away += count

    def connect(self, stack: contextlib.ExitStack, which: int = 0, source: str = "127.0.0.1") -> socket.socket:
        address = ("127.0.0.1", self.acceptor.ports[which])
        return stack.enter_context(socket.create_connection(address, timeout=GENEROUS, source_address=(source, 0)))

    def wait_for(self, count: int) -> None:
        self.thread.wait_until(lambda: len(self.edge.taken) == count)

    def wait_for_header_bytes(self, last: bytes) -> None:
        """Wait until the acceptor has read these bytes of a connection's unfinished header."""
        self.thread.wait_until(lambda: any(each.received.endswith(last) for each in self.acceptor._headers._awaited))


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


BALANCER = "127.0.7.1"
HEADER = b"PROXY TCP4 192.0.2.9 192.0.2.1 50000 8883\r\n"
CARRIED = CarriedAddresses(("192.0.2.9", 50000), ("192.0.2.1", 8883))


def test_balancer_carries_the_clients_address_and_what_follows_its_header_is_left(door: Door, edge: Edge) -> None:
    with contextlib.ExitStack() as stack:
        client = door.connect(stack, source=BALANCER)
        for piece in (HEADER[:3], HEADER[3:-1]):
            client.sendall(piece)
            # It is read, and nobody is admitted.
            door.wait_for_header_bytes(piece)
        assert not edge.taken
        client.sendall(HEADER[-1:] + b"hello")
        door.wait_for(1)
        accepted, address, network = edge.taken[0]
        assert (address, network, edge.carried) == ("192.0.2.9", "192.0.2.9", [CARRIED])
        assert accepted.recv(100) == b"hello"
        # A balancer's own check of the port carries no address.
        door.connect(stack, source=BALANCER).sendall(b"PROXY UNKNOWN\r\n")
        door.wait_for(2)
        assert (edge.taken[1][1], edge.carried[1]) == (BALANCER, None)


def test_balancer_without_header_is_closed_and_counted(
    door: Door, edge: Edge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.ExitStack() as stack, caplog.at_level(logging.WARNING):
        speaks_at_once = door.connect(stack, source=BALANCER)
        speaks_at_once.sendall(b"GET / HTTP/1.1\r\n")
        assert is_closed(speaks_at_once)
        # The client may see the end before the line is written.
        said = "test connections from networks of proxy_protocol were closed: 1"
        door.thread.wait_until(lambda: said in caplog.text)
        monkeypatch.setattr("thingmint.host.connections.proxied._HEADER_SECONDS", 0.01)
        assert is_closed(door.connect(stack, source=BALANCER))
        monkeypatch.setattr("thingmint.host.connections.proxied._HEADER_SECONDS", 30)
        monkeypatch.setattr("thingmint.host.connections.proxied._MOST_AWAITED", 1)
        oldest = door.connect(stack, source=BALANCER)
        door.thread.wait_until(lambda: len(door.acceptor._headers._awaited) == 1)
        newest = door.connect(stack, source=BALANCER)
        assert is_closed(oldest)
        newest.sendall(HEADER)
        door.wait_for(1)
        door.thread.wait_until(lambda: door.headers_refused == 3)
        # A port that is only tried is no error.
        door.connect(stack, source=BALANCER).shutdown(socket.SHUT_WR)
        door.thread.wait_until(lambda: not door.acceptor._headers._awaited)
        assert door.headers_refused == 3
        waits = door.connect(stack, source=BALANCER)
        door.thread.wait_until(lambda: len(door.acceptor._headers._awaited) == 1)
        door.thread.call(door.acceptor.stop)
        assert is_closed(waits)


def test_header_of_a_peer_that_is_no_balancer_is_left_to_the_edge(door: Door, edge: Edge) -> None:
    with contextlib.ExitStack() as stack:
        door.connect(stack).sendall(HEADER)
        door.wait_for(1)
        accepted, address, _ = edge.taken[0]
        assert (address, edge.carried) == ("127.0.0.1", [None])
        door.thread.wait_until(lambda: accepted.recv(100, socket.MSG_PEEK) == HEADER)
