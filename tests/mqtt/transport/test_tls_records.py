"""What arrives in any pieces is read whole, and what is known to be read needs no further question to OpenSSL."""

import contextlib
import ctypes
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from OpenSSL import SSL
from tests.support.devices.device_identities import client_context, new_identity, server_identity
from tests.support.devices.tls_echo import tls_context_of
from tests.support.machine.required import require

from thingmint.mqtt.transport.tls_records import RECORD_BYTES, TLSRecords

CONNECTIONS = 40


class _Allocated(ctypes.Structure):
    """glibc's ``struct mallinfo2``."""

    _fields_ = [(f"field_{number}", ctypes.c_size_t) for number in range(10)]


def _memory_in_use() -> Callable[[], int]:
    """Return a function that returns how many bytes of glibc's heap are allocated."""
    library = ctypes.CDLL(None)
    require(hasattr(library, "mallinfo2"), "the C library does not report its allocated memory")
    library.mallinfo2.restype = _Allocated

    def in_use() -> int:
        found: int = library.mallinfo2().field_7
        return found

    return in_use


class Ends:
    """A client and the server's records, after their handshake."""

    def __init__(self, directory: Path, version: ssl.TLSVersion) -> None:
        server = server_identity()
        context = client_context(directory, new_identity(), server=server, version=version)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._client = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self.records = TLSRecords(tls_context_of(server))
        self._shake_hands()

    def sealed(self, *messages: bytes) -> bytes:
        """Return the records of these messages."""
        for message in messages:
            self._client.write(message)
        return self._outgoing.read()

    def all_read(self) -> list[bytes]:
        """Read until nothing is left."""
        found = []
        while True:
            try:
                found.append(self.records.read())
            except SSL.WantReadError:
                return found

    def exchange(self, message: bytes) -> None:
        """Carry a message in each direction."""
        self.records.take(self.sealed(message))
        assert self.all_read() == [message]
        self.records.write(memoryview(message))
        while output := self.records.output():
            self._incoming.write(output)
        assert self._client.read(len(message)) == message

    def _shake_hands(self) -> None:
        is_done = False
        while not is_done:
            for step in (self._client.do_handshake, lambda: self.records.take(self._outgoing.read() or b"")):
                with contextlib.suppress(ssl.SSLWantReadError):
                    step()
            try:
                self.records.handshake()
                is_done = True
            except SSL.WantReadError:
                pass
            while output := self.records.output():
                self._incoming.write(output)
        self._client.do_handshake()
        assert self.all_read() == []


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Ends:
    return Ends(tmp_path, request.param)


def test_one_whole_record_is_read_at_once(ends: Ends) -> None:
    for message in (b"a", b"b" * 1000):
        ends.records.take(ends.sealed(message))
        assert not ends.records.is_drained
        assert ends.records.read() == message
        assert ends.records.is_drained
    assert ends.all_read() == []


def test_several_records_and_a_record_in_pieces_are_asked_for_to_the_end(ends: Ends) -> None:
    ends.records.take(ends.sealed(b"one", b"two"))
    assert ends.records.read() == b"one"
    assert not ends.records.is_drained
    assert ends.all_read() == [b"two"]
    sealed = ends.sealed(b"three")
    for piece in (sealed[:10], sealed[10:]):
        ends.records.take(piece)
        assert not ends.records.is_drained
        found = ends.all_read()
        assert ends.records.is_drained is (found == [b"three"])


def test_a_head_in_two_pieces_loses_nothing(ends: Ends) -> None:
    sealed = ends.sealed(b"split")
    ends.records.take(sealed[:3])
    assert ends.all_read() == []
    ends.records.take(sealed[3:])
    assert ends.all_read() == [b"split"]
    ends.records.take(ends.sealed(b"more"))
    assert ends.records.read() == b"more"
    assert not ends.records.is_drained
    assert ends.all_read() == []


def test_any_pieces_are_the_same_stream(ends: Ends) -> None:
    for size in (1, 2, 5, 7, 23, 24, 64, 1000):
        sealed = ends.sealed(*(b"%d" % number for number in range(20)))
        found = []
        for start in range(0, len(sealed), size):
            ends.records.take(sealed[start : start + size])
            while not ends.records.is_drained:
                try:
                    found.append(ends.records.read())
                except SSL.WantReadError:
                    break
        assert b"".join(found) == b"".join(b"%d" % number for number in range(20))


def test_buffers_of_read_connections_are_small_again(tmp_path: Path) -> None:
    """Large messages went both ways on each connection; the buffer of each direction is released afterwards."""
    in_use = _memory_in_use()
    connections = [Ends(tmp_path, ssl.TLSVersion.TLSv1_3) for _ in range(CONNECTIONS)]
    for ends in connections:
        ends.exchange(bytes(RECORD_BYTES))
    grown = in_use()
    for ends in connections:
        assert ends.records.shrink()
    assert grown - in_use() > 2 * CONNECTIONS * RECORD_BYTES
    for ends in connections:
        ends.exchange(b"still understood")


def test_buffers_with_an_unfinished_record_are_kept(ends: Ends) -> None:
    sealed = ends.sealed(bytes(RECORD_BYTES), b"after it")
    ends.records.take(sealed[:-5])
    assert ends.all_read() == [bytes(RECORD_BYTES)]
    assert not ends.records.shrink()
    ends.records.take(sealed[-5:])
    assert ends.all_read() == [b"after it"]
    assert ends.records.shrink()
    ends.exchange(b"still understood")


def test_pyopenssl_is_used_as_documented_if_it_has_other_attributes(ends: Ends) -> None:
    assert ends.records._ssl.is_direct, "the installed version is one that has them"
    ends.records._ssl.is_direct = False
    ends.exchange(bytes(RECORD_BYTES))
    assert ends.records.shrink()
    assert ends.records.output() == b""
    with pytest.raises(SSL.WantReadError):
        ends.records.read()
    ends.exchange(b"still understood")
