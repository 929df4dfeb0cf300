"""Owns the tables of policies and their versions. Independent of the database engine."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from thingmint.core.identifiers import AccountId, PolicyName, Region, Scope
from thingmint.core.paging import PageRequest
from thingmint.core.policies.stored_policy import DevicePolicy, PolicySummary, PolicyVersion, PolicyVersionSummary
from thingmint.records.columns import column_of_time, one_named, position_after, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_KEY_SHARE, FOR_UPDATE, after, before


class VersionKey(Struct, frozen=True):
    """The identity of a version. Policies with the same name that are created or restored later have other keys."""

    scope: Scope
    name: PolicyName
    generation_id: str
    version: int
    created_at: datetime


COLUMNS = "account, region, name, default_version, last_version, generation_id, created_at, modified_at"

_POLICY_COLUMNS = ", ".join(f"policy.{column}" for column in COLUMNS.split(", "))
_VERSION_COLUMNS = "version.version, version.document, version.created_at, version.modified_at"
_JOINED = (
    f"SELECT {_POLICY_COLUMNS}, {_VERSION_COLUMNS} FROM policy "  # noqa: S608  the columns are the constants above
    "LEFT JOIN policy_version AS version ON version.account = policy.account AND version.region = policy.region "
    "AND version.policy_name = policy.name"
)

WITH_DEFAULT_VERSION = (
    f"{_JOINED} AND version.version = policy.default_version "
    "WHERE policy.name = $1 AND policy.account || '' = $2 AND policy.region || '' = $3"
)

WITH_VERSION = (
    f"{_JOINED} AND version.version = $1 "
    "WHERE policy.name = $2 AND policy.account || '' = $3 AND policy.region || '' = $4"
)

POLICY = f"SELECT {COLUMNS} FROM policy {one_named(1)}"  # noqa: S608  constants

SUMMARIES_NEWEST_FIRST = f"SELECT name, position FROM policy WHERE {before('account', 'region', 'position')} LIMIT $4"  # noqa: S608  constants

SUMMARIES_OLDEST_FIRST = f"SELECT name, position FROM policy WHERE {after('account', 'region', 'position')} LIMIT $4"  # noqa: S608  constants

VERSIONS = (
    "SELECT version.version, version.created_at, policy.default_version FROM policy "
    "JOIN policy_version AS version ON version.account = policy.account AND version.region = policy.region "
    "AND version.policy_name = policy.name "
    "WHERE policy.name = $1 AND policy.account || '' = $2 AND policy.region || '' = $3 ORDER BY version.version DESC"
)

INSERT_POLICY = (
    f"INSERT INTO policy ({COLUMNS}) "  # noqa: S608  the columns are the constants above
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING position"
)

UPDATE_POLICY = f"UPDATE policy SET default_version = $1, last_version = $2, modified_at = $3 {one_named(4)}"  # noqa: S608  as above

DELETE_POLICY = f"DELETE FROM policy {one_named(1)}"  # noqa: S608  as above

INSERT_VERSION = (
    "INSERT INTO policy_version (account, region, policy_name, version, document, created_at, modified_at) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7)"
)

TOUCH_VERSION = (
    "UPDATE policy_version SET modified_at = $1 "
    "WHERE account = $2 AND region = $3 AND policy_name = $4 AND version = $5"
)

DELETE_VERSION = (
    "DELETE FROM policy_version "
    "WHERE account = $1 AND region = $2 AND policy_name = $3 AND version = $4 RETURNING version"
)

DOCUMENT = (
    "SELECT document FROM policy_version AS stored WHERE account = $1 AND region = $2 AND policy_name = $3 "
    "AND version = $4 AND created_at = $5 AND (SELECT generation_id FROM policy WHERE policy.name = $3 "
    "AND policy.account || '' = $1 AND policy.region || '' = $2) = $6"
)

MOST_DOCUMENTS = 16
"""The maximum number of documents of one statement. A document can have about 400,000 characters."""

_ONE_VERSION = "(account = $1 AND region = $2 AND policy_name = ${name} AND version = ${version})"

DOCUMENTS = (
    "SELECT policy_name, (SELECT generation_id FROM policy WHERE policy.name = stored.policy_name "  # noqa: S608  constants
    "AND policy.account || '' = $1 AND policy.region || '' = $2), version, created_at, document "
    "FROM policy_version AS stored WHERE "
    + " OR ".join([_ONE_VERSION.format(name=3 + 2 * place, version=4 + 2 * place) for place in range(MOST_DOCUMENTS)])
)

DELETE_VERSIONS = "DELETE FROM policy_version WHERE account = $1 AND region = $2 AND policy_name = $3"


def policy_with_version(
    scope: Scope, name: PolicyName, version: int | None
) -> Steps[tuple[DevicePolicy, PolicyVersion | None] | None]:
    """Return the policy and this version of it, or its default version; None if there is none."""
    one = (name, scope.account, scope.region)
    if version is None:
        row = yield from row_of(WITH_DEFAULT_VERSION, *one)
    else:
        row = yield from row_of(WITH_VERSION, version, *one)
    return None if row is None else (policy_of_row(row[:8]), _version_of_row(row[8:]))


def policy_document(key: VersionKey) -> Steps[str | None]:
    """Return the document of the version, None if it no longer exists."""
    one = (key.scope.account, key.scope.region, key.name, key.version)
    row = yield from row_of(DOCUMENT, *one, column_of_time(key.created_at), key.generation_id)
    return None if row is None else str(row[0])


def policy_documents(scope: Scope, keys: Sequence[VersionKey]) -> Steps[Mapping[VersionKey, str]]:
    """Return the documents of up to MOST_DOCUMENTS versions, without those that no longer exist."""
    # Repeats the last one to fill the remaining parameters.
    asked = [*keys, *[keys[-1]] * (MOST_DOCUMENTS - len(keys))]
    places = [part for key in asked for part in (key.name, key.version)]
    found = yield from rows_of(DOCUMENTS, scope.account, scope.region, *places)
    read = {
        VersionKey(scope, PolicyName(name), generation_id, version, time_of_column(created_at)): str(document)
        for name, generation_id, version, created_at, document in found
    }
    return {key: read[key] for key in keys if key in read}


def policy_for_update(scope: Scope, name: PolicyName) -> Steps[DevicePolicy | None]:
    """Return the policy and lock it against changes until this transaction ends."""
    row = yield from row_of(POLICY + FOR_UPDATE, name, scope.account, scope.region)
    return None if row is None else policy_of_row(row)


def policy_kept(scope: Scope, name: PolicyName) -> Steps[bool]:
    """Return whether the policy exists, and lock it against deletion until this transaction ends."""
    row = yield from row_of(POLICY + FOR_KEY_SHARE, name, scope.account, scope.region)
    return row is not None


def policy_summaries(scope: Scope, page: PageRequest) -> Steps[Sequence[PolicySummary]]:
    """Return up to ``page.size`` policies in the order of their creation, newest first unless ascending."""
    sql = SUMMARIES_OLDEST_FIRST if page.ascending else SUMMARIES_NEWEST_FIRST
    position = position_after(page.after, ascending=page.ascending)
    found = yield from rows_of(sql, scope.account, scope.region, position, page.size)
    return tuple([summary_of_row(scope, row) for row in found])


def policy_versions(scope: Scope, name: PolicyName) -> Steps[Sequence[PolicyVersionSummary]]:
    """Return the policy's versions, newest first; none if there is no such policy."""
    found = yield from rows_of(VERSIONS, name, scope.account, scope.region)
    return tuple(
        [
            PolicyVersionSummary(version, time_of_column(created_at), version == default)
            for version, created_at, default in found
        ]
    )


def insert_policy(policy: DevicePolicy) -> Steps[bool]:
    """Store a new policy without its version; return False if the name exists."""
    inserted = yield from row_of(
        INSERT_POLICY,
        policy.scope.account,
        policy.scope.region,
        policy.name,
        policy.default_version,
        policy.last_version,
        policy.generation_id,
        column_of_time(policy.created_at),
        column_of_time(policy.modified_at),
    )
    return inserted is not None


def update_policy(policy: DevicePolicy) -> Steps[None]:
    """Store the policy's default version, last version and time of change."""
    changed = (policy.default_version, policy.last_version, column_of_time(policy.modified_at))
    yield from rows_of(UPDATE_POLICY, *changed, policy.name, policy.scope.account, policy.scope.region)


def delete_policy(policy: DevicePolicy) -> Steps[None]:
    """Delete the policy and all of its versions."""
    scope = policy.scope
    yield from rows_of(DELETE_VERSIONS, scope.account, scope.region, policy.name)
    yield from rows_of(DELETE_POLICY, policy.name, scope.account, scope.region)


def insert_policy_version(policy: DevicePolicy, version: PolicyVersion) -> Steps[None]:
    """Store a new version of the policy."""
    yield from rows_of(
        INSERT_VERSION,
        policy.scope.account,
        policy.scope.region,
        policy.name,
        version.version,
        version.document,
        column_of_time(version.created_at),
        column_of_time(version.modified_at),
    )


def touch_policy_version(policy: DevicePolicy, version: int, at: datetime) -> Steps[None]:
    """Store the time at which the version became or stopped being the default."""
    scope = policy.scope
    yield from rows_of(TOUCH_VERSION, column_of_time(at), scope.account, scope.region, policy.name, version)


def delete_policy_version(policy: DevicePolicy, version: int) -> Steps[bool]:
    """Delete the version; return whether it existed."""
    scope = policy.scope
    deleted = yield from row_of(DELETE_VERSION, scope.account, scope.region, policy.name, version)
    return deleted is not None


def policy_of_row(row: Row) -> DevicePolicy:
    """Return the policy of a row."""
    account, region, name, default_version, last_version, generation_id, created_at, modified_at = row
    return DevicePolicy(
        scope=Scope(AccountId(account), Region(region)),
        name=PolicyName(name),
        default_version=default_version,
        last_version=last_version,
        generation_id=generation_id,
        created_at=time_of_column(created_at),
        modified_at=time_of_column(modified_at),
    )


def summary_of_row(scope: Scope, row: Row) -> PolicySummary:
    """Return a policy of a list."""
    name, position = row
    return PolicySummary(scope, PolicyName(name), position)


def _version_of_row(row: Row) -> PolicyVersion | None:
    version, document, created_at, modified_at = row
    if version is None:
        return None
    return PolicyVersion(version, document, time_of_column(created_at), time_of_column(modified_at))
