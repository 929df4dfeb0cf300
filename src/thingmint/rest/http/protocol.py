"""Owns one HTTP/1.1 connection: its limits in size and time, and its refusals; knows neither routes nor listeners.

uvicorn's httptools protocol runs the application. What it leaves open is closed here: unbounded heads and pipelines,
heads and bodies that never end, readers that never read, and errors that are not in AWS's form. One sweep of the server
calls `enforce` on every connection; a timer for each phase of each request would cost more.
"""

import asyncio
import logging
import time
import urllib.parse
from collections.abc import Callable

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from thingmint.rest.http import head as http_head
from thingmint.rest.http.deadlines import HttpDeadlines
from thingmint.rest.http.exchange import Exchange, new_request_id, refuse_overload
from thingmint.rest.http.head import Refusal, RequestRefused
from thingmint.rest.http.limits import Limits

# The parser cannot be paused, so it is fed in small pieces: a piece holds at most 39 requests of the shortest form.
_PIECE = 1024
_WRITE_BUFFER = 64 * 1024

log = logging.getLogger(__name__)


class HardenedProtocol(HttpToolsProtocol):
    """An HTTP/1.1 connection on which no client can hold or grow anything for long."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        on_lost: Callable[[], None],
        has_room: Callable[[bytes], bool],
    ) -> None:
        super().__init__(config, server_state, {}, loop)
        # uvicorn lets a request that follows "Connection: close" run; the parser's own refusal is right.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        self.access_log = False  # it would write query strings, and so presigned signatures
        self._limits = limits
        self._on_lost = on_lost
        self._has_room = has_room
        self._running_since = time.monotonic()
        self._running: Exchange | None = None
        self._newest: Exchange | None = None
        self._unparsed = b""
        self._deaf = False
        self._in_head = False
        self._client_is_done = False
        self._head_bytes = 0
        self._framing_bytes = 0
        self._trailers = 0
        self._is_last_request = False
        self._discarded = 0
        self._farewell: Refusal | None = None
        self._last_useful_at = self._last_heard_at = time.monotonic()
        self._deadlines = HttpDeadlines(limits, loop.time)

    # What the server asks

    @property
    def idle_since(self) -> float | None:
        """When the connection last did something useful; None while the service works on a whole request."""
        running = self._running
        is_at_work = running is not None and not running.response_complete and not self.waits_for_client
        return None if is_at_work else max(self._last_useful_at, self._last_heard_at)

    @property
    def stalled_since(self) -> float:
        """Since when the request that runs has got nothing from its client."""
        return max(self._running_since, self._last_heard_at)

    @property
    def waits_for_client(self) -> bool:
        """Whether a request runs that goes on when its client has sent its body, or has read what was answered."""
        running = self._running
        if running is None or running.response_complete or self.transport.is_closing():
            return False
        return running.more_body or self.flow.write_paused

    def give_way(self) -> None:
        """End the request that waits for its client: another one can be served meanwhile."""
        running = self._running
        if running is not None and running.more_body and not running.response_started:
            self._refuse(http_head.OVERLOADED)
        else:
            self.transport.abort()

    def enforce(self, now: float) -> None:
        """End the connection, or answer 408, if a time limit has passed."""
        if self.transport.is_closing():
            # A transport that closes waits for its buffer to drain, for ever if nobody reads.
            if self._deadlines.is_close_too_slow(now):
                self.transport.abort()
        elif self._deadlines.is_unread_too_long(now):
            self.transport.abort()
        elif self._deadlines.is_idle_too_long(now):
            self.transport.close()
        elif self.flow.read_paused:
            self._deadlines.restart_reading(now)  # it is the service that does not read, not the client that is slow
        elif self._deadlines.is_request_too_slow(now):
            self._refuse(http_head.TOO_SLOW)

    # What the transport reports

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # narrowed by uvicorn
        """Start the clock of a connection that may never say anything."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        self._deadlines.connected()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and the server."""
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True  # uvicorn tells the newest request of a pipeline only
            running.message_event.set()
        self.pipeline.clear()
        self._unparsed = b""
        super().connection_lost(exc)
        self._on_lost()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio.Protocol allows a bool; uvicorn's None is narrower
        """Answer what is unfinished; keep the writing side open for a response that is still to come."""
        self._client_is_done = True
        is_truncated = self._in_head or (self._newest is not None and self._newest.more_body)
        if is_truncated and not self._unparsed and not self._deaf:
            self._refuse(http_head.TRUNCATED)
            return None
        running = self._running
        # TLS connections cannot be half open under asyncio.
        return self.scheme == "http" and running is not None and not running.response_complete

    def pause_writing(self) -> None:
        """Give a client that does not read its responses a time limit."""
        self._deadlines.client_stops_reading()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Forget the time limit."""
        self._deadlines.client_reads()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, or keep it while earlier requests of a pipeline wait."""
        if self.transport.is_closing():
            return
        self._last_heard_at = time.monotonic()
        if self._deaf:
            self._discard(len(data))
        elif self._unparsed:
            self._unparsed += data
            self.flow.pause_reading()
        else:
            self._parse(data)

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > self._limits.linger_bytes:
            self.transport.abort()

    def _parse(self, received: bytes) -> None:
        self._deadlines.bytes_arrive()
        for start in range(0, len(received), _PIECE):
            if self._deaf:
                return
            if self.pipeline:
                self._unparsed = received[start:]
                self.flow.pause_reading()
                return
            self._feed(received[start : start + _PIECE])

    def _parse_rest(self) -> None:
        if self._unparsed and not self.pipeline and not self.transport.is_closing():
            received, self._unparsed = self._unparsed, b""
            self.flow.resume_reading()
            self._parse(received)

    def _feed(self, piece: bytes) -> None:
        self._framing_bytes += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # the request is served as if it had not asked; what follows is another protocol
        except httptools.HttpParserError as error:
            self._refuse_unparsable(error)
        else:
            # httptools gathers a header until it is whole, so bytes are counted as they come.
            self._head_bytes += len(piece) if self._in_head else 0
            if max(self._head_bytes, self._framing_bytes) > self._limits.header_bytes:
                self._refuse(http_head.HEADERS_TOO_LARGE)

    def _refuse_unparsable(self, error: httptools.HttpParserError) -> None:
        is_complete = self._newest is None or not self._newest.more_body
        if self._is_last_request and not self._in_head and is_complete:
            self._deaf = True  # RFC 9112, 9.6: what follows a request with "Connection: close" is not looked at
            return
        cause = error.__context__
        if cause is not None and not isinstance(cause, RequestRefused):
            log.error("a callback of the HTTP parser failed", exc_info=cause)
        self._refuse(cause.refusal if isinstance(cause, RequestRefused) else http_head.MALFORMED)

    # What the parser reports

    def on_message_begin(self) -> None:
        """Start the clock of a request's head."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._framing_bytes = self._trailers = 0
        self._deadlines.head_begins()

    def on_url(self, url: bytes) -> None:
        """Gather the target; raise RequestRefused if it grows too long."""
        super().on_url(url)
        if len(self.url) > self._limits.target_bytes:
            raise RequestRefused(http_head.TARGET_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Gather a header, or drop a trailer; raise RequestRefused if there are too many."""
        if self._in_head:
            super().on_header(name, value)
        else:
            # RFC 9110, 6.5.1: trailers are not merged into headers; a proxy before the service saw only those.
            self._trailers += 1
        if max(len(self.headers), self._trailers) > self._limits.header_count:
            raise RequestRefused(http_head.HEADERS_TOO_MANY)

    def on_headers_complete(self) -> None:
        """Check the head and start the application, or queue the request behind the one that runs."""
        version, upgrades = self.parser.get_http_version(), self.parser.should_upgrade()
        http_head.check_head(version, self.url, self.headers, upgrades=upgrades)
        self._in_head = False
        self._framing_bytes = 0
        self._deadlines.head_ends()
        path, _, query = self.url.partition(b"?")
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        self.scope["path"] = urllib.parse.unquote(path.decode("ascii"))
        self.scope["raw_path"] = path
        self.scope["query_string"] = query
        keep_alive = version == "1.1" and not upgrades and self.parser.should_keep_alive()
        self._is_last_request = not keep_alive
        self._enqueue(Exchange.on(self, keep_alive=keep_alive))

    def _enqueue(self, exchange: Exchange) -> None:
        self.cycle = self._newest = exchange
        if self._running is None or self._running.response_complete:
            self._run(exchange)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))

    def _run(self, exchange: Exchange) -> None:
        has_room = self._has_room(exchange.scope["raw_path"])
        self._running, self._running_since = exchange, time.monotonic()
        self._start_asgi_task(exchange, self.app if has_room else refuse_overload)

    def on_body(self, body: bytes) -> None:
        """Hand the application a part of the body; what is between parts is bounded, and so are trailers."""
        self._framing_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the clock of the request's body."""
        self._deadlines.body_ends()
        self._framing_bytes = 0
        super().on_message_complete()

    # How requests end

    def on_response_complete(self) -> None:
        """Go on with the pipeline, say what was held back, or wait for the next request."""
        self.server_state.total_requests += 1
        finished = self._running
        # uvloop's clock has milliseconds, too coarse to tell which of two connections was idle first.
        self._last_useful_at = time.monotonic()
        if self.transport.is_closing():
            return
        if finished is not None and finished.leaves_body_unread:
            self._linger()
        elif self.pipeline:
            self._run_next()
        elif self._farewell is not None:
            self._say(self._farewell)
        elif self._client_is_done and not self._unparsed:
            self.transport.close()
        else:
            self._await_request()
        if self._unparsed:
            self.loop.call_soon(self._parse_rest)

    def _run_next(self) -> None:
        exchange, _ = self.pipeline.pop()
        assert isinstance(exchange, Exchange)
        self._run(exchange)

    def _await_request(self) -> None:
        self.flow.resume_reading()
        if not self._in_head:
            self._deadlines.next_request()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what cannot be served, after the responses that come before it, and read no further request."""
        self._deaf, self._in_head, self._unparsed = True, False, b""
        self._deadlines.request_is_dropped()
        unfinished = self._newest if self._newest is not None and self._newest.more_body else None
        if unfinished is not None and unfinished is not self._running:
            self.pipeline.popleft()
        running = self._running
        if running is None or running.response_complete:
            self._say(refusal)
        elif unfinished is running:
            self._cut_short(running, refusal)
        else:
            self._farewell = refusal

    def _cut_short(self, running: Exchange, refusal: Refusal) -> None:
        running.disconnected = True
        running.message_event.set()
        self._running = None
        if running.response_started:
            self.transport.close()
        else:
            self._say(refusal)

    def _say(self, refusal: Refusal) -> None:
        self.transport.write(http_head.refusal_bytes(refusal, new_request_id(), self.server_state.default_headers))
        self._linger()

    def _linger(self) -> None:
        """Read and drop what the client still sends: to close at once would reset the connection under the answer."""
        self._deaf, self._unparsed = True, b""
        self._deadlines.lingers()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
