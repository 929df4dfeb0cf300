"""Owns the access keys of callers: creation, listing, deletion, and the administrator's key of the first start.

The returned value has the secret in clear text. The store has it sealed, and a session token only as its digest.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from msgspec import Struct

from thingmint.core.access_key import AccessKey, AccessKeyOrigin
from thingmint.core.audit_entry import AuditEntry, audit_entry
from thingmint.core.caller import Caller
from thingmint.core.clock import Clock
from thingmint.core.errors import InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import AccountId, Region, Scope, partition_of, user_arn
from thingmint.core.policies.language import parse_new_policy
from thingmint.records import authority_copies as copy_table
from thingmint.records.access import access_keys as access_key_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.mutation import UNHEARD, Change, change_of_callers
from thingmint.registration.kernel.ports import EventSink, SecretSealer, Store

T = TypeVar("T")

ADMINISTRATOR = "administrator"
ADMINISTRATOR_POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'

# The limits of AWS's Security Token Service.
MAX_LIFETIME = timedelta(hours=36)
KEPT_AFTER_EXPIRY = timedelta(days=1)
# The size of a transaction. The next call handles the rest.
_PURGED_TOGETHER = 1000

_PERMANENT_PREFIX, _TEMPORARY_PREFIX = "AKIA", "ASIA"
_ID_BYTES = 10  # 16 characters of base 32 behind the prefix.
_SECRET_BYTES = 30  # 40 characters of base 64, which is AWS's alphabet.
_TOKEN_BYTES = 96
_USER_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")


class AccessKeyRequest(Struct, frozen=True):
    """The properties of a new key. With a lifetime it is temporary and has a session token."""

    user_name: str
    policy_text: str
    lifetime: timedelta | None = None


@dataclass(frozen=True, slots=True)
class NewAccessKey:
    """A stored key and its secrets, which the caller gets only once."""

    access_key: AccessKey
    secret: str = field(repr=False)
    session_token: str | None = field(repr=False)


def sealing_name(access_key_id: str) -> str:
    """Return the name that the sealed secret of this key is bound to."""
    return f"access-key/{access_key_id}"


def session_token_digest(session_token: str) -> str:
    """Return the digest of a session token, which is stored instead of the token."""
    return hashlib.sha256(session_token.encode()).hexdigest()


async def create_access_key(
    store: Store,
    sealer: SecretSealer,
    clock: Clock,
    random_bytes: Callable[[int], bytes],
    caller: Caller,
    request: AccessKeyRequest,
    events: EventSink = UNHEARD,
) -> NewAccessKey:
    """Create an access key in the caller's account and return it with its secrets.

    Raises InvalidRequest for an invalid user name or lifetime, MalformedPolicy for an invalid policy.
    """
    _validate(request)
    now = clock.now()
    made = new_access_key(sealer, now, random_bytes, caller.account, request, AccessKeyOrigin.OPERATOR)
    access_key = made.access_key
    entry = audit_entry(
        caller, now, "CreateAccessKey", user_arn(caller.scope, request.user_name), **key_detail(access_key)
    )

    def program() -> Steps[Change[None]]:
        yield from access_key_table.insert_access_key(access_key)
        return _change(None, [entry])

    await change_of_callers(store, events, program)
    return made


def new_access_key(
    sealer: SecretSealer,
    now: datetime,
    random_bytes: Callable[[int], bytes],
    account: AccountId,
    request: AccessKeyRequest,
    origin: AccessKeyOrigin,
) -> NewAccessKey:
    """Return a new access key of the account. It is not stored yet."""
    temporary = request.lifetime is not None
    access_key_id = _access_key_id(random_bytes, temporary=temporary)
    secret = base64.b64encode(random_bytes(_SECRET_BYTES)).decode()
    session_token = base64.b64encode(random_bytes(_TOKEN_BYTES)).decode() if temporary else None
    access_key = AccessKey(
        access_key_id=access_key_id,
        account=account,
        user_name=request.user_name,
        policy_text=request.policy_text,
        sealed_secret=sealer.seal(secret.encode(), sealing_name(access_key_id)),
        session_token_sha256=None if session_token is None else session_token_digest(session_token),
        created_at=now,
        expires_at=None if request.lifetime is None else now + request.lifetime,
        origin=origin,
    )
    return NewAccessKey(access_key, secret, session_token)


async def list_access_keys(store: Store, account: AccountId | None) -> tuple[AccessKey, ...]:
    """Return the access keys of an account, or of all accounts for None, oldest first, including expired keys."""

    def program() -> Steps[tuple[AccessKey, ...]]:
        return tuple((yield from access_key_table.access_keys(account)))

    return await store.read(program)


async def read_access_key(store: Store, access_key_id: str) -> AccessKey | None:
    """Return the access key with its sealed secret, also if it has expired; None if it is unknown."""

    def program() -> Steps[AccessKey | None]:
        return access_key_table.access_key(access_key_id)

    return await store.read(program)


async def delete_access_key(store: Store, clock: Clock, caller: Caller, access_key_id: str) -> None:
    """Delete the access key, which is invalid at once; raise ResourceNotFound if the account has no such key."""
    now = clock.now()

    def program() -> Steps[Change[None]]:
        access_key = yield from access_key_table.access_key(access_key_id)
        if access_key is None or access_key.account != caller.account:
            raise ResourceNotFound(f"The access key {access_key_id} does not exist.")
        yield from access_key_table.delete_access_key(access_key_id)
        resource = user_arn(caller.scope, access_key.user_name)
        return _change(None, [audit_entry(caller, now, "DeleteAccessKey", resource, **key_detail(access_key))])

    await change_of_callers(store, UNHEARD, program)


async def ensure_administrator(
    store: Store,
    sealer: SecretSealer,
    clock: Clock,
    scope: Scope,
    access_key_id: str,
    secret: str,
    origin: AccessKeyOrigin,
) -> bool:
    """Create the account's administrator's key unless it exists; return whether anything was stored.

    A key of the first start is stored only in a database without any access key, so that a later start does not restore
    a key that an operator deleted. A key from the settings replaces a stored key with the same id and another secret,
    and any earlier key from the settings. Raises ServiceUnavailable if the stored secret was sealed with another key.
    """
    now = clock.now()
    administrator = AccessKey(
        access_key_id=access_key_id,
        account=scope.account,
        user_name=ADMINISTRATOR,
        policy_text=ADMINISTRATOR_POLICY,
        sealed_secret=sealer.seal(secret.encode(), sealing_name(access_key_id)),
        session_token_sha256=None,
        created_at=now,
        expires_at=None,
        origin=origin,
    )

    def program() -> Steps[Change[bool]]:
        # If several nodes start for the first time at once, one stores its key, and the others find it.
        yield from copy_table.lock()
        present = yield from access_key_table.access_keys(None)
        if origin is AccessKeyOrigin.FIRST_START:
            outdated, is_present = [], bool(present)
        else:
            outdated = [key for key in present if _is_replaced(key, administrator, secret, sealer)]
            is_present = any(key.access_key_id == access_key_id for key in present if key not in outdated)
        entries = [_own_entry(scope, now, "DeleteAccessKey", key) for key in outdated]
        for key in outdated:
            yield from access_key_table.delete_access_key(key.access_key_id)
        if not is_present:
            yield from access_key_table.insert_access_key(administrator)
            entries.append(_own_entry(scope, now, "CreateAccessKey", administrator))
        return _change(bool(entries), entries)

    return await change_of_callers(store, UNHEARD, program)


async def purge_expired(store: Store, clock: Clock, region: Region, events: EventSink = UNHEARD) -> int:
    """Delete the temporary credentials that expired some time ago, and return their number.

    They are refused from their expiry on. Until they are deleted, the error can say that they are expired.
    """
    now = clock.now()

    def find() -> Steps[Sequence[AccessKey]]:
        return access_key_table.access_keys(None)

    def is_over(access_key: AccessKey) -> bool:
        return access_key.expires_at is not None and access_key.expires_at + KEPT_AFTER_EXPIRY <= now

    def purge() -> Steps[Change[int]]:
        entries: list[AuditEntry] = []
        for access_key in expired:
            # Another node may have deleted them first.
            if (yield from access_key_table.delete_access_key(access_key.access_key_id)):
                scope = Scope(access_key.account, region)
                entries.append(_own_entry(scope, now, "DeleteAccessKey", access_key))
        return _change(len(entries), entries)

    expired = [access_key for access_key in await store.read(find) if is_over(access_key)][:_PURGED_TOGETHER]
    return await change_of_callers(store, events, purge) if expired else 0


def _change(result: T, entries: Sequence[AuditEntry]) -> Change[T]:
    """Return the change. The changed resources are the users whose keys were created or deleted."""
    return Change(result, tuple(entries), tuple(entry.resource for entry in entries))


def _is_replaced(present: AccessKey, administrator: AccessKey, secret: str, sealer: SecretSealer) -> bool:
    if present.access_key_id != administrator.access_key_id:
        return present.origin is AccessKeyOrigin.PRESET and present.account == administrator.account
    same = (
        present.origin is administrator.origin
        and present.account == administrator.account
        and present.policy_text == administrator.policy_text
    )
    return not same or not hmac.compare_digest(
        sealer.unseal(present.sealed_secret, sealing_name(present.access_key_id)), secret.encode()
    )


def _validate(request: AccessKeyRequest) -> None:
    if not _USER_NAME.fullmatch(request.user_name):
        raise InvalidRequest("A user name has 1 to 64 characters: letters, digits and _+=,.@-")
    if request.lifetime is not None and not timedelta(0) < request.lifetime <= MAX_LIFETIME:
        raise InvalidRequest(f"Temporary credentials last up to {MAX_LIFETIME.total_seconds() / 3600:.0f} hours")
    parse_new_policy(request.policy_text)


def _access_key_id(random_bytes: Callable[[int], bytes], *, temporary: bool) -> str:
    prefix = _TEMPORARY_PREFIX if temporary else _PERMANENT_PREFIX
    return prefix + base64.b32encode(random_bytes(_ID_BYTES)).decode()


def key_detail(access_key: AccessKey) -> dict[str, str]:
    """Return the details of an access key for the audit trail."""
    detail = {"access_key_id": access_key.access_key_id, "origin": str(access_key.origin)}
    if access_key.expires_at is not None:
        detail["expires_at"] = access_key.expires_at.isoformat()
    return detail


def _own_entry(scope: Scope, at: datetime, action: str, access_key: AccessKey) -> AuditEntry:
    # There is no caller: the service does this at its start, by its settings, for the account's owner.
    return AuditEntry(
        at=at,
        scope=scope,
        principal_arn=f"arn:{partition_of(scope.region)}:iam::{scope.account}:root",
        source_address="",
        request_id="",
        action=action,
        resource=user_arn(scope, access_key.user_name),
        detail=key_detail(access_key),
    )
