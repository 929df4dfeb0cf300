"""Owns the state that all connections of one server share: its requests, its limits, its header fields."""

import asyncio
import email.utils
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from thingmint.rest.asgi_messages import ASGIApplication
from thingmint.rest.http.limits import Limits
from thingmint.rest.http.protocol.exchange import Exchange, refuse_overload
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
    """Paths whose requests are not counted as in flight: each connection has at most one, and they cost little."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    spared_tasks: set[asyncio.Task[None]] = field(default_factory=set)
    standing_fields: bytes = b""
    phase_seconds: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.phase_seconds = phase_seconds(self.limits)
        self.tell_date()

    def run(self, exchange: Exchange) -> None:
        """Answer a request in a task of its own, or refuse it if the service has no room."""
        is_spared = exchange.scope["raw_path"] in self.spared
        application = self.application if is_spared or self.has_room() else refuse_overload
        task = self.loop.create_task(exchange.run(application))
        # The event loop holds only weak references to tasks.
        tasks = self.spared_tasks if is_spared else self.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def tell_date(self) -> None:
        """Write the current time into the header fields of subsequent responses (RFC 9110, 6.6.1)."""
        self.standing_fields = b"date: %b\r\n" % email.utils.formatdate(usegmt=True).encode("ascii")
