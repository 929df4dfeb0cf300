"""Owns what every application that answers in AWS's form does with a request: an id, an answer, a count, a log line.

What a request says (query, header, body) is never logged.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from thingmint.api.wire.errors import ErrorAnswer, ErrorMap
from thingmint.api.wire.planes import Plane
from thingmint.core.errors import ThingmintError, Throttled
from thingmint.host.traces import trace_of
from thingmint.rest.answers import Answer, answer_of_error, send_answer
from thingmint.rest.asgi_messages import HTTPScope, Send
from thingmint.rest.body import RequestAborted

# Bounds the names that metrics and logs are kept by: a client can invent paths, but no operations.
NO_OPERATION = "Unknown"


class RequestObserver(Protocol):
    """Counts requests; must neither fail nor wait."""

    def observe_request(self, operation: str, error: str, seconds: float) -> None:
        """Count a served request; ``error`` is empty for success, an AWS error name otherwise."""
        ...

    def throttled(self, operation: str) -> None:
        """Count a request that was refused because of a quota or for lack of room."""
        ...

    def in_flight(self, delta: int) -> None:
        """Count a request whose work begins (1) or ends (-1)."""
        ...


class RequestLog(Protocol):
    """Writes structured log lines."""

    def debug(self, event: str, **fields: object) -> object:
        """Write a line that is of interest to developers."""
        ...

    def info(self, event: str, **fields: object) -> object:
        """Write a line about what went as it should."""
        ...

    def error(self, event: str, **fields: object) -> object:
        """Write a line about a fault of the service."""
        ...


@dataclass(slots=True)
class Record:
    """What becomes known of a request while it is served, for its answer and its log line."""

    request_id: str
    source: str
    started_at: float
    operation: str = NO_OPERATION
    plane: Plane = Plane.CONTROL
    principal: str | None = None
    is_page: bool = False
    error: str = ""
    cause: str | None = None


class Answering:
    """Answers every request, also if its handling fails."""

    def __init__(
        self,
        *,
        errors: ErrorMap,
        observer: RequestObserver,
        log: RequestLog,
        new_request_id: Callable[[], str],
        error_form: Callable[[ErrorAnswer, str], Answer] = answer_of_error,
    ) -> None:
        """Take the map of errors, who counts and logs requests, and how an error with a request's id looks."""
        self.observer = observer
        self._errors = errors
        self._log = log
        self._new_request_id = new_request_id
        self._error_form = error_form

    async def answer(self, scope: HTTPScope, send: Send, serve: Callable[[Record], Awaitable[Answer]]) -> None:
        """Send what ``serve`` returns, or the error that it raises; nothing if the client has gone."""
        client = scope["client"]
        record = Record(self._new_request_id(), "" if client is None else client[0], time.perf_counter())
        try:
            answer = await self._answer(serve, record)
        except RequestAborted:
            record.error = "ClientDisconnected"
            self._note(record, None)
            return
        self._note(record, answer.status)
        await send_answer(send, scope["method"], record.request_id, answer)

    async def _answer(self, serve: Callable[[Record], Awaitable[Answer]], record: Record) -> Answer:
        try:
            return await serve(record)
        except ThingmintError as error:
            if isinstance(error, Throttled):
                self.observer.throttled(record.operation)
            return self._refusal(error, record)
        except RequestAborted:
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: any error is a 500 in AWS's form
            self._log.error(
                "request failed", request_id=record.request_id, operation=record.operation, traceback=trace_of(error)
            )
            return self._refusal(error, record)

    def _refusal(self, error: Exception, record: Record) -> Answer:
        answer = self._errors.answer(error, record.plane)
        record.error = answer.name
        # Why a part of the service did not answer; the type alone, because texts of foreign errors may quote anything.
        record.cause = None if error.__cause__ is None else type(error.__cause__).__qualname__
        return self._error_form(answer, record.request_id)

    def _note(self, record: Record, status: int | None) -> None:
        seconds = time.perf_counter() - record.started_at
        self.observer.observe_request(record.operation, record.error, seconds)
        # Probes come every few seconds; while all is well they are noise.
        write = self._log.debug if record.is_page and not record.error else self._log.info
        write(
            "request",
            operation=record.operation,
            status=status,
            error=record.error or None,
            cause=record.cause,
            seconds=round(seconds, 6),
            request_id=record.request_id,
            principal=record.principal,
            source=record.source,
        )
