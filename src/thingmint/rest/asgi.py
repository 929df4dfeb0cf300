"""Owns the order in which a request is served: route, body, authenticate, authorise, throttle, check, act, answer.

The order is that of AWS's front end: a caller that may not call an operation learns nothing about its request.
Refuses to know sockets, signatures, policies and operations.
"""

from collections.abc import Set as AbstractSet
from functools import partial
from typing import Protocol

from thingmint.api.wire.routing import Router
from thingmint.core.caller import Caller
from thingmint.core.errors import Throttled
from thingmint.registration.kernel.ports import Clock
from thingmint.registration.policies.authorization import TagsOf, authorize_all
from thingmint.rest.answering import Answering, Record
from thingmint.rest.answers import Answer
from thingmint.rest.asgi_messages import HTTPScope, Receive, Send
from thingmint.rest.body import BodyLimits, BodyReader
from thingmint.rest.request_conditions import request_conditions
from thingmint.rest.sigv4.signature import HttpRequest


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


class Application:
    """The ASGI application of the API."""

    def __init__(
        self,
        *,
        router: Router,
        answering: Answering,
        authenticator: Authenticator,
        throttle: Throttle,
        clock: Clock,
        tags_of: TagsOf,
        max_in_flight: int = 512,
        body_limits: BodyLimits | None = None,
    ) -> None:
        self._router = router
        self._answering = answering
        self._authenticator = authenticator
        self._throttle = throttle
        self._clock = clock
        self._tags_of = tags_of
        self._room = max_in_flight
        self._bodies = BodyReader(body_limits or BodyLimits())

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        await self._answering.answer(scope, send, partial(self._serve, scope, receive))

    async def _serve(self, scope: HTTPScope, receive: Receive, record: Record) -> Answer:
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
        self._answering.observer.in_flight(1)

    def _end(self) -> None:
        self._room += 1
        self._answering.observer.in_flight(-1)
