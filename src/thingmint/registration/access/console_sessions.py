"""Owns the sessions of the web console: sign-in with an access key, end, sign-out. Independent of HTTP.

The returned value has the token. The database has only its digest, with which every node finds the session.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from msgspec import Struct

from thingmint.core.access_key import AccessKey
from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.clock import Clock
from thingmint.core.console_session import IDLE, ConsoleSession
from thingmint.core.errors import AuthenticationFailure
from thingmint.core.identifiers import Region
from thingmint.records.access import access_keys as access_key_table
from thingmint.records.access import console_sessions as session_table
from thingmint.records.steps import Steps
from thingmint.registration.access.access_keys import read_access_key, sealing_name, session_token_digest
from thingmint.registration.access.principals import Principals
from thingmint.registration.kernel.mutation import UNHEARD, Change, change_of_callers
from thingmint.registration.kernel.ports import EventSink, SecretSealer, Store

TOKEN_BYTES: Final = 32
MOST_SESSIONS_OF_A_KEY: Final = 16
# A use is recorded at most once a minute, so that not every page of a session causes a write.
_NOTED_AFTER: Final = timedelta(minutes=1)
_SWEPT_TOGETHER: Final = 500
_REFUSED: Final = "The access key id or the secret access key is not right."


@dataclass(frozen=True, slots=True)
class SignIn:
    """The credentials of a sign-in. Only temporary credentials have a session token."""

    access_key_id: str
    secret: str = field(repr=False)
    session_token: str | None = field(repr=False)
    source_address: str
    request_id: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A valid session, its token, and its access key."""

    token: str = field(repr=False)
    session: ConsoleSession
    access_key: AccessKey


class ConsoleSessions(Struct, frozen=True):
    """The sessions of all nodes on one database."""

    store: Store
    sealer: SecretSealer
    clock: Clock
    random_bytes: Callable[[int], bytes]
    region: Region
    principals: Principals
    events: EventSink = UNHEARD

    async def sign_in(self, given: SignIn) -> SignedIn:
        """Return a new session; raise AuthenticationFailure if no access key has this id and this secret.

        The error is the same for an unknown key, a wrong secret and an expired key.
        """
        key = await self._matching_key(given)
        now, token = self.clock.now(), self.random_bytes(TOKEN_BYTES).hex()
        session = ConsoleSession(
            _digest(token), key.access_key_id, key.created_at, given.source_address, created_at=now, used_at=now
        )
        caller = self.caller(key, given.request_id, given.source_address)
        entry = audit_entry(caller, now, "ConsoleSignIn", caller.principal.arn, access_key_id=key.access_key_id)

        def program() -> Steps[Change[None]]:
            yield from session_table.delete_idle_console_sessions(now - IDLE, _SWEPT_TOGETHER)
            yield from session_table.insert_console_session(session)
            yield from session_table.delete_more_console_sessions_than(key.access_key_id, MOST_SESSIONS_OF_A_KEY)
            return Change(None, (entry,))

        await change_of_callers(self.store, self.events, program)
        return SignedIn(token, session, key)

    async def find(self, token: str, *, is_use: bool = True) -> SignedIn | None:
        """Return the valid session of this token and record its use; None if there is none.

        A session also ends when its access key is deleted, replaced or expired.
        """
        now, digest = self.clock.now(), _digest(token)

        def program() -> Steps[SignedIn | None]:
            session = yield from session_table.console_session(digest)
            if session is None or session.is_over(now):
                return None
            key = yield from access_key_table.access_key(session.access_key_id)
            if key is None or key.created_at != session.key_created_at:
                return None
            return None if _is_expired(key, self.clock) else SignedIn(token, session, key)

        found = await self.store.read(program)
        if found is not None and is_use and now - found.session.used_at >= _NOTED_AFTER:
            await self.store.write(lambda: session_table.use_console_session(digest, now))
        return found

    async def sign_out(self, signed_in: SignedIn, request_id: str, source_address: str) -> None:
        """End the session on every node."""
        caller = self.caller(signed_in.access_key, request_id, source_address)
        key_id = signed_in.access_key.access_key_id
        entry = audit_entry(caller, self.clock.now(), "ConsoleSignOut", caller.principal.arn, access_key_id=key_id)

        def program() -> Steps[Change[None]]:
            was_there = yield from session_table.delete_console_session(signed_in.session.token_sha256)
            return Change(None, (entry,) if was_there else ())

        await change_of_callers(self.store, self.events, program)

    def caller(self, key: AccessKey, request_id: str, source_address: str) -> Caller:
        """Return the caller of a session's request; raise AccessDenied if the key's policy cannot be parsed."""
        return Caller(key.account, self.region, self.principals.principal_of(key), request_id, source_address)

    async def _matching_key(self, given: SignIn) -> AccessKey:
        key = await read_access_key(self.store, given.access_key_id)
        if key is None or _is_expired(key, self.clock) or not _has_token(key, given.session_token):
            raise AuthenticationFailure(_REFUSED)
        secret = self.sealer.unseal(key.sealed_secret, sealing_name(key.access_key_id))
        if not hmac.compare_digest(secret, given.secret.encode("utf-8", "surrogatepass")):
            raise AuthenticationFailure(_REFUSED)
        return key


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _is_expired(key: AccessKey, clock: Clock) -> bool:
    return key.expires_at is not None and key.expires_at <= clock.now()


def _has_token(key: AccessKey, session_token: str | None) -> bool:
    if key.session_token_sha256 is None:
        return session_token is None
    return session_token is not None and hmac.compare_digest(
        key.session_token_sha256, session_token_digest(session_token)
    )
