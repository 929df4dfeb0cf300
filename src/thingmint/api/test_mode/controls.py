"""Owns the operations of the test mode, which move the clock, empty the registry, and fill it from a seed."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Protocol

import msgspec
from msgspec import Struct

from thingmint.api.accounts.accounts import Administration, forget_messages
from thingmint.api.test_mode.seeding import Seeding, read_seed
from thingmint.api.wire.messages import Message, Timestamp
from thingmint.api.wire.reading.binding import BODY, PAYLOAD
from thingmint.api.wire.reading.codec import epoch_seconds
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.clock import Clock
from thingmint.core.identifiers import AccountId, Scope
from thingmint.registration.access import accounts

MOST_SECONDS = 3600.0 * 24 * 366 * 40
_ACCOUNTS_TOGETHER = 100


class ClockOfTests(Clock, Protocol):
    """A clock that tests move."""

    def advance(self, by: timedelta) -> None:
        """Move the clock; raise InvalidRequest if it would be too far from the machine's."""
        ...

    def set_right(self) -> None:
        """Reset the clock to the machine's time."""
        ...


class Controls(Struct, frozen=True):
    """The backend of the test mode's operations."""

    administration: Administration
    clock: ClockOfTests
    seeding: Seeding


class MoveClockRequest(Message, frozen=True, kw_only=True):
    advance_seconds: Annotated[float, BODY, Constraint(ge=-MOST_SECONDS, le=MOST_SECONDS)] = 0.0
    set_right: Annotated[bool, BODY] = False


class MoveClockResponse(Message, frozen=True, kw_only=True):
    now: Timestamp


async def move_clock(controls: Controls, caller: Caller, request: MoveClockRequest) -> MoveClockResponse:
    """Move the service's clock, and first reset it if the request says so; answer with its time.

    Signatures and the server's certificate still use the machine's clock.
    """
    controls.administration.require_own(caller)
    if request.set_right:
        controls.clock.set_right()
    controls.clock.advance(timedelta(seconds=request.advance_seconds))
    return MoveClockResponse(now=epoch_seconds(controls.clock.now()))


class ResetRequest(Message, frozen=True, kw_only=True):
    pass


class ResetResponse(Message, frozen=True, kw_only=True, omit_defaults=False):
    removed_accounts: int
    removed_rows: int


async def reset(controls: Controls, caller: Caller, request: ResetRequest) -> ResetResponse:
    """Delete all other accounts, empty the caller's own except its access keys, and reset the clock."""
    del request
    administration = controls.administration
    administration.require_own(caller)
    store, events, own = administration.authority.store, administration.authority.events, caller.account
    removed_accounts = removed_rows = 0
    after: AccountId | None = None
    while True:
        page = await accounts.list_accounts(store, caller.scope, after, _ACCOUNTS_TOGETHER)
        for each in page.accounts:
            scope = Scope(each.account, caller.region)
            if each.account == own:
                removed_rows += await accounts.remove_contents(store, scope, events)
            else:
                clock = administration.authority.clock
                removed_rows += await accounts.delete_account(store, clock, caller, each.account, events)
                removed_accounts += 1
            await forget_messages(administration.data_plane, scope)
        if page.following is None:
            break
        after = page.following
    controls.clock.set_right()
    return ResetResponse(removed_accounts=removed_accounts, removed_rows=removed_rows)


class SeedRequest(msgspec.Struct, frozen=True, kw_only=True):
    document: Annotated[bytes, PAYLOAD] = b""


class SeedResponse(Message, frozen=True, kw_only=True):
    outputs: list[Mapping[str, object]]


async def seed(controls: Controls, caller: Caller, request: SeedRequest) -> SeedResponse:
    """Carry out the operations of a seed in order and answer with their outputs; the first failure ends it."""
    controls.administration.require_own(caller)
    steps = read_seed(request.document, caller.account, controls.seeding.operations)
    return SeedResponse(outputs=await controls.seeding.carry_out(steps, caller))
