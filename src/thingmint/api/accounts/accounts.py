"""Owns the messages and operations of accounts. Their rules are in `registration.access.accounts`.

AWS IoT has no such operations. Callers of the service's own account may use them if their policies allow it.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, TypeAlias

from msgspec import Struct

from thingmint.api.devices.data_plane import OperatorDataPlane
from thingmint.api.wire.messages import Message
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY, RawRequest
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.errors import AccessDenied, InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import AccountId, Scope, account_arn
from thingmint.registration.access import accounts
from thingmint.registration.access.access_keys import AccessKeyRequest, NewAccessKey, create_access_key
from thingmint.registration.kernel.authority import RegistrationAuthority

AccountText: TypeAlias = Annotated[str, Constraint(pattern="[0-9]{12}")]
PolicyText: TypeAlias = Annotated[str, Constraint(min_length=1, max_length=131_072)]
UserName: TypeAlias = Annotated[str, Constraint(min_length=1, max_length=64)]
PageSize: TypeAlias = Annotated[int, Constraint(ge=1, le=100)]
_PAGE = 50


class Administration(Struct, frozen=True):
    """The registry of all accounts and their devices, and the account that administers them."""

    authority: RegistrationAuthority
    data_plane: OperatorDataPlane
    own_account: AccountId
    random_bytes: Callable[[int], bytes] = os.urandom

    def require_own(self, caller: Caller) -> None:
        """Return if the caller belongs to the service's own account; raise AccessDenied otherwise."""
        if caller.account != self.own_account:
            raise AccessDenied("Accounts are administered by the service's own account")


def named_account(scope: Scope, request: RawRequest) -> str:
    """Return the account in the path as a resource of the service's own account."""
    return account_arn(scope, AccountId(request.labels["account"]))


class NewKey(Message, frozen=True, kw_only=True):
    account: str
    user_name: str
    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    expiration: str | None = None


class CreateAccountRequest(Message, frozen=True, kw_only=True):
    account: Annotated[AccountText | None, BODY] = None


async def create_account(administration: Administration, caller: Caller, request: CreateAccountRequest) -> NewKey:
    """Answer with the administrator's access key of a new account; without a number it gets a random one."""
    administration.require_own(caller)
    authority, account = administration.authority, request.account
    made = await accounts.create_account(
        authority.store,
        authority.sealer,
        authority.clock,
        administration.random_bytes,
        caller,
        None if account is None else AccountId(account),
        authority.events,
    )
    return _new_key(made)


class ListAccountsRequest(Message, frozen=True, kw_only=True):
    after: Annotated[AccountText | None, QUERY] = None
    max_results: Annotated[PageSize | None, QUERY] = None


class AccountSummary(Message, frozen=True, kw_only=True, omit_defaults=False):
    account: str
    access_keys: int


class ListAccountsResponse(Message, frozen=True, kw_only=True):
    accounts: list[AccountSummary]
    after: str | None = None


async def list_accounts(
    administration: Administration, caller: Caller, request: ListAccountsRequest
) -> ListAccountsResponse:
    """Answer with a page of accounts by number; ``after`` in the answer asks for the next one."""
    administration.require_own(caller)
    after = None if request.after is None else AccountId(request.after)
    store = administration.authority.store
    page = await accounts.list_accounts(store, caller.scope, after, request.max_results or _PAGE)
    return ListAccountsResponse(
        accounts=[AccountSummary(account=each.account, access_keys=each.access_keys) for each in page.accounts],
        after=page.following,
    )


class DeleteAccountRequest(Message, frozen=True, kw_only=True):
    account: Annotated[AccountText, PATH]


class DeleteAccountResponse(Message, frozen=True, kw_only=True):
    removed_rows: int


async def delete_account(
    administration: Administration, caller: Caller, request: DeleteAccountRequest
) -> DeleteAccountResponse:
    """Delete an account with all its resources; its access keys end at once, and its devices are disconnected.

    Call it again if the answer was lost: it removes the rest.
    """
    administration.require_own(caller)
    authority, account = administration.authority, AccountId(request.account)
    removed = await accounts.delete_account(authority.store, authority.clock, caller, account, authority.events)
    await forget_messages(administration.data_plane, Scope(account, caller.region))
    return DeleteAccountResponse(removed_rows=removed)


class CreateAccountAccessKeyRequest(Message, frozen=True, kw_only=True):
    account: Annotated[AccountText, PATH]
    policy: Annotated[PolicyText, BODY]
    user_name: Annotated[UserName, BODY] = "operator-made"
    expires_in_seconds: Annotated[int | None, BODY, Constraint(ge=60, le=129_600)] = None


async def create_account_access_key(
    administration: Administration, caller: Caller, request: CreateAccountAccessKeyRequest
) -> NewKey:
    """Answer with a new access key, restricted by a policy, in an account that has one already."""
    administration.require_own(caller)
    authority, seconds = administration.authority, request.expires_in_seconds
    owner = replace(caller, account=AccountId(request.account))
    if not await accounts.has_access_key(authority.store, owner.account):
        raise ResourceNotFound(f"The account {owner.account} has no access key: create the account first")
    lifetime = None if seconds is None else timedelta(seconds=seconds)
    made = await create_access_key(
        authority.store,
        authority.sealer,
        authority.clock,
        administration.random_bytes,
        owner,
        AccessKeyRequest(request.user_name, request.policy, lifetime),
        authority.events,
    )
    return _new_key(made)


async def forget_messages(data_plane: OperatorDataPlane, scope: Scope) -> None:
    """Remove the account's retained messages and sessions from this node, if its broker serves the account."""
    try:
        edge = data_plane.edge_of(scope)
    except InvalidRequest:
        # An external broker serves another account.
        return
    await edge.forget()


def _new_key(made: NewAccessKey) -> NewKey:
    key = made.access_key
    return NewKey(
        account=key.account,
        user_name=key.user_name,
        access_key_id=key.access_key_id,
        secret_access_key=made.secret,
        session_token=made.session_token,
        expiration=None if key.expires_at is None else key.expires_at.isoformat(),
    )
