"""Owns the table of policy attachments, and the statement that finds all policies of a device.

Targets are named as `core.policies.target` names them.
"""

from collections.abc import Sequence

from msgspec import Struct

from thingmint.core.errors import LimitExceeded
from thingmint.core.identifiers import (
    PolicyName,
    Scope,
    ThingGroupName,
    ThingName,
    policy_arn,
    thing_arn,
    thing_group_arn,
)
from thingmint.core.paging import PageRequest
from thingmint.core.policies.stored_policy import PolicySummary
from thingmint.records.columns import position_after, time_of_column
from thingmint.records.policies.policies import VersionKey, summary_of_row
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import after, before


class AttachedTarget(Struct, frozen=True):
    """A target that a policy is attached to. ``position`` orders the list and is unique."""

    name: str
    position: int


class EffectivePolicy(Struct, frozen=True):
    """A policy's default version, the targets that put it in force, and its document if it was read.

    ``position`` is that of its first attachment.
    """

    key: VersionKey
    targets: tuple[str, ...]
    position: int
    document: str = ""

    @property
    def version(self) -> int:
        """The number of the version."""
        return self.key.version

    @property
    def name(self) -> PolicyName:
        """The policy's name."""
        return self.key.name

    @property
    def arn(self) -> str:
        """The policy's ARN."""
        return policy_arn(self.key.scope, self.key.name)


class PolicySearchStart(Struct, frozen=True):
    """The start of a search for policies: a principal, a thing, a thing group, or several of them.

    A principal leads to its things, things to their groups, and groups to the groups above them.
    """

    principal: str = ""
    thing_name: ThingName | str = ""
    group_name: ThingGroupName | str = ""


class EffectivePolicies(Struct, frozen=True):
    """The policies in force, and the ARNs of everything that they depend on: policies, principal, things and groups.

    The policies are in the order of their first attachment.
    """

    policies: tuple[EffectivePolicy, ...]
    depends_on: frozenset[str]


MAX_THINGS = 1000
"""The maximum number of a principal's things. More of them are too much work for each of its connections."""
MAX_REACHED = 4096
"""The maximum number of attachments, and of things and groups without any, together."""

ATTACH = (
    "INSERT INTO policy_attachment (account, region, policy_name, target) "
    "VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING position"
)

# A target has at most ten policies and is found by its name alone; see `one_named`.
_OF_ONE_TARGET = "FROM policy_attachment WHERE account || '' = $1 AND region || '' = $2 AND target = $3"

DETACH = f"DELETE {_OF_ONE_TARGET} AND policy_name = $4 RETURNING position"

COUNT_OF_TARGET = f"SELECT count(*) {_OF_ONE_TARGET}"

OF_TARGET_LATEST_FIRST = (
    f"SELECT policy_name, position {_OF_ONE_TARGET} AND position < $4 ORDER BY position DESC LIMIT $5"
)
OF_TARGET_EARLIEST_FIRST = (
    f"SELECT policy_name, position {_OF_ONE_TARGET} AND position > $4 ORDER BY position ASC LIMIT $5"
)

_OF_POLICY = "SELECT target, position FROM policy_attachment WHERE"
_BY_POLICY = ("account", "region", "policy_name", "position")
ANY_TARGET = f"{_OF_POLICY} {after(*_BY_POLICY)} LIMIT 1"
OF_POLICY_LATEST_FIRST = f"{_OF_POLICY} {before(*_BY_POLICY)} LIMIT $5"
OF_POLICY_EARLIEST_FIRST = f"{_OF_POLICY} {after(*_BY_POLICY)} LIMIT $5"

# A LIMIT applies to a whole UNION, so it needs a nested SELECT. One more thing than allowed shows the excess.
_SOME_THINGS = (
    "SELECT thing_name FROM (SELECT thing_name FROM thing_principal "  # noqa: S608  a constant
    f"WHERE account = $1 AND region = $2 AND principal = $3 LIMIT {MAX_THINGS + 1}) AS of_principal"
)

# From a principal ($3), a thing ($4) and a group ($5) to the ARNs of all of them, of the principal's things, of the
# groups of the things, and of every group above. Groups need UNION, which ends also if they form a cycle. Things need
# UNION ALL, because for UNION SQLite would read every principal of the account in the order of their things.
# PostgreSQL cannot estimate how few groups these are and would join by reading whole tables. It looks up a nested
# SELECT row by row.
_REACHED = (
    "(WITH RECURSIVE reached_thing (name) AS ("  # noqa: S608  the constant above
    f"{_SOME_THINGS} "
    "UNION ALL "
    "SELECT name FROM thing WHERE name = $4 AND account || '' = $1 AND region || '' = $2"
    "), reached_group (name) AS ("
    "SELECT name FROM thing_group WHERE name = $5 AND account || '' = $1 AND region || '' = $2 "
    "UNION "
    "SELECT member.group_name FROM reached_thing JOIN thing_group_member AS member "
    "ON member.account || '' = $1 AND member.region || '' = $2 AND member.thing_name = reached_thing.name "
    "UNION "
    "SELECT (SELECT parent_name FROM thing_group WHERE name = reached_group.name "
    "AND account || '' = $1 AND region || '' = $2) FROM reached_group WHERE name IS NOT NULL"
    ") "
    "SELECT CAST($3 AS TEXT) AS arn "
    "UNION ALL SELECT CAST($6 AS TEXT) || name FROM reached_thing "
    "UNION ALL SELECT CAST($7 AS TEXT) || name FROM reached_group WHERE name IS NOT NULL) AS reached"
)
_ATTACHED = (
    "policy_attachment AS attached "
    "ON attached.account || '' = $1 AND attached.region || '' = $2 AND attached.target = arn"
)

_CURRENT = (
    "(SELECT {} FROM policy "
    "WHERE policy.name = attached.policy_name AND policy.account || '' = $1 AND policy.region || '' = $2)"
)

# Both LIMITs are one above the maximum, so the reader of the rows sees that there are too many.
EFFECTIVE = (
    "SELECT arn, attached.policy_name, attached.position, generation_id, version, "  # noqa: S608  the constants above
    "(SELECT created_at FROM policy_version AS stored WHERE stored.account = $1 AND stored.region = $2 "
    "AND stored.policy_name = attached.policy_name AND stored.version = attached.version) "
    f"FROM (SELECT arn, policy_name, attached.position, {_CURRENT.format('default_version')} AS version, "
    f"{_CURRENT.format('generation_id')} AS generation_id "
    f"FROM {_REACHED} LEFT JOIN {_ATTACHED} LIMIT {MAX_REACHED + 1}) AS attached ORDER BY attached.position"
)


def attach_policy(scope: Scope, name: PolicyName, target: str) -> Steps[bool]:
    """Attach the policy; return whether it was not attached before."""
    row = yield from row_of(ATTACH, scope.account, scope.region, name, target)
    return row is not None


def detach_policy(scope: Scope, name: PolicyName, target: str) -> Steps[bool]:
    """Detach the policy; return whether it was attached."""
    row = yield from row_of(DETACH, scope.account, scope.region, target, name)
    return row is not None


def count_policies(scope: Scope, target: str) -> Steps[int]:
    """Return how many policies are attached to the target."""
    ((count,),) = yield from rows_of(COUNT_OF_TARGET, scope.account, scope.region, target)
    return int(count)


def is_policy_attached(scope: Scope, name: PolicyName) -> Steps[bool]:
    """Return whether the policy is attached to anything."""
    row = yield from row_of(ANY_TARGET, scope.account, scope.region, name, 0)
    return row is not None


def attached_policies(scope: Scope, target: str, page: PageRequest) -> Steps[Sequence[PolicySummary]]:
    """Return up to ``page.size`` policies of the target in the order of attachment, latest first unless ascending."""
    sql = OF_TARGET_EARLIEST_FIRST if page.ascending else OF_TARGET_LATEST_FIRST
    position = position_after(page.after, ascending=page.ascending)
    found = yield from rows_of(sql, scope.account, scope.region, target, position, page.size)
    return tuple([summary_of_row(scope, row) for row in found])


def policy_targets(scope: Scope, name: PolicyName, page: PageRequest) -> Steps[Sequence[AttachedTarget]]:
    """Return up to ``page.size`` targets of the policy in the order of attachment, latest first unless ascending."""
    sql = OF_POLICY_EARLIEST_FIRST if page.ascending else OF_POLICY_LATEST_FIRST
    position = position_after(page.after, ascending=page.ascending)
    found = yield from rows_of(sql, scope.account, scope.region, name, position, page.size)
    return tuple([AttachedTarget(target, at) for target, at in found])


def effective_policies(scope: Scope, beginning: PolicySearchStart) -> Steps[EffectivePolicies]:
    """Return the policies in force for the beginning, in the order of their attachment, with one statement.

    Raises LimitExceeded if the principal is attached to more than `MAX_THINGS` things, or if attachments, and things
    and groups without any, are together more than `MAX_REACHED`.
    """
    found = yield from rows_of(EFFECTIVE, *_columns_of_beginning(scope, beginning))
    return _effective(scope, found)


def _columns_of_beginning(scope: Scope, beginning: PolicySearchStart) -> tuple[str, ...]:
    return (
        scope.account,
        scope.region,
        beginning.principal,
        beginning.thing_name,
        beginning.group_name,
        thing_arn(scope, ThingName("")),
        thing_group_arn(scope, ThingGroupName("")),
    )


def _effective(scope: Scope, rows: Sequence[Row]) -> EffectivePolicies:
    arns = {arn for arn, *_ in rows if arn}
    things = thing_arn(scope, ThingName(""))
    if sum(arn.startswith(things) for arn in arns) > MAX_THINGS:
        raise LimitExceeded(f"The principal is attached to more than {MAX_THINGS} things: detach those that are gone")
    if len(rows) > MAX_REACHED:
        raise LimitExceeded(f"More than {MAX_REACHED} attached policies, things and groups are in force together")
    targets: dict[str, list[str]] = {}
    keys: dict[str, VersionKey] = {}
    positions: dict[str, int] = {}
    for arn, name, position, generation_id, version, created_at in rows:
        if name is not None:
            targets.setdefault(name, []).append(arn)
            keys[name] = VersionKey(scope, PolicyName(name), generation_id, version, time_of_column(created_at))
            positions.setdefault(name, position)
    policies = tuple(EffectivePolicy(keys[name], tuple(reached), positions[name]) for name, reached in targets.items())
    return EffectivePolicies(policies, frozenset(arns | {policy_arn(scope, policy.name) for policy in policies}))
