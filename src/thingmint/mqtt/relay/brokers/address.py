"""Owns the addresses of brokers: their form in the settings, and the opening of connections."""

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

P = TypeVar("P", bound=asyncio.BaseProtocol)
_PLACE = re.compile(r"(\[(?P<v6>[^\]]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")
_PORTS = range(1, 65_536)
_HANDSHAKE_SECONDS = 5.0


class InvalidBrokerAddress(ValueError):
    """The address of a broker cannot be used; the message says why."""


class UnixAddress(Struct, frozen=True):
    """A Unix socket; the file system's permissions decide which users may connect."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"

    @property
    def is_exposed(self) -> bool:
        """Whether others than this machine can read what is sent."""
        return False

    async def connect(
        self, new_protocol: Callable[[], P], context: ssl.SSLContext | None = None, server_name: str | None = None
    ) -> P:
        """Open a connection; raise OSError if no process listens."""
        del context, server_name
        _, protocol = await asyncio.get_running_loop().create_unix_connection(new_protocol, self.path)
        return protocol


class NetworkAddress(Struct, frozen=True):
    """A TCP port of a host, with or without TLS."""

    host: str
    port: int
    has_tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.has_tls else 'tcp'}:{host}:{self.port}"

    @property
    def is_exposed(self) -> bool:
        """Whether others than this machine can read what is sent."""
        try:
            is_here = ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            is_here = self.host == "localhost"
        return not self.has_tls and not is_here

    async def connect(
        self, new_protocol: Callable[[], P], context: ssl.SSLContext | None = None, server_name: str | None = None
    ) -> P:
        """Open a connection; raise OSError if no process listens, ssl.SSLError if the server's certificate is invalid.

        ``context`` is used if the address has TLS; ``server_name`` is verified and sent instead of the host.
        """
        loop = asyncio.get_running_loop()
        if self.has_tls:
            transport, protocol = await loop.create_connection(
                new_protocol,
                self.host,
                self.port,
                ssl=context or ssl.create_default_context(),
                server_hostname=server_name or self.host,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
            )
        else:
            transport, protocol = await loop.create_connection(new_protocol, self.host, self.port)
        # Otherwise a small packet waits up to 40 ms for the acknowledgement of the one before it.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return protocol


BrokerAddress = UnixAddress | NetworkAddress


def parse_broker_address(text: str) -> BrokerAddress:
    """Return the address: ``unix:/run/mosquitto.sock``, ``tcp:10.0.0.5:1883`` or ``tls:broker.example.com:8883``.

    Raises InvalidBrokerAddress.
    """
    kind, _, rest = text.partition(":")
    if kind == "unix":
        return _unix(rest)
    if kind in ("tcp", "tls"):
        return _network(rest, has_tls=kind == "tls")
    raise InvalidBrokerAddress("A broker's address is unix:/PATH, tcp:HOST:PORT or tls:HOST:PORT")


def _unix(path: str) -> UnixAddress:
    if not path.startswith("/") or "\0" in path:
        raise InvalidBrokerAddress("The path of a broker's Unix socket is absolute")
    return UnixAddress(path)


def _network(rest: str, *, has_tls: bool) -> NetworkAddress:
    found = _PLACE.fullmatch(rest)
    if found is None or int(found["port"]) not in _PORTS:
        raise InvalidBrokerAddress("A broker's address is tcp:HOST:PORT or tls:HOST:PORT, an IPv6 HOST in brackets")
    if found["v6"] is None:
        return NetworkAddress(found["host"], int(found["port"]), has_tls)
    try:
        ipaddress.IPv6Address(found["v6"])
    except ValueError as error:
        raise InvalidBrokerAddress("What is in brackets is not an IPv6 address") from error
    return NetworkAddress(found["v6"], int(found["port"]), has_tls)
