"""Owns where the broker behind the relay listens; refuses every place that others could listen in on."""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

P = TypeVar("P", bound=asyncio.BaseProtocol)
_TCP = re.compile(r"(\[(?P<v6>[^\]]+)\]|(?P<v4>[^:\[\]]+)):(?P<port>[0-9]{1,5})")
_PORTS = range(1, 65_536)


class InvalidBrokerAddress(ValueError):
    """The address of the broker cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket: what the file system's permissions let in."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"

    async def connect(self, new_protocol: Callable[[], P]) -> P:
        """Open a connection; raise OSError if nobody listens."""
        _, protocol = await asyncio.get_running_loop().create_unix_connection(new_protocol, self.path)
        return protocol


@dataclass(frozen=True, slots=True)
class LoopbackAddress:
    """A TCP port of this machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp:{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    async def connect(self, new_protocol: Callable[[], P]) -> P:
        """Open a connection; raise OSError if nobody listens."""
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(new_protocol, self.host, self.port)
        # Otherwise a small packet waits until the one before it is acknowledged, which takes up to 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return protocol


BrokerAddress = UnixAddress | LoopbackAddress


def parse_broker_address(text: str) -> BrokerAddress:
    """Return the address, such as ``unix:/run/mosquitto.sock`` or ``tcp:127.0.0.1:1883``.

    Raises InvalidBrokerAddress. What the relay says is neither encrypted nor signed, so it does not leave the machine.
    """
    kind, _, rest = text.partition(":")
    if kind == "unix":
        return _unix(rest)
    if kind == "tcp":
        return _loopback(rest)
    raise InvalidBrokerAddress("The broker's address is unix:/PATH or tcp:127.0.0.1:PORT")


def _unix(path: str) -> UnixAddress:
    if not path.startswith("/") or "\0" in path:
        raise InvalidBrokerAddress("The path of the broker's Unix socket is absolute")
    return UnixAddress(path)


def _loopback(rest: str) -> LoopbackAddress:
    found = _TCP.fullmatch(rest)
    if found is None or int(found["port"]) not in _PORTS:
        raise InvalidBrokerAddress("The broker's address is tcp:HOST:PORT, with HOST in brackets if it is IPv6")
    host = found["v6"] or found["v4"]
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        # A name may stand for another address tomorrow.
        is_here = False
    if not is_here:
        raise InvalidBrokerAddress("The broker listens on a loopback address, 127.0.0.1 or [::1], or a Unix socket")
    return LoopbackAddress(host, int(found["port"]))
