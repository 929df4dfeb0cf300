"""Owns what all connections of one server share; does nothing."""

import asyncio
import email.utils
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from thingmint.rest.asgi_messages import ASGIApplication
from thingmint.rest.http.limits import Limits
from thingmint.rest.http.protocol.phases import phase_seconds


@dataclass(slots=True, eq=False)
class ServerState:
    """The application, the limits, the requests being answered, and the header fields of every response."""

    application: ASGIApplication
    limits: Limits
    loop: asyncio.AbstractEventLoop
    has_room: Callable[[], bool]
    """Whether one more request can be worked on."""
    spared: Collection[bytes] = ()
    """Paths whose requests take no place of others: each connection has one at most, and they cost next to nothing."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    spared_tasks: set[asyncio.Task[None]] = field(default_factory=set)
    standing_fields: bytes = b""
    phase_seconds: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.phase_seconds = phase_seconds(self.limits)
        self.tell_date()

    def tell_date(self) -> None:
        """Write the present time into the header fields of the responses to come (RFC 9110, 6.6.1)."""
        self.standing_fields = b"date: %b\r\n" % email.utils.formatdate(usegmt=True).encode("ascii")
