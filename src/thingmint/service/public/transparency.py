"""Owns the verifiable log of an open registry: its identity, the task that appends leaves, and its pages."""

import os
from functools import partial

from thingmint.api.wire.planes import Plane
from thingmint.api.wire.request_conditions import request_conditions
from thingmint.console.services import READ_LOG
from thingmint.core.clock import Clock
from thingmint.core.errors import AccessDenied, OperationUnknown
from thingmint.core.identifiers import iot_arn
from thingmint.public.log_pages import LogPages
from thingmint.registration.log.identity import LogIdentity, open_log
from thingmint.registration.policies.authorization import Permission, TagsOf, authorize_all
from thingmint.rest.answering import Answering, Record
from thingmint.rest.answers import Answer
from thingmint.rest.asgi import Authenticator
from thingmint.rest.asgi_messages import HTTPScope, Receive, Send
from thingmint.rest.sigv4.signature import HttpRequest
from thingmint.service.opening import Registry
from thingmint.signers.log_key import LogKeySigner

_PATH = "/log"


async def open_log_of(registry: Registry) -> LogIdentity:
    """Return the identity of the registry's log, and create the log if there is none; raise ServiceUnavailable."""
    origin = registry.config.log_origin or f"{registry.config.server_names[0]}{_PATH}"
    return await open_log(registry.store, registry.sealer, LogKeySigner, origin, os.urandom)


class LogApplication:
    """The ASGI application of the log's pages, public or only for callers that may read the log."""

    prefixes = (_PATH.encode(),)

    def __init__(
        self,
        pages: LogPages,
        answering: Answering,
        *,
        registry: Registry,
        authenticator: Authenticator,
        tags_of: TagsOf,
    ) -> None:
        self._pages = pages
        self._answering = answering
        self._is_public = registry.config.public_log
        self._scope = registry.scope
        self._clock: Clock = registry.clock
        self._authenticator = authenticator
        self._tags_of = tags_of

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer one request; ignore its body."""
        await self._answering.answer(scope, send, partial(self._serve, scope))

    async def _serve(self, scope: HTTPScope, record: Record) -> Answer:
        record.operation, record.is_page = "ReadLog", True
        if scope["method"] not in ("GET", "HEAD"):
            raise OperationUnknown("No operation answers to this method and path")
        if not self._is_public:
            await self._require_permission(scope, record)
        page = await self._pages.page(scope["path"].removeprefix(f"{_PATH}/"))
        shared = "public" if self._is_public else "private"
        immutable = ", immutable" if page.is_immutable else ""
        cache_control = f"{shared}, max-age={page.seconds}{immutable}".encode()
        return Answer(200, page.body, page.content_type, cache_control=cache_control)

    async def _require_permission(self, scope: HTTPScope, record: Record) -> None:
        headers = list(scope["headers"])
        request = HttpRequest(scope["method"], scope["raw_path"], scope["query_string"], headers, b"")
        caller = await self._authenticator.authenticate(
            request, record.request_id, record.source, Plane.CONTROL.signed_for
        )
        record.principal = caller.principal.arn
        if caller.account != self._scope.account:
            # The log has entries of all accounts; an administrator of one account must not read it.
            raise AccessDenied(f"{caller.principal.arn} is not of the service's own account")
        conditions = request_conditions(scope["scheme"], headers, self._clock.now())
        wanted = Permission(READ_LOG, iot_arn(self._scope, "log"))
        await authorize_all(caller, [wanted], conditions, self._tags_of)
