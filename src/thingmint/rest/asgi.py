"""Owns the order in which a request is served: route, body, authenticate, authorise, throttle, check, act, answer.

The order is that of AWS's front end: a caller that may not call an operation learns nothing about its request.
Refuses to know sockets, signatures, policies and operations. What a request says (query, header, body) is never logged.
"""

import time
import traceback
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

from thingmint.api.wire.errors import ErrorMap
from thingmint.api.wire.planes import Plane
from thingmint.api.wire.routing import Router
from thingmint.core.caller import Caller
from thingmint.core.errors import ThingmintError, Throttled
from thingmint.registration.kernel.ports import Clock
from thingmint.registration.policies.authorization import TagsOf, authorize_all
from thingmint.rest.answers import Answer, error_answer, send_answer
from thingmint.rest.body import BodyLimits, BodyReader, ClientDisconnected
from thingmint.rest.pages import Pages
from thingmint.rest.request_conditions import request_conditions
from thingmint.rest.sigv4.signature import HttpRequest

# Bounds the names that metrics and logs are kept by: a client can invent paths, but no operations.
_NO_OPERATION = "Unknown"
_TRACED_CAUSES = 5


class Authenticator(Protocol):
    """Finds out who is calling."""

    async def authenticate(
        self, request: HttpRequest, request_id: str, source_address: str, signed_for: AbstractSet[str]
    ) -> Caller:
        """Return the caller; raise AuthenticationFailure, also for a signature for none of these services."""
        ...


class Throttle(Protocol):
    """Keeps the quotas."""

    def admit(self, account: str, operation: str) -> None:
        """Return if the account may call the operation now; raise Throttled otherwise."""
        ...


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
class _Record:
    """What becomes known of a request while it is served, for its log line."""

    request_id: str
    source: str
    started_at: float
    operation: str = _NO_OPERATION
    plane: Plane = Plane.CONTROL
    principal: str | None = None
    is_page: bool = False
    error: str = ""
    cause: str | None = None


class Application:
    """The ASGI application of the API."""

    def __init__(
        self,
        *,
        router: Router,
        errors: ErrorMap,
        authenticator: Authenticator,
        throttle: Throttle,
        clock: Clock,
        pages: Pages,
        observer: RequestObserver,
        log: RequestLog,
        new_request_id: Callable[[], str],
        tags_of: TagsOf,
        max_in_flight: int = 512,
        body_limits: BodyLimits | None = None,
    ) -> None:
        self._router = router
        self._errors = errors
        self._authenticator = authenticator
        self._throttle = throttle
        self._clock = clock
        self._pages = pages
        self._observer = observer
        self._log = log
        self._new_request_id = new_request_id
        self._tags_of = tags_of
        self._room = max_in_flight
        self._bodies = BodyReader(body_limits or BodyLimits())

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one HTTP request; raise ValueError for what is not HTTP."""
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not served")
        client = scope["client"]
        record = _Record(self._new_request_id(), "" if client is None else client[0], time.perf_counter())
        try:
            answer = await self._answer(scope, receive, record)
        except ClientDisconnected:
            record.error = "ClientDisconnected"
            self._note(record, None)
            return
        self._note(record, answer.status)
        await send_answer(send, scope["method"], record.request_id, answer)

    async def _answer(self, scope: HTTPScope, receive: ASGIReceiveCallable, record: _Record) -> Answer:
        try:
            return await self._serve(scope, receive, record)
        except ThingmintError as error:
            if isinstance(error, Throttled):
                self._observer.throttled(record.operation)
            return self._refusal(error, record)
        except ClientDisconnected:
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: whatever it is, the client gets AWS's form of a 500
            self._log.error(
                "request failed", request_id=record.request_id, operation=record.operation, traceback=_trace(error)
            )
            return self._refusal(error, record)

    def _refusal(self, error: Exception, record: _Record) -> Answer:
        answer = self._errors.answer(error, record.plane)
        record.error = answer.name
        # Why a part of the service did not answer; the type alone, because texts of foreign errors may quote anything.
        record.cause = None if error.__cause__ is None else type(error.__cause__).__qualname__
        return error_answer(answer)

    async def _serve(self, scope: HTTPScope, receive: ASGIReceiveCallable, record: _Record) -> Answer:
        page = self._pages.name_of(scope["method"], scope["raw_path"])
        if page is not None:
            record.operation, record.is_page = page, True
            return await self._pages.answer(page)
        match = self._router.match(scope["method"], scope["raw_path"])
        record.operation, record.plane = match.operation.name, match.operation.plane
        headers = list(scope["headers"])
        body = await self._bodies.read(headers, receive)
        request = HttpRequest(scope["method"], scope["raw_path"], scope["query_string"], headers, body)
        self._begin()
        try:
            caller = await self._authenticator.authenticate(
                request, record.request_id, record.source, record.plane.signed_for
            )
            record.principal = caller.principal.arn
            raw = match.read(scope["query_string"], headers, body)
            needed = match.operation.permissions(caller.scope, raw)
            conditions = request_conditions(scope["scheme"], headers, self._clock.now())
            await authorize_all(caller, needed, conditions, self._tags_of)
            self._throttle.admit(caller.account, match.operation.name)
            return Answer(200, await match.invoke(caller, raw))
        finally:
            self._end()

    def _begin(self) -> None:
        if self._room <= 0:
            raise Throttled
        self._room -= 1
        self._observer.in_flight(1)

    def _end(self) -> None:
        self._room += 1
        self._observer.in_flight(-1)

    def _note(self, record: _Record, status: int | None) -> None:
        seconds = time.perf_counter() - record.started_at
        self._observer.observe_request(record.operation, record.error, seconds)
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


def _trace(error: BaseException) -> str:
    """Return where the error and its causes were raised: types and source lines, neither their texts nor any value."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < _TRACED_CAUSES:
        parts.append(f"{type(cause).__qualname__}\n{''.join(traceback.format_tb(cause.__traceback__))}")
        cause = cause.__cause__ or cause.__context__
    return "caused by ".join(parts)
