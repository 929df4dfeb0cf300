"""Owns one HTTP/1.1 connection: the order of its requests and responses, its phases, and its refusals.

Knows neither routes nor listeners. One sweep of the server calls `enforce` on every connection; a timer for each phase
of each request would cost more.
"""

import asyncio
import time
import urllib.parse
from collections import deque
from collections.abc import Callable
from typing import Final

from thingmint.rest.asgi_messages import HTTPScope, Version
from thingmint.rest.http.protocol import head as http_head
from thingmint.rest.http.protocol.exchange import Exchange, refuse_overload
from thingmint.rest.http.protocol.flow import Flow
from thingmint.rest.http.protocol.head import Refusal, RequestRefused, refusal_bytes
from thingmint.rest.http.protocol.phases import Phase, PhaseClock
from thingmint.rest.http.protocol.request_id import new_request_id
from thingmint.rest.http.protocol.request_parser import NothingMore, RequestHead, RequestParser
from thingmint.rest.http.protocol.server_state import ServerState

# The parser cannot be paused, so it is fed in small pieces: a piece holds at most 39 requests of the shortest form.
_PIECE: Final = 1024
_WRITE_BUFFER: Final = 64 * 1024
# What is kept of a body for an application that does not receive it yet; what follows stays in the kernel.
_BODY_BUFFER: Final = 64 * 1024
# An application that does not hear of a disconnect through an error of ``send`` (2.4) waits for ``http.disconnect``.
_ASGI: Final[Version] = {"version": "3.0", "spec_version": "2.3"}


class Connection(asyncio.Protocol):
    """An HTTP/1.1 connection on which no client can hold or grow anything for long.

    Requests of a pipeline are answered one after the other. The phase says what the connection waits for.
    """

    transport: asyncio.Transport
    _flow: Flow

    def __init__(self, state: ServerState, on_lost: Callable[[], None]) -> None:
        self._state = state
        self._loop = state.loop
        self._on_lost = on_lost
        self._parser = RequestParser(self, state.limits)
        self._clock = PhaseClock(state.phase_seconds, state.limits.body_stall_seconds)
        self._running: Exchange | None = None
        self._newest: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._unparsed = b""
        self._client_is_done = False
        self._discarded = 0
        self._farewell: Refusal | None = None
        self._last_useful_at = self._last_heard_at = self._running_since = time.monotonic()
        self._scheme = "http"
        self._client: tuple[str, int] | None = None
        self._server: tuple[str, int | None] | None = None
        self.is_established = False

    # What the server asks

    @property
    def phase(self) -> Phase:
        """What the connection waits for."""
        return self._clock.phase

    @property
    def idle_since(self) -> float | None:
        """When the connection last did something useful; None while the service works on a whole request."""
        is_at_work = self._is_answering and not self.waits_for_client
        return None if is_at_work else max(self._last_useful_at, self._last_heard_at)

    @property
    def stalled_since(self) -> float:
        """Since when the request that runs has got nothing from its client."""
        return max(self._running_since, self._last_heard_at)

    @property
    def waits_for_client(self) -> bool:
        """Whether a request runs that goes on when its client has sent its body, or has read what was answered."""
        running = self._running
        if running is None or running.is_complete or self.transport.is_closing():
            return False
        return running.more_body or self._flow.writing_is_paused

    @property
    def _is_answering(self) -> bool:
        return self._running is not None and not self._running.is_complete

    def give_way(self) -> None:
        """End the request that waits for its client: another one can be served meanwhile."""
        running = self._running
        if running is not None and running.more_body and not running.has_begun_to_answer:
            self._refuse(http_head.OVERLOADED)
        else:
            self.transport.abort()

    def enforce(self, now: float) -> None:
        """End the connection, or answer 408, if a deadline has passed; ``now`` is a time of the loop."""
        clock = self._clock
        if self.transport.is_closing():
            # A transport that closes waits for its buffer to drain, for ever if nobody reads.
            if clock.phase is not Phase.CLOSING:
                clock.enter(Phase.CLOSING, now)
            elif now > clock.deadline:
                self.transport.abort()
        elif self._flow.is_unread_too_long(now):
            self.transport.abort()
        elif self._flow.reading_is_paused:
            clock.restart(now)  # it is the service that does not read, not the client that is slow
        elif now > clock.deadline:
            self._end_of_phase()

    def _end_of_phase(self) -> None:
        if self._clock.phase in (Phase.HEAD, Phase.BODY):
            self._refuse(http_head.TOO_SLOW)
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """Take no request any more, answer those that have begun, and close."""
        if not self._is_answering or self._newest is None:
            self.transport.close()
            return
        self._newest.keep_alive = False
        self._parser.end_after_this()
        if not self._newest.more_body:
            self._discard_from_now_on()

    # What the transport reports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock of a connection that may never say anything."""
        # uvloop's transports are none of asyncio's class.
        self.transport = transport  # type: ignore[assignment]  # see above
        self.transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        self._flow = Flow(self.transport, self._loop, self._state.limits.write_stall_seconds)
        self._scheme = "http" if transport.get_extra_info("sslcontext") is None else "https"
        self._client = _address(transport.get_extra_info("peername"))
        self._server = _address(transport.get_extra_info("sockname"))
        self.is_established = True
        self._enter(Phase.ACCEPTED)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and the server."""
        if self._running is not None and not self._running.is_complete:
            self._running.disconnect()
        self._waiting.clear()
        self._unparsed = b""
        self._flow.resume_writing()
        self._on_lost()

    def eof_received(self) -> bool:
        """Answer what is unfinished; return whether a response is still to be written."""
        self._client_is_done = True
        if self._clock.phase in (Phase.HEAD, Phase.BODY) and not self._unparsed:
            self._refuse(http_head.TRUNCATED)
            return False
        running = self._running
        # TLS connections cannot be half open under asyncio. A stream has no end that its client could wait for.
        return self._scheme == "http" and running is not None and not running.is_complete and not running.streams

    def pause_writing(self) -> None:
        """Give a client that does not read its responses a deadline."""
        self._flow.pause_writing()

    def resume_writing(self) -> None:
        """Forget the deadline."""
        self._flow.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, or keep it while earlier requests of a pipeline wait."""
        if self.transport.is_closing():
            return
        self._last_heard_at = time.monotonic()
        if self._clock.phase >= Phase.DISCARDING:
            self._discard(len(data))
        elif self._unparsed:
            self._unparsed += data
        else:
            self._parse(data)

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > self._state.limits.linger_bytes:
            self.transport.abort()

    def _parse(self, received: bytes) -> None:
        self._clock.bytes_arrive(self._loop.time())
        for start in range(0, len(received), _PIECE):
            if self._clock.phase >= Phase.DISCARDING:
                break
            if self._waiting:
                self._unparsed = received[start:]
                break
            try:
                self._parser.feed(received[start : start + _PIECE])
            except RequestRefused as refused:
                self._refuse(refused.refusal)
            except NothingMore:
                self._discard_from_now_on()
        self._regulate()

    def _parse_rest(self) -> None:
        if not self._unparsed or self._waiting or self.transport.is_closing():
            return
        received, self._unparsed = self._unparsed, b""
        self._parse(received)
        if self._client_is_done and not self._unparsed and self._clock.phase in (Phase.HEAD, Phase.BODY):
            self._refuse(http_head.TRUNCATED)

    def _regulate(self) -> None:
        """Read unless enough is waiting."""
        newest = self._newest
        is_full = self._clock.phase < Phase.DISCARDING and bool(
            self._unparsed
            or self._waiting
            or (newest is not None and newest.held_bytes > _BODY_BUFFER and not newest.is_complete)
        )
        self._flow.read(on=not is_full)

    def _enter(self, phase: Phase) -> None:
        self._clock.enter(phase, self._loop.time())

    # What the parser reports

    def request_begins(self) -> None:
        """Start the clock of a request's head."""
        self._enter(Phase.HEAD)

    def head_ends(self, head: RequestHead) -> None:
        """Start the application, or queue the request behind the one that runs."""
        path, _, query = head.target.partition(b"?")
        scope: HTTPScope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": head.version,
            "method": head.method,
            "scheme": self._scheme,
            "path": urllib.parse.unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": head.headers,
            "client": self._client,
            "server": self._server,
        }
        exchange = Exchange(scope, self, keep_alive=head.keep_alive, expects_continue=head.expects_continue)
        self._enter(Phase.BODY)
        self._newest = exchange
        if self._is_answering:
            self._waiting.append(exchange)
        else:
            self._run(exchange)

    def body_part(self, part: bytes) -> None:
        """Hand the application a part of the body."""
        if self._newest is not None:
            self._newest.body_part(part)

    def request_ends(self) -> None:
        """Stop the clock of the request's body."""
        self._enter(Phase.ANSWERING)
        if self._newest is not None:
            self._newest.body_ends()

    # What the exchange asks

    @property
    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self.transport.is_closing()

    @property
    def standing_fields(self) -> bytes:
        """Return the header fields of every response, as bytes."""
        return self._state.standing_fields

    def write(self, data: bytes) -> None:
        """Write a part of a response."""
        self.transport.write(data)

    async def until_writable(self) -> None:
        """Wait until the client has read enough, or has gone."""
        if self._flow.writing_is_paused:
            await self._flow.until_writable()

    def body_is_taken(self) -> None:
        """Read on if the body was what waited."""
        if self._flow.reading_is_paused:
            self._regulate()

    def break_off(self) -> None:
        """Close after what is written."""
        self.transport.close()

    # How requests begin and end

    def _run(self, exchange: Exchange) -> None:
        state = self._state
        application = state.application if state.has_room(exchange.scope["raw_path"]) else refuse_overload
        self._running, self._running_since = exchange, time.monotonic()
        task = self._loop.create_task(exchange.run(application))
        # The loop itself holds tasks weakly.
        state.tasks.add(task)
        task.add_done_callback(state.tasks.discard)

    def is_answered(self, exchange: Exchange) -> None:
        """Go on with the pipeline, say what was held back, or wait for the next request."""
        # uvloop's clock has milliseconds, too coarse to tell which of two connections was idle first.
        self._last_useful_at = time.monotonic()
        if self.transport.is_closing():
            return
        if exchange.leaves_body_unread:
            self._drain()
        elif not exchange.keep_alive:
            self._close_after_last()
        elif self._waiting:
            self._run(self._waiting.popleft())
        elif self._farewell is not None:
            self._say(self._farewell)
        elif self._client_is_done and not self._unparsed:
            self.transport.close()
        elif self._clock.phase is Phase.ANSWERING:
            self._enter(Phase.IDLE)
        if self._unparsed:
            self._loop.call_soon(self._parse_rest)
        elif self._flow.reading_is_paused:
            self._regulate()

    def _close_after_last(self) -> None:
        if self._clock.phase is Phase.DISCARDING and not self._client_is_done:
            self._drain()  # the client has sent more, and may still be sending
        else:
            self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what cannot be served, after the responses that come before it, and read no further request."""
        self._discard_from_now_on()
        newest = self._newest
        is_unfinished = newest is not None and newest.more_body
        if is_unfinished and newest is not self._running:
            self._waiting.pop()
        running = self._running
        if running is None or running.is_complete:
            self._say(refusal)
        elif is_unfinished and newest is running:
            self._cut_short(running, refusal)
        else:
            self._farewell = refusal

    def _cut_short(self, running: Exchange, refusal: Refusal) -> None:
        running.disconnect()
        self._running = None
        if running.has_begun_to_answer:
            self.transport.close()
        else:
            self._say(refusal)

    def _say(self, refusal: Refusal) -> None:
        self.transport.write(refusal_bytes(refusal, new_request_id(), self._state.standing_fields))
        self._drain()

    def _discard_from_now_on(self) -> None:
        self._unparsed = b""
        self._enter(Phase.DISCARDING)
        self._regulate()

    def _drain(self) -> None:
        """Read and drop what the client still sends: to close at once would reset the connection under the answer."""
        self._unparsed = b""
        self._enter(Phase.DRAINING)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._regulate()


def _address(name: object) -> tuple[str, int] | None:
    """Return the host and the port of a socket's name; None for one that is not of the internet."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
