"""Owns the order of the steps of a request: route, body, authenticate, authorise, throttle, check, act, answer.

The order is that of AWS's front end: a caller that is not authorised for an operation learns nothing about its request.
Independent of sockets, signatures, policies and operations.
"""

from collections.abc import Set as AbstractSet
from functools import partial
from typing import Protocol

from thingmint.api.wire.calls import Calls, Sent
from thingmint.core.caller import Caller
from thingmint.core.errors import Throttled
from thingmint.rest.answering import Answering, Record
from thingmint.rest.answers import Answer
from thingmint.rest.asgi_messages import HTTPScope, Receive, Send
from thingmint.rest.body import BodyLimits, BodyReader
from thingmint.rest.sigv4.signature import HttpRequest


class Authenticator(Protocol):
    """Authenticates requests."""

    async def authenticate(
        self, request: HttpRequest, request_id: str, source_address: str, signed_for: AbstractSet[str]
    ) -> Caller:
        """Return the caller; raise AuthenticationFailure, also if the signature is for none of these services."""
        ...


class Application:
    """The ASGI application of the API."""

    def __init__(
        self,
        *,
        calls: Calls,
        answering: Answering,
        authenticator: Authenticator,
        max_in_flight: int = 512,
        body_limits: BodyLimits | None = None,
    ) -> None:
        self._calls = calls
        self._answering = answering
        self._authenticator = authenticator
        self._room = max_in_flight
        self._bodies = BodyReader(body_limits or BodyLimits())

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        await self._answering.answer(scope, send, partial(self._serve, scope, receive))

    async def _serve(self, scope: HTTPScope, receive: Receive, record: Record) -> Answer:
        match = self._calls.router.match(scope["method"], scope["raw_path"])
        record.operation, record.plane = match.operation.name, match.operation.plane
        headers = list(scope["headers"])
        body = await self._bodies.read(scope, receive)
        request = HttpRequest(scope["method"], scope["raw_path"], scope["query_string"], headers, body)
        self._begin()
        try:
            caller = await self._authenticator.authenticate(
                request, record.request_id, record.source, record.plane.signed_for
            )
            record.principal = caller.principal.arn
            raw = match.read(scope["query_string"], headers, body)
            return Answer(200, await self._calls.perform(match, caller, raw, Sent(scope["scheme"], headers)))
        finally:
            self._end()

    def _begin(self) -> None:
        if self._room <= 0:
            raise Throttled
        self._room -= 1
        self._answering.observer.in_flight(1)

    def _end(self) -> None:
        self._room += 1
        self._answering.observer.in_flight(-1)
