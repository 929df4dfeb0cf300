"""Owns one HTTP/1.1 connection: the order of its requests and responses, its phases, and its refusals.

Independent of routes and listeners. The server periodically calls `enforce` on every connection, because a timer for
each phase of each request would cost more.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from thingmint.host.connections.proxy_header import CarriedAddresses
from thingmint.rest.http.protocol import head as http_head
from thingmint.rest.http.protocol.exchange import Exchange
from thingmint.rest.http.protocol.flow import Flow
from thingmint.rest.http.protocol.head import Refusal, RequestRefused, refusal_bytes
from thingmint.rest.http.protocol.phases import Phase, PhaseClock
from thingmint.rest.http.protocol.pipeline import Pipeline
from thingmint.rest.http.protocol.request_id import new_request_id
from thingmint.rest.http.protocol.request_parser import NothingMore, RequestHead, RequestParser
from thingmint.rest.http.protocol.scope import ConnectionAddresses
from thingmint.rest.http.protocol.server_state import ServerState

# The parser cannot be paused, so it is fed in small pieces. A piece contains at most 39 requests of the shortest form.
_PIECE: Final = 1024
_WRITE_BUFFER: Final = 64 * 1024
# How many bytes of a body are kept for an application that does not receive yet; the rest stays in the kernel.
_BODY_BUFFER: Final = 64 * 1024


class HTTPConnection(asyncio.Protocol):
    """An HTTP/1.1 connection with limits on the time and the memory that a client can use.

    Pipelined requests are answered one after the other. The phase is what the connection waits for.
    """

    transport: asyncio.Transport
    _flow: Flow
    _ends: ConnectionAddresses

    def __init__(
        self, state: ServerState, on_lost: Callable[[], None], carried: CarriedAddresses | None = None
    ) -> None:
        """Serve a connection; ``carried`` has the addresses of its ends if a balancer has sent them."""
        self._carried = carried
        self._state = state
        self._loop = state.loop
        self._on_lost = on_lost
        self._parser = RequestParser(self, state.limits)
        self._clock = PhaseClock(state.phase_seconds, state.limits.body_stall_seconds)
        self._pipeline = Pipeline()
        self._unparsed = b""
        self._client_is_done = False
        self._discarded = 0
        self._farewell: Refusal | None = None
        self._last_useful_at = self._last_heard_at = time.monotonic()
        self.is_established = False

    # Called by the server

    @property
    def idle_since(self) -> float | None:
        """When the connection last made progress; None while the service works on a complete request."""
        is_at_work = self._pipeline.is_answering and not self.waits_for_client
        return None if is_at_work else max(self._last_useful_at, self._last_heard_at)

    @property
    def stalled_since(self) -> float:
        """Since when the running request has received nothing from its client."""
        return max(self._pipeline.running_since, self._last_heard_at)

    @property
    def waits_for_client(self) -> bool:
        """Whether the running request waits for its client to send the body or to read the response."""
        running = self._pipeline.running
        if running is None or running.is_complete or self.transport.is_closing():
            return False
        return running.more_body or self._flow.writing_is_paused

    def give_way(self) -> None:
        """End the request that waits for its client, so that another one can be served."""
        running = self._pipeline.running
        if running is not None and running.more_body and not running.has_begun_to_answer:
            self._refuse(http_head.OVERLOADED)
        else:
            self.transport.abort()

    def enforce(self, now: float) -> None:
        """End the connection, or answer 408, if a deadline has passed; ``now`` is the event loop's time."""
        clock = self._clock
        if self.transport.is_closing():
            # A closing transport waits until its buffer is empty, without a limit if the client does not read.
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
        """Accept no further requests, answer those that have begun, and close."""
        newest = self._pipeline.newest
        if newest is None or not self._pipeline.is_answering:
            self.transport.close()
            return
        newest.keep_alive = False
        self._parser.end_after_this()
        if not newest.more_body:
            self._discard_from_now_on()

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time limit for the first byte."""
        # uvloop's transports are not subclasses of asyncio's.
        self.transport = transport  # type: ignore[assignment]  # see above
        self.transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        self._flow = Flow(self.transport, self._loop, self._state.limits.write_stall_seconds)
        self._ends = ConnectionAddresses.of(transport, self._carried)
        self.is_established = True
        self._enter(Phase.ACCEPTED)

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the application and the server."""
        self._pipeline.disconnect()
        self._unparsed = b""
        self._flow.resume_writing()
        self._on_lost()

    def eof_received(self) -> bool:
        """Answer an unfinished request; return whether a response is still to be written."""
        self._client_is_done = True
        if self._clock.phase in (Phase.HEAD, Phase.BODY) and not self._unparsed:
            self._refuse(http_head.TRUNCATED)
            return False
        running = self._pipeline.running
        # TLS connections cannot be half open under asyncio, and streamed responses have no end to wait for.
        return self._ends.scheme == "http" and running is not None and not running.is_complete and not running.streams

    def pause_writing(self) -> None:
        """Set a deadline for a client that does not read its responses."""
        self._flow.pause_writing()

    def resume_writing(self) -> None:
        """Remove the deadline."""
        self._flow.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Parse the bytes, or keep them while earlier pipelined requests wait."""
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
            if self._pipeline:
                self._unparsed = received[start:]
                break
            try:
                self._parser.feed(received[start : start + _PIECE])
            except RequestRefused as refused:
                self._refuse(refused.refusal)
            except NothingMore as end:
                self._discard_from_now_on()
                self._discarded += len(received) - start - end.parsed
        self._regulate()

    def _parse_rest(self) -> None:
        if not self._unparsed or self._pipeline or self.transport.is_closing():
            return
        received, self._unparsed = self._unparsed, b""
        self._parse(received)
        if self._client_is_done and not self._unparsed and self._clock.phase in (Phase.HEAD, Phase.BODY):
            self._refuse(http_head.TRUNCATED)

    def _regulate(self) -> None:
        """Read unless enough requests or bytes are waiting."""
        is_full = bool(self._unparsed) or self._pipeline.holds_enough(_BODY_BUFFER)
        self._flow.read(on=not is_full or self._clock.phase >= Phase.DISCARDING)

    def _enter(self, phase: Phase) -> None:
        self._clock.enter(phase, self._loop.time())

    # Called by the parser

    def request_begins(self) -> None:
        """Start the time limit of a request's head."""
        self._enter(Phase.HEAD)

    def head_ends(self, head: RequestHead) -> None:
        """Start the application, or queue the request behind the running one."""
        exchange = Exchange(self._ends.scope_of(head), self, head)
        self._enter(Phase.BODY)
        if self._pipeline.put(exchange):
            self._run(exchange)

    def body_part(self, part: bytes) -> None:
        """Pass a part of the body to the application."""
        if self._pipeline.newest is not None:
            self._pipeline.newest.body_part(part)

    def request_ends(self) -> None:
        """Stop the time limit of the request's body."""
        self._enter(Phase.ANSWERING)
        if self._pipeline.newest is not None:
            self._pipeline.newest.body_ends()

    # Called by the exchange

    @property
    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self.transport.is_closing()

    @property
    def standing_fields(self) -> bytes:
        """Return the header fields of every response, as bytes."""
        return self._state.standing_fields

    def write(self, data: bytes) -> None:
        """Write a part of a response."""
        self.transport.write(data)

    @property
    def is_writable(self) -> bool:
        """Whether the client has read most of what was written."""
        return not self._flow.writing_is_paused

    async def until_writable(self) -> None:
        """Wait until the client has read enough, or has gone."""
        await self._flow.until_writable()

    def body_is_taken(self) -> None:
        """Continue reading if it was paused because of the body."""
        if self._flow.reading_is_paused:
            self._regulate()

    def hand_over(self, head: bytes, protocol: asyncio.Protocol) -> bool:
        """Give the transport to a protocol behind a head; return False if the client has sent more, or has gone."""
        if self.is_closing or self._client_is_done or self._discarded:
            return False
        self._flow.hand_over(head, protocol)
        self._on_lost()
        return True

    def break_off(self) -> None:
        """Close when everything is written."""
        self.transport.close()

    # How requests begin and end

    def _run(self, exchange: Exchange) -> None:
        self._pipeline.run(exchange)
        self._state.run(exchange)

    def is_answered(self, exchange: Exchange) -> None:
        """Run the next pipelined request, send a refusal that was held back, or wait for the next request."""
        # The clock of uvloop has a resolution of milliseconds, too coarse to order the idle times of two connections.
        self._last_useful_at = time.monotonic()
        if self.transport.is_closing():
            return
        if exchange.leaves_body_unread:
            self._drain()
        elif not exchange.keep_alive:
            self._close_after_last()
        elif self._pipeline:
            self._run(self._pipeline.take())
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
        """Send a refusal after the responses to earlier requests, and read no further requests."""
        self._discard_from_now_on()
        unfinished, running = self._pipeline.unfinished, self._pipeline.running
        if unfinished is not None and unfinished is not running:
            self._pipeline.drop_newest()
        if running is None or not self._pipeline.is_answering:
            self._say(refusal)
        elif unfinished is running:
            self._cut_short(running, refusal)
        else:
            self._farewell = refusal

    def _cut_short(self, running: Exchange, refusal: Refusal) -> None:
        running.disconnect()
        self._pipeline.running = None
        if running.has_begun_to_answer:
            self.transport.close()
        else:
            self._say(refusal)

    def _say(self, refusal: Refusal) -> None:
        is_head = self._parser.is_head
        self.transport.write(refusal_bytes(refusal, new_request_id(), self.standing_fields, to_head=is_head))
        self._drain()

    def _discard_from_now_on(self) -> None:
        self._unparsed = b""
        self._enter(Phase.DISCARDING)
        self._regulate()

    def _drain(self) -> None:
        """Read and drop what the client still sends, so that a reset does not overtake the last answer."""
        self._unparsed = b""
        self._enter(Phase.DRAINING)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._regulate()
