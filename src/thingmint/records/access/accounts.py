"""Owns the list of accounts in a database, and the deletion of an account's rows in portions of bounded size.

An account has no row. It exists as long as a row of another table names it. Independent of the database engine.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from thingmint.core.identifiers import AccountId, Scope, iot_arn
from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps

# Each has an index that begins with the account. Rows of other tables belong to rows of these tables.
_TABLES_OF_ACCOUNTS: Final = (
    "certificate",
    "ca_certificate",
    "thing",
    "thing_type",
    "thing_group",
    "policy",
    "provisioning_template",
    "registration_task",
    "role_alias",
    "certificate_provider",
    "event_configuration",
    "registration_code",
)

_NEXT_ACCOUNT: Final = " UNION ALL ".join(
    ["SELECT min(account) AS account FROM access_key WHERE account > $1"]
    + [f"SELECT min(account) FROM {table} WHERE account > $1 AND region = $2" for table in _TABLES_OF_ACCOUNTS]  # noqa: S608  constants
)
NEXT_ACCOUNT: Final = f"SELECT min(account) FROM ({_NEXT_ACCOUNT}) AS known"  # noqa: S608  the text above

COUNT_ACCESS_KEYS: Final = "SELECT count(*) FROM access_key WHERE account = $1"

DELETE_ACCESS_KEYS: Final = "DELETE FROM access_key WHERE account = $1 RETURNING user_name"


class AccountTable(Struct, frozen=True):
    """A table with rows of accounts, the columns that identify a row, and the column that a deletion returns."""

    table: str
    key: str
    returned: str = "1"

    @property
    def deletion(self) -> str:
        """The statement that deletes a number of rows of an account and region, and returns their keys."""
        return (
            f"DELETE FROM {self.table} WHERE ({self.key}) IN "  # noqa: S608  constants
            f"(SELECT {self.key} FROM {self.table} WHERE account = $1 AND region = $2 LIMIT $3) "
            f"RETURNING {self.returned}"
        )


# Connections depend on certificates, and those with a claim on its template, so their deletions return these.
CERTIFICATES: Final = AccountTable("certificate", "position", "certificate_id")
CLAIMS: Final = AccountTable("claim_certificate", "certificate_id", "template_name")
# In this order: first the tables that let devices connect or register again, last those that other tables refer to.
CONTENTS: Final = (
    CERTIFICATES,
    CLAIMS,
    AccountTable("certificate_renewal", "position"),
    AccountTable("ca_certificate", "position"),
    AccountTable("ca_subject", "account, region, subject_digest"),
    AccountTable("registration_code", "account, region"),
    AccountTable("certificate_provider", "position"),
    AccountTable("provisioning_template_version", "position"),
    AccountTable("provisioning_template", "position"),
    AccountTable("provisioning_template_count", "account, region"),
    AccountTable("thing_principal", "position"),
    AccountTable("thing_group_member", "position"),
    AccountTable("thing_attribute", "account, region, name, value, position"),
    AccountTable("thing", "position"),
    AccountTable("thing_group", "position"),
    AccountTable("thing_type", "position"),
    AccountTable("billing_group", "position"),
    AccountTable("policy_attachment", "position"),
    AccountTable("policy_version", "account, region, policy_name, version"),
    AccountTable("policy", "position"),
    AccountTable("role_alias", "position"),
    AccountTable("role_alias_count", "account, region"),
    AccountTable("event_configuration", "account, region, event_type"),
    AccountTable("registration_task", "position"),
    AccountTable("client_ending", "account, region, client_id"),
)
KEPT: Final = {
    "access_key": "deleted first, by a statement of its own",
    "audit": "what happened, which is also the account's end",
    "registration_outcome": "deleted with its task, by a statement of its own",
    "revoked_certificate": "until the certificate's end, so that no device comes back with it; the sweep removes it",
    "certificate_ownership": "until the token's end, when the sweep removes it",
    "serial_reservation": "so that no certificate gets the number again",
    "node_connection": "deleted by the node of the connection, which ends with its certificate",
    "node_message": "on its way to other nodes, which delete what they have read",
}
"""Tables that name accounts and that `CONTENTS` leaves alone, each with the reason."""

DELETE_OUTCOMES: Final = (
    "DELETE FROM registration_outcome WHERE (task_id, account, region, line) IN "
    "(SELECT o.task_id, o.account, o.region, o.line FROM registration_task t "
    "JOIN registration_outcome o ON o.task_id = t.task_id AND o.account = t.account AND o.region = t.region "
    "WHERE t.account = $1 AND t.region = $2 LIMIT $3) RETURNING 1"
)

DELETE_TAGS: Final = (
    "DELETE FROM tag WHERE (resource, tag_key) IN "
    "(SELECT resource, tag_key FROM tag WHERE resource >= $1 AND resource < $2 LIMIT $3) RETURNING 1"
)


def accounts_after(scope: Scope, count: int) -> Steps[Sequence[AccountId]]:
    """Return up to ``count`` accounts with numbers after the scope's account, in order."""
    found: list[AccountId] = []
    after = scope.account
    while len(found) < count:
        row = yield from row_of(NEXT_ACCOUNT, after, scope.region)
        if row is None or row[0] is None:
            break
        after = AccountId(row[0])
        found.append(after)
    return found


def is_known(scope: Scope) -> Steps[bool]:
    """Return whether the account has an access key, or anything in this region."""
    # Accounts are twelve-digit numbers, so no account is between the previous number and this one.
    before = AccountId(f"{int(scope.account) - 1:012}" if int(scope.account) else "")
    found = yield from accounts_after(Scope(before, scope.region), 1)
    return list(found) == [scope.account]


def count_access_keys(account: AccountId) -> Steps[int]:
    """Return how many access keys the account has."""
    row = yield from row_of(COUNT_ACCESS_KEYS, account)
    assert row is not None
    return int(row[0])


def delete_access_keys(account: AccountId) -> Steps[Sequence[str]]:
    """Delete all access keys of the account, and return the name of each key's user."""
    deleted = yield from rows_of(DELETE_ACCESS_KEYS, account)
    return [row[0] for row in deleted]


def delete_content(content: AccountTable, scope: Scope, most: int) -> Steps[Sequence[str]]:
    """Delete up to ``most`` rows, and return the table's column ``returned`` of each."""
    deleted = yield from rows_of(content.deletion, scope.account, scope.region, most)
    return [str(row[0]) for row in deleted]


def delete_outcomes(scope: Scope, most: int) -> Steps[int]:
    """Delete up to ``most`` outcomes of the account's bulk registrations and return their number."""
    deleted = yield from rows_of(DELETE_OUTCOMES, scope.account, scope.region, most)
    return len(deleted)


def delete_tags(scope: Scope, most: int) -> Steps[int]:
    """Delete up to ``most`` tags of the account's resources and return their number."""
    # The ARNs of the account are between its prefix with a colon and its prefix with the character after a colon.
    first = iot_arn(scope, "")
    deleted = yield from rows_of(DELETE_TAGS, first, first[:-1] + ";", most)
    return len(deleted)
