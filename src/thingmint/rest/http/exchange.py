"""Owns one request and its response on a connection; decides neither what is refused nor when time is up."""

import asyncio
import uuid
from typing import Self

from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from thingmint.rest.http import head as http_head
from thingmint.rest.http.head import Refusal


async def refuse_overload(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Be the application for a request that the service has no room for."""
    await _send_refusal(send, http_head.OVERLOADED)


async def _send_refusal(send: ASGISendCallable, refusal: Refusal) -> None:
    body = http_head.refusal_body(refusal)
    headers = http_head.refusal_headers(refusal, body, new_request_id())
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def new_request_id() -> str:
    """Return a request id in the form that AWS uses."""
    return str(uuid.uuid4())


class Exchange(RequestResponseCycle):
    """One request and its response."""

    leaves_body_unread = False

    @classmethod
    def on(cls, protocol: HttpToolsProtocol, *, keep_alive: bool) -> Self:
        """Return the exchange for the request whose head the protocol has just read."""
        return cls(
            scope=protocol.scope,
            transport=protocol.transport,
            flow=protocol.flow,
            logger=protocol.logger,
            access_logger=protocol.access_logger,
            access_log=protocol.access_log,
            default_headers=protocol.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=protocol.expect_100_continue,
            keep_alive=keep_alive,
            on_response=protocol.on_response_complete,
        )

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the response, or nothing once the connection is closing."""
        if self.transport.is_closing():
            self.disconnected = True
        if not self.response_started and self.more_body:
            # What is left of the body would be read as the next request: say "close", and linger before it.
            self.leaves_body_unread = True
            self.keep_alive = False
        await super().send(message)
        if self.leaves_body_unread and self.response_started and not self.response_complete:
            self.keep_alive = True  # the header is written; the protocol closes, after lingering

    async def send_500_response(self) -> None:
        """Answer for an application that failed."""
        await _send_refusal(self.send, http_head.INTERNAL_FAILURE)
