"""Owns the peer moto: its server in plain HTTP, with the same version of the library that generates the keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from bench.children import Server, free_port
from bench.load import answers
from bench.peers import installed, version_of
from bench.wire import Credentials, Endpoint, Request

ANY_CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


@dataclass(frozen=True, slots=True)
class Moto:
    """A running moto server."""

    endpoint: Endpoint
    version: str
    pid: int


@contextmanager
def running(directory: Path) -> Iterator[Moto]:
    """Serve moto for as long as the block runs; raise PeerUnavailable if it cannot be installed."""
    programs = installed("moto", ["moto[server,iot]>=5.1", f"cryptography=={metadata.version('cryptography')}"])
    endpoint = Endpoint("127.0.0.1", free_port(), credentials=ANY_CREDENTIALS)
    server = Server(
        [str(programs / "moto_server"), "-H", endpoint.host, "-p", str(endpoint.port)], directory / "moto.log"
    )
    try:
        server.wait_until(lambda: answers(endpoint, Request("GET", "/certificates")))
        yield Moto(endpoint, version_of(programs, "moto"), server.pid)
    finally:
        server.stop()
