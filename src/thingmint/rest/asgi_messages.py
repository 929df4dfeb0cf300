"""Owns the types of the ASGI 3 messages that a server and an application exchange, as far as the service uses them.

https://asgi.readthedocs.io/en/latest/specs/www.html
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from thingmint.host.connections.peer_tls import Peer

HeaderFields: TypeAlias = Iterable[tuple[bytes, bytes]]


class Version(TypedDict):
    """The versions of the interface and of its HTTP part."""

    version: str
    spec_version: str


class PeerState(TypedDict):
    """The server's addition to the scope on ports where clients may show certificates."""

    peer: Peer


class Extensions(TypedDict):
    """The server's additions to the interface.

    ``whole_body`` returns the body if it has arrived completely and no part of it was received, and None otherwise. It
    takes the place of ``receive``, without waiting.

    ``whole_answer`` writes a response: its status, its header fields, encoded and each with its line end, and its body.
    The server adds the length. It returns whether it has written the response. If not, the application uses ``send``.

    ``switch_protocols`` exists if the request asks for another protocol (RFC 9110, 7.8). It writes a response 101 with
    these header fields, gives the connection to the protocol, and calls its ``connection_made``. It returns False
    without writing anything if the client has sent more, has gone, or does not read.
    """

    whole_body: Callable[[], bytes | None]
    whole_answer: NotRequired[Callable[[int, Sequence[bytes], bytes], bool]]
    switch_protocols: NotRequired[Callable[[Sequence[bytes], asyncio.Protocol], bool]]


class HTTPScope(TypedDict):
    """A request without its body; the names of header fields are in lower case."""

    type: Literal["http"]
    asgi: Version
    http_version: str
    method: str
    scheme: str
    path: str
    raw_path: bytes
    query_string: bytes
    root_path: str
    headers: HeaderFields
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    state: NotRequired[PeerState]
    extensions: NotRequired[Extensions]


class RequestMessage(TypedDict):
    """A part of a request's body."""

    type: Literal["http.request"]
    body: bytes
    more_body: bool


class DisconnectMessage(TypedDict):
    """The client has gone, or its response is complete."""

    type: Literal["http.disconnect"]


class ResponseStart(TypedDict):
    """The head of a response."""

    type: Literal["http.response.start"]
    status: int
    headers: NotRequired[HeaderFields]
    trailers: NotRequired[bool]


class ResponseBody(TypedDict):
    """A part of a response's body."""

    type: Literal["http.response.body"]
    body: bytes
    more_body: NotRequired[bool]


ReceivedMessage: TypeAlias = RequestMessage | DisconnectMessage
SentMessage: TypeAlias = ResponseStart | ResponseBody
Receive: TypeAlias = Callable[[], Awaitable[ReceivedMessage]]
Send: TypeAlias = Callable[[SentMessage], Awaitable[None]]
# Frameworks type a scope as a mutable mapping with any values, to which no TypedDict is assignable.
ASGIApplication: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
