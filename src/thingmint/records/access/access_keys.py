"""Owns the table of access keys. Independent of the database engine."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from thingmint.core.access_key import AccessKey, AccessKeyOrigin
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import AccountId
from thingmint.records.columns import column_of_time, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps

COLUMNS = (
    "access_key_id, account, user_name, policy_text, sealed_secret, session_token_sha256, "
    "created_at, expires_at, origin"
)

ACCESS_KEY = (
    f"SELECT {COLUMNS} FROM access_key "  # noqa: S608  the columns are the constants above
    "WHERE access_key_id = $1"
)

ACCESS_KEYS_OF_ACCOUNT = (
    f"SELECT {COLUMNS} FROM access_key "  # noqa: S608  the columns are the constants above
    "WHERE account >= $1 AND account <= $1 ORDER BY account, position"
)

ACCESS_KEYS = (
    f"SELECT {COLUMNS} FROM access_key "  # noqa: S608  the columns are the constants above
    "ORDER BY position"
)

INSERT_ACCESS_KEY = (
    f"INSERT INTO access_key ({COLUMNS}) "  # noqa: S608  the columns are the constants above
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING position"
)

# Every request reads the row of its access key. The conversion of a row that was read before takes longer than the row.
_REMEMBERED_ROWS = 1024
_ORIGINS = {origin.value: origin for origin in AccessKeyOrigin}

DELETE_ACCESS_KEY = "DELETE FROM access_key WHERE access_key_id = $1 RETURNING position"


def access_key(access_key_id: str) -> Steps[AccessKey | None]:
    """Return the access key, or None."""
    row = yield from row_of(ACCESS_KEY, access_key_id)
    return None if row is None else access_key_of_row(row)


def access_keys(account: AccountId | None) -> Steps[Sequence[AccessKey]]:
    """Return the access keys of an account, or of all, oldest first."""
    if account is None:
        found = yield from rows_of(ACCESS_KEYS)
    else:
        found = yield from rows_of(ACCESS_KEYS_OF_ACCOUNT, account)
    return tuple(map(access_key_of_row, found))


def insert_access_key(access_key: AccessKey) -> Steps[None]:
    """Store a new access key; raise InvalidRequest if its identifier exists."""
    inserted = yield from row_of(INSERT_ACCESS_KEY, *_columns_of_access_key(access_key))
    if inserted is None:
        raise InvalidRequest(f"The access key {access_key.access_key_id} exists already")


def delete_access_key(access_key_id: str) -> Steps[bool]:
    """Delete the access key; return whether it existed."""
    deleted = yield from row_of(DELETE_ACCESS_KEY, access_key_id)
    return deleted is not None


def _columns_of_access_key(access_key: AccessKey) -> tuple[object, ...]:
    """Return the access key's columns in the order of the insertion."""
    return (
        access_key.access_key_id,
        access_key.account,
        access_key.user_name,
        access_key.policy_text,
        access_key.sealed_secret,
        access_key.session_token_sha256,
        column_of_time(access_key.created_at),
        None if access_key.expires_at is None else column_of_time(access_key.expires_at),
        access_key.origin.value,
    )


def access_key_of_row(row: Row) -> AccessKey:
    """Return the access key of a row; equal rows have the same object."""
    return _access_key_of_columns(tuple(row))


@lru_cache(_REMEMBERED_ROWS)
def _access_key_of_columns(columns: tuple[Any, ...]) -> AccessKey:
    access_key_id, account, user_name, policy_text, sealed_secret, token_sha256, created_at, expires_at, origin = (
        columns
    )
    return AccessKey(
        access_key_id=access_key_id,
        account=AccountId(account),
        user_name=user_name,
        policy_text=policy_text,
        sealed_secret=sealed_secret,
        session_token_sha256=token_sha256,
        created_at=time_of_column(created_at),
        expires_at=None if expires_at is None else time_of_column(expires_at),
        origin=_ORIGINS[origin],
    )
