"""Owns the ASGI scope: the facts of a request that an application gets before its body."""

import asyncio
import urllib.parse
from typing import Final

from msgspec import Struct

from thingmint.host.connections.peer_tls import Peer
from thingmint.host.connections.proxy_header import CarriedAddresses
from thingmint.rest.asgi_messages import HTTPScope, Version
from thingmint.rest.http.any_client import AnyClientConnection
from thingmint.rest.http.protocol.request_parser import RequestHead

# From version 2.4 on ``send`` raises an error after a disconnect. With 2.3 an application waits for
# ``http.disconnect``.
_ASGI: Final[Version] = {"version": "3.0", "spec_version": "2.3"}


class ConnectionAddresses(Struct, frozen=True):
    """The two ends of a connection; header fields about forwarding are never used instead."""

    scheme: str
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    peer: Peer | None = None

    @classmethod
    def of(cls, transport: asyncio.BaseTransport, carried: CarriedAddresses | None = None) -> "ConnectionAddresses":
        """Return the ends of a transport, or those in a trusted balancer's header."""
        scheme = "http" if transport.get_extra_info("sslcontext") is None else "https"
        tls = transport.get_extra_info("ssl_object")
        peer = tls.peer if isinstance(tls, AnyClientConnection) else None
        if carried is not None:
            return cls(scheme, carried.source, carried.destination, peer)
        return cls(scheme, _address(transport, "peername"), _address(transport, "sockname"), peer)

    def scope_of(self, head: RequestHead) -> HTTPScope:
        """Return the scope of a request; the path is decoded, the raw path and the query are as sent."""
        path, _, query = head.target.partition(b"?")
        scope: HTTPScope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": head.version,
            "method": head.method,
            "scheme": self.scheme,
            "path": urllib.parse.unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": head.headers,
            "client": self.client,
            "server": self.server,
        }
        if self.peer is not None:
            scope["state"] = {"peer": self.peer}
        return scope


def _address(transport: asyncio.BaseTransport, which: str) -> tuple[str, int] | None:
    name = transport.get_extra_info(which)
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
