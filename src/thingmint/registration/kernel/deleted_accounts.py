"""Owns the check that an account was not deleted while a request waited, for instance for a key pair."""

from typing import Final

from thingmint.core.errors import AccessDenied
from thingmint.core.identifiers import Scope, account_arn
from thingmint.core.paging import PageRequest
from thingmint.records import audit as audit_table
from thingmint.records.access import accounts as account_table
from thingmint.records.steps import Steps

DELETE_ACCOUNT: Final = "DeleteAccount"
"""The action of the audit entry that is written with the deletion of an account's access keys."""
_NEWEST: Final = PageRequest(1, None, ascending=False)


def ensure_not_deleted(administrator: Scope | None, scope: Scope) -> Steps[None]:
    """Raise AccessDenied if the account was deleted and has no access key since.

    Call it in the transaction that adds something to the account: the deletion has maybe looked for it already.
    """
    if administrator is None or administrator.account == scope.account:
        return
    resource = account_arn(administrator, scope.account)
    newest = yield from audit_table.audit_of_resource(administrator, resource, _NEWEST)
    is_deleted = bool(newest) and newest[0].item.action == DELETE_ACCOUNT
    if is_deleted and not (yield from account_table.count_access_keys(scope.account)):
        raise AccessDenied(f"The account {scope.account} was deleted")
