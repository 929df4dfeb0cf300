"""Owns the text of every statement, valid on SQLite and PostgreSQL; knows no values.

Parameters first appear in the order of their numbers: SQLite binds them by appearance.
"""

_CERTIFICATE_COLUMNS = (
    "account, region, certificate_id, der, issuer_id, serial_number, status, mode, not_before, not_after, "
    "created_at, modified_at, customer_version, generation_id"
)
_SUMMARY_COLUMNS = "certificate_id, status, mode, created_at, position"
_ACCESS_KEY_COLUMNS = (
    "access_key_id, account, user_name, policy_text, sealed_secret, session_token_sha256, "
    "created_at, expires_at, origin"
)
_AUDIT_COLUMNS = "at, account, region, principal_arn, source_address, request_id, action, resource, detail"


# One certificate is looked for by its id; the expressions keep the planner from any index by account and region. Until
# PostgreSQL has statistics it takes both for equally selective, and may read every certificate of the account.
def _one_certificate(first: int) -> str:
    return f"WHERE certificate_id = ${first} AND account || '' = ${first + 1} AND region || '' = ${first + 2}"


CERTIFICATE = f"SELECT {_CERTIFICATE_COLUMNS} FROM certificate {_one_certificate(1)}"  # noqa: S608  constants above

SUMMARIES_NEWEST_FIRST = (
    f"SELECT {_SUMMARY_COLUMNS} FROM certificate "  # noqa: S608  the columns are the constants above
    "WHERE account = $1 AND region = $2 AND position < $3 ORDER BY position DESC LIMIT $4"
)

SUMMARIES_OLDEST_FIRST = (
    f"SELECT {_SUMMARY_COLUMNS} FROM certificate "  # noqa: S608  the columns are the constants above
    "WHERE account = $1 AND region = $2 AND position > $3 ORDER BY position ASC LIMIT $4"
)

# A conflict yields no row rather than an error: an error would end the whole transaction on PostgreSQL.
INSERT_CERTIFICATE = (
    f"INSERT INTO certificate ({_CERTIFICATE_COLUMNS}) "  # noqa: S608  the columns are the constants above
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING RETURNING position"
)

# The version in WHERE decides races between requests, not what they read before.
UPDATE_CERTIFICATE = (
    "UPDATE certificate SET status = $1, modified_at = $2, customer_version = $3 "  # noqa: S608  constants above
    f"{_one_certificate(4)} AND customer_version = $7 RETURNING position"
)

DELETE_CERTIFICATE = f"DELETE FROM certificate {_one_certificate(1)} AND customer_version = $4 RETURNING position"  # noqa: S608  as above

ACCESS_KEY = (
    f"SELECT {_ACCESS_KEY_COLUMNS} FROM access_key "  # noqa: S608  the columns are the constants above
    "WHERE access_key_id = $1"
)

ACCESS_KEYS_OF_ACCOUNT = (
    f"SELECT {_ACCESS_KEY_COLUMNS} FROM access_key "  # noqa: S608  the columns are the constants above
    "WHERE account = $1 ORDER BY position"
)

ACCESS_KEYS = (
    f"SELECT {_ACCESS_KEY_COLUMNS} FROM access_key "  # noqa: S608  the columns are the constants above
    "ORDER BY position"
)

INSERT_ACCESS_KEY = (
    f"INSERT INTO access_key ({_ACCESS_KEY_COLUMNS}) "  # noqa: S608  the columns are the constants above
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING position"
)

DELETE_ACCESS_KEY = "DELETE FROM access_key WHERE access_key_id = $1 RETURNING position"

APPEND_AUDIT = (
    f"INSERT INTO audit ({_AUDIT_COLUMNS}) "  # noqa: S608  the columns are the constants above
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
)

AUDIT_NEWEST_FIRST = (
    f"SELECT {_AUDIT_COLUMNS} FROM audit "  # noqa: S608  the columns are the constants above
    "WHERE account = $1 AND region = $2 AND position < $3 ORDER BY position DESC LIMIT $4"
)

# The value changes each time, so that the commit has something to make durable.
CHECK_WRITE = (
    "INSERT INTO write_check (id, checks) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET checks = write_check.checks + 1"
)

SCHEMA_VERSION = "SELECT coalesce(max(version), 0) FROM schema_version"

CREATE_SCHEMA_VERSION = "CREATE TABLE schema_version (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL)"

INSERT_SCHEMA_VERSION = "INSERT INTO schema_version (version, name) VALUES ($1, $2)"
