"""Owns the access keys of callers: making, listing and deleting them, and the administrator's key of the first start.

A secret leaves with the returned value and is stored sealed; a session token is stored as its digest only.
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

from thingmint.core.access_key import AccessKey, AccessKeyOrigin
from thingmint.core.audit_entry import AuditEntry, audit_entry
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import AccountId, Region, Scope, partition_of, user_arn
from thingmint.core.policies.language import parse_new_policy
from thingmint.records import authority_copies as copy_table
from thingmint.records.access import access_keys as access_key_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.mutation import UNHEARD, Change, change_of_callers
from thingmint.registration.kernel.ports import Clock, EventSink, SecretSealer, Store

T = TypeVar("T")

ADMINISTRATOR = "administrator"
ADMINISTRATOR_POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'

# As AWS's security token service bounds its session tokens.
MAX_LIFETIME = timedelta(hours=36)
KEPT_AFTER_EXPIRY = timedelta(days=1)
# A transaction of bounded size; the rest is there the next time.
_PURGED_TOGETHER = 1000

_PERMANENT_PREFIX, _TEMPORARY_PREFIX = "AKIA", "ASIA"
_ID_BYTES = 10  # 16 characters of base 32 behind the prefix.
_SECRET_BYTES = 30  # 40 characters of base 64, which is AWS's alphabet.
_TOKEN_BYTES = 96
_USER_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")


@dataclass(frozen=True, slots=True)
class AccessKeyRequest:
    """What a new key is for; with a lifetime it is temporary and comes with a session token."""

    user_name: str
    policy_text: str
    lifetime: timedelta | None = None


@dataclass(frozen=True, slots=True)
class NewAccessKey:
    """A stored key and its secrets, which are given this one time."""

    access_key: AccessKey
    secret: str = field(repr=False)
    session_token: str | None = field(repr=False)


def sealing_name(access_key_id: str) -> str:
    """Return the name that the secret of this key is bound to."""
    return f"access-key/{access_key_id}"


def session_token_digest(session_token: str) -> str:
    """Return what is stored of a session token."""
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
    """Make and store an access key in the caller's account, and return it with its secrets.

    Raises InvalidRequest for a user name or lifetime out of bounds, MalformedPolicy for a policy that is none.
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
    """Return a new access key of the account, which is not stored yet."""
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
    """Return the access keys of an account, or of all accounts for None, oldest first, expired ones included."""

    def program() -> Steps[tuple[AccessKey, ...]]:
        return tuple((yield from access_key_table.access_keys(account)))

    return await store.read(program)


async def delete_access_key(
    store: Store, clock: Clock, caller: Caller, access_key_id: str, events: EventSink = UNHEARD
) -> None:
    """Delete the access key, which ends its use at once; raise ResourceNotFound if the account has none such."""
    now = clock.now()

    def program() -> Steps[Change[None]]:
        access_key = yield from access_key_table.access_key(access_key_id)
        if access_key is None or access_key.account != caller.account:
            raise ResourceNotFound(f"The access key {access_key_id} does not exist.")
        yield from access_key_table.delete_access_key(access_key_id)
        resource = user_arn(caller.scope, access_key.user_name)
        return _change(None, [audit_entry(caller, now, "DeleteAccessKey", resource, **key_detail(access_key))])

    await change_of_callers(store, events, program)


async def ensure_administrator(
    store: Store,
    sealer: SecretSealer,
    clock: Clock,
    scope: Scope,
    access_key_id: str,
    secret: str,
    origin: AccessKeyOrigin,
    events: EventSink = UNHEARD,
) -> bool:
    """Give the account its administrator's key unless it has it; return whether anything was stored.

    A key of the first start is stored only in a database without any access key: an operator who deletes it means it.
    A key from the settings replaces a stored key that has its id and another secret, and any earlier key from the
    settings. Raises ServiceUnavailable if the stored secret was sealed with another key.
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
        # Of several nodes that start for the first time, one stores its key, and the others find it.
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

    return await change_of_callers(store, events, program)


async def purge_expired(store: Store, clock: Clock, region: Region, events: EventSink = UNHEARD) -> int:
    """Delete the temporary credentials that expired a while ago, and return how many there were.

    They are refused from their expiry on; for a while longer the refusal can still say that they are expired.
    """
    now = clock.now()

    def find() -> Steps[Sequence[AccessKey]]:
        return access_key_table.access_keys(None)

    def is_over(access_key: AccessKey) -> bool:
        return access_key.expires_at is not None and access_key.expires_at + KEPT_AFTER_EXPIRY <= now

    def purge() -> Steps[Change[int]]:
        entries: list[AuditEntry] = []
        for access_key in expired:
            # Another service on the same database may have been faster.
            if (yield from access_key_table.delete_access_key(access_key.access_key_id)):
                scope = Scope(access_key.account, region)
                entries.append(_own_entry(scope, now, "DeleteAccessKey", access_key))
        return _change(len(entries), entries)

    expired = [access_key for access_key in await store.read(find) if is_over(access_key)][:_PURGED_TOGETHER]
    return await change_of_callers(store, events, purge) if expired else 0


def _change(result: T, entries: Sequence[AuditEntry]) -> Change[T]:
    """Return what changed: the users whose keys were made or deleted are the resources that followers hear of."""
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
    """Return what the audit trail tells of an access key."""
    detail = {"access_key_id": access_key.access_key_id, "origin": str(access_key.origin)}
    if access_key.expires_at is not None:
        detail["expires_at"] = access_key.expires_at.isoformat()
    return detail


def _own_entry(scope: Scope, at: datetime, action: str, access_key: AccessKey) -> AuditEntry:
    # Nobody called: the service does this by its settings when it starts, on behalf of the account's owner.
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
