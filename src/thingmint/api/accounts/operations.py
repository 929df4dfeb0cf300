"""Owns the table of operations on accounts, with the permissions that each one needs."""

from thingmint.api.accounts import accounts
from thingmint.api.accounts.accounts import Administration, named_account
from thingmint.api.wire.operation import Implemented, operation

OPERATIONS: tuple[Implemented[Administration], ...] = (
    operation(accounts.create_account),
    operation(accounts.create_account_access_key, named_account),
    operation(accounts.delete_account, named_account),
    operation(accounts.list_accounts),
)
