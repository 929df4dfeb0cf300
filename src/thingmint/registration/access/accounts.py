"""Owns the accounts of a service: creation, listing and deletion, which only the service's own account may do.

An account exists from its first access key on. Its deletion removes its access keys first and then its content, with a
bounded number of rows in each transaction. Another call continues an interrupted deletion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from msgspec import Struct

from thingmint.core.access_key import AccessKeyOrigin
from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.clock import Clock
from thingmint.core.errors import InvalidRequest, ResourceExists, ResourceNotFound
from thingmint.core.identifiers import (
    AccountId,
    CertificateId,
    Scope,
    TemplateName,
    account_arn,
    certificate_arn,
    provisioning_template_arn,
    user_arn,
)
from thingmint.records.access import access_keys as access_key_table
from thingmint.records.access import accounts as account_table
from thingmint.records.access.accounts import CERTIFICATES, CLAIMS, CONTENTS, AccountTable
from thingmint.records.steps import Steps
from thingmint.registration.access.access_keys import (
    ADMINISTRATOR,
    ADMINISTRATOR_POLICY,
    AccessKeyRequest,
    NewAccessKey,
    key_detail,
    new_access_key,
)
from thingmint.registration.kernel.mutation import UNHEARD, Change, change_of_callers
from thingmint.registration.kernel.ports import EventSink, SecretSealer, Store

# The size of a transaction. Other writers run between two transactions.
DELETED_TOGETHER: Final = 500
_DIGITS: Final = 12
# Twelve digits of eight random octets are almost uniformly distributed.
_ACCOUNT_OCTETS: Final = 8


class Account(Struct, frozen=True):
    """An account and the number of its access keys."""

    account: AccountId
    access_keys: int


class AccountPage(Struct, frozen=True):
    """Accounts ordered by number. ``following`` is the last one if there are more."""

    accounts: tuple[Account, ...]
    following: AccountId | None


async def create_account(
    store: Store,
    sealer: SecretSealer,
    clock: Clock,
    random_bytes: Callable[[int], bytes],
    caller: Caller,
    account: AccountId | None = None,
    events: EventSink = UNHEARD,
) -> NewAccessKey:
    """Create an account with an administrator's access key, and return the key with its secret.

    Without a number it gets a random one. Raises ResourceExists if the account exists.
    """
    chosen = account or _random_account(random_bytes)
    now = clock.now()
    owner = replace(caller, account=chosen)
    request = AccessKeyRequest(ADMINISTRATOR, ADMINISTRATOR_POLICY)
    made = new_access_key(sealer, now, random_bytes, chosen, request, AccessKeyOrigin.OPERATOR)

    def program() -> Steps[Change[None]]:
        if (yield from account_table.is_known(owner.scope)):
            raise ResourceExists(f"The account {chosen} exists already", resource_id=chosen)
        yield from access_key_table.insert_access_key(made.access_key)
        resource = account_arn(caller.scope, chosen)
        entry = audit_entry(caller, now, "CreateAccount", resource, **key_detail(made.access_key))
        # Nodes forget the messages of a named account, and the new one may have some before they look.
        return Change(None, (entry,))

    await change_of_callers(store, events, program)
    return made


async def list_accounts(store: Store, scope: Scope, after: AccountId | None, count: int) -> AccountPage:
    """Return up to ``count`` accounts above ``after`` that have an access key or anything in the region."""

    def program() -> Steps[AccountPage]:
        begin = Scope(AccountId(after or ""), scope.region)
        found = yield from account_table.accounts_after(begin, count + 1)
        shown: list[Account] = []
        for account in found[:count]:
            keys = yield from account_table.count_access_keys(account)
            shown.append(Account(account, keys))
        return AccountPage(tuple(shown), shown[-1].account if len(found) > count else None)

    return await store.read(program)


async def has_access_key(store: Store, account: AccountId) -> bool:
    """Return whether the account has an access key."""
    return await store.read(lambda: account_table.count_access_keys(account)) > 0


async def is_known(store: Store, scope: Scope) -> bool:
    """Return whether the account has an access key, or anything in the region."""
    return await store.read(lambda: account_table.is_known(scope))


async def delete_account(
    store: Store, clock: Clock, caller: Caller, account: AccountId, events: EventSink = UNHEARD
) -> int:
    """Delete an account with its content in the caller's region, and return the number of deleted rows.

    Its access keys are deleted first, in one transaction with the audit entry. Its devices are disconnected. Reports
    and the audit trail stay. Raises InvalidRequest for the caller's own account, ResourceNotFound for an unknown
    account.
    """
    if account == caller.account:
        raise InvalidRequest("An account cannot delete itself: the service needs one that may administer it")
    now, scope = clock.now(), Scope(account, caller.region)
    resource = account_arn(caller.scope, account)

    def close() -> Steps[Change[int]]:
        if not (yield from account_table.is_known(scope)):
            raise ResourceNotFound(f"The account {account} does not exist")
        users = yield from account_table.delete_access_keys(account)
        entry = audit_entry(caller, now, "DeleteAccount", resource, access_keys=str(len(users)))
        # Connections of access keys depend on the users' ARNs.
        return Change(len(users), (entry,), (resource, *(user_arn(scope, each) for each in users)))

    closed = await change_of_callers(store, events, close)
    return closed + await remove_contents(store, scope, events, resource)


async def remove_contents(store: Store, scope: Scope, events: EventSink = UNHEARD, resource: str | None = None) -> int:
    """Delete everything of an account except its access keys; return the number of rows.

    A device can add rows until it is disconnected, so this repeats until all tables are empty. Each change names the
    ``resource``, so that nodes forget the account's messages until the last row is gone.
    """
    removed = 0
    while found := await _remove_once(store, scope, events, () if resource is None else (resource,)):
        removed += found
    return removed


async def _remove_once(store: Store, scope: Scope, events: EventSink, named: tuple[str, ...]) -> int:
    programs: list[Callable[[], Steps[Change[int]]]] = [partial(_tags, scope), partial(_outcomes, scope)]
    programs += [partial(_content, scope, content, named) for content in CONTENTS]
    removed = 0
    for program in programs:
        while found := await change_of_callers(store, events, program):
            removed += found
    return removed


def _content(scope: Scope, content: AccountTable, named: tuple[str, ...]) -> Steps[Change[int]]:
    deleted = yield from account_table.delete_content(content, scope, DELETED_TOGETHER)
    if content == CERTIFICATES:
        touched = [certificate_arn(scope, CertificateId(each)) for each in deleted]
    elif content == CLAIMS:
        touched = [provisioning_template_arn(scope, TemplateName(each)) for each in deleted]
    else:
        touched = []
    return Change(len(deleted), (), (*named, *touched) if deleted else ())


def _outcomes(scope: Scope) -> Steps[Change[int]]:
    return Change((yield from account_table.delete_outcomes(scope, DELETED_TOGETHER)), ())


def _tags(scope: Scope) -> Steps[Change[int]]:
    return Change((yield from account_table.delete_tags(scope, DELETED_TOGETHER)), ())


def _random_account(random_bytes: Callable[[int], bytes]) -> AccountId:
    return AccountId(f"{int.from_bytes(random_bytes(_ACCOUNT_OCTETS)) % 10**_DIGITS:0{_DIGITS}}")
