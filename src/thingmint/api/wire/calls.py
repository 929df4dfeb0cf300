"""Owns the call of an operation for an authenticated caller: permissions, quota, handler. Independent of HTTP.

The order is that of AWS's front end: a caller without permission gets no information about its request. Every edge that
acts for callers uses this module.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from thingmint.api.wire.reading.binding import RawRequest
from thingmint.api.wire.request_conditions import request_conditions
from thingmint.api.wire.routing import Match, Router
from thingmint.core.caller import Caller
from thingmint.core.clock import Clock
from thingmint.registration.policies.authorization import Permission, TagsOf, authorize_all, depends_on_request


class Quotas(Protocol):
    """Keeps the quotas."""

    def admit(self, account: str, operation: str) -> None:
        """Return if the account may call the operation now; raise Throttled otherwise."""
        ...


class Sent(Struct, frozen=True):
    """The facts of a request's transport for policies: its scheme and its header fields, with names in lower case."""

    scheme: str
    headers: Sequence[tuple[bytes, bytes]]

    def __repr__(self) -> str:
        # The header fields have signatures and session tokens.
        return f"Sent({self.scheme})"


class Calls(Struct, frozen=True):
    """Calls operations on behalf of callers."""

    router: Router
    throttle: Quotas
    clock: Clock
    tags_of: TagsOf

    async def perform(self, match: Match, caller: Caller, raw: RawRequest, sent: Sent) -> bytes:
        """Return the body of the answer; raise AccessDenied, Throttled or an error of the operation."""
        await self.require(caller, match.operation.permissions(caller.scope, raw), sent)
        self.throttle.admit(caller.account, match.operation.name)
        return await match.invoke(caller, raw)

    async def require(self, caller: Caller, needed: Sequence[Permission], sent: Sent) -> None:
        """Return if the caller's policies allow all permissions; raise AccessDenied otherwise."""
        conditions = self.conditions(sent) if depends_on_request(caller) else {}
        await authorize_all(caller, needed, conditions, self.tags_of)

    def conditions(self, sent: Sent) -> Mapping[str, tuple[str, ...]]:
        """Return the condition keys that every request has, except those of its caller."""
        return request_conditions(sent.scheme, sent.headers, self.clock.now())
