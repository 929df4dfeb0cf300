"""Owns the steps common to all applications that answer in AWS's form: request id, answer, metrics and log line.

The content of a request (query, header, body) is never logged.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from thingmint.api.wire.errors import ErrorAnswer, ErrorMap
from thingmint.api.wire.planes import Plane
from thingmint.core.error_text import trace_of
from thingmint.core.errors import ThingmintError, Throttled
from thingmint.core.operational_log import OperationalLog
from thingmint.rest.answers import Answer, answer_of_error, send_answer
from thingmint.rest.asgi_messages import HTTPScope, Send
from thingmint.rest.body import RequestAborted

# Used in metrics and logs for unknown paths, which a client can invent, so that the number of names is limited.
NO_OPERATION = "Unknown"
_SWITCHED = 101


class RequestObserver(Protocol):
    """Counts requests. The methods must not raise or block."""

    def observe_request(self, operation: str, error: str, seconds: float) -> None:
        """Count a served request; ``error`` is empty for success, an AWS error name otherwise."""
        ...

    def throttled(self, operation: str) -> None:
        """Count a request that was refused because of a quota or for lack of room."""
        ...

    def in_flight(self, delta: int) -> None:
        """Count a request whose work begins (1) or ends (-1)."""
        ...


class Record(Struct):
    """The facts of a request that become known while it is served, for its answer and its log line."""

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
        log: OperationalLog,
        new_request_id: Callable[[], str],
        error_form: Callable[[ErrorAnswer, str], Answer] = answer_of_error,
    ) -> None:
        """Take the mapping of errors, the observer and the log, and the function that makes an error's answer."""
        self.observer = observer
        self._errors = errors
        self._log = log
        self._new_request_id = new_request_id
        self._error_form = error_form

    async def answer(self, scope: HTTPScope, send: Send, serve: Callable[[Record], Awaitable[Answer | None]]) -> None:
        """Send the answer that ``serve`` returns, or the error that it raises; send nothing if the client has gone.

        It returns None if it has given the connection to another protocol.
        """
        client = scope["client"]
        record = Record(self._new_request_id(), "" if client is None else client[0], time.perf_counter())
        try:
            answer = await self._answer(serve, record)
        except RequestAborted:
            record.error = "ClientDisconnected"
            self._note(record, None)
            return
        self._note(record, _SWITCHED if answer is None else answer.status)
        if answer is not None:
            await send_answer(scope, send, record.request_id, answer)

    async def _answer(self, serve: Callable[[Record], Awaitable[Answer | None]], record: Record) -> Answer | None:
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
        # The cause of a fault of the service: the type alone, because texts of a library's errors may quote secrets.
        record.cause = None if error.__cause__ is None else type(error.__cause__).__qualname__
        return self._error_form(answer, record.request_id)

    def _note(self, record: Record, status: int | None) -> None:
        seconds = time.perf_counter() - record.started_at
        self.observer.observe_request(record.operation, record.error, seconds)
        # Successful health checks come every few seconds and are of no interest.
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
