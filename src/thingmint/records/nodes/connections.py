"""Owns the tables of clients' connections to nodes and of their ends. PostgreSQL only.

A client has at most one current connection. Rows of earlier connections stay until their node has closed them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from thingmint.core.identifiers import AccountId, PrincipalId, Region, Scope
from thingmint.core.principals import parse_principal_id
from thingmint.records.access.accounts import is_known
from thingmint.records.changes import MOST_AT_ONCE
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps

_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"
_COLUMNS = (
    "session_id, node_id, account, region, client_id, certificate_id, opened_at, is_current, facts, will, will_delay,"
    " will_due_at"
)

# A clock that was set back since has written a time in the future. In this case the new connection wins.
DISPLACE = (
    "UPDATE node_connection AS earlier SET is_current = 0,"  # noqa: S608  a constant
    " will = CASE WHEN earlier.will_due_at IS NULL THEN earlier.will END "
    "FROM (SELECT known.session_id FROM node_connection AS known"
    " JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])"
    " AS opened (session_id, account, region, client_id, opened_at)"
    " ON known.account = opened.account AND known.region = opened.region AND known.client_id = opened.client_id"
    " WHERE known.is_current = 1 AND known.session_id <> opened.session_id"
    f" AND (known.opened_at <= opened.opened_at OR known.opened_at > {_NOW} + 1000000)"
    " ORDER BY known.account, known.region, known.client_id FOR UPDATE OF known) AS displaced "
    "WHERE earlier.session_id = displaced.session_id AND earlier.is_current = 1 "
    "RETURNING earlier.node_id, earlier.session_id, earlier.account, earlier.region, earlier.client_id"
)
OPEN = (
    "INSERT INTO node_connection (session_id, account, region, client_id, opened_at, node_id, certificate_id, facts,"
    " will, will_delay, is_current) "
    "SELECT opened.*, CASE WHEN EXISTS (SELECT 1 FROM node_connection AS known WHERE known.account = opened.account"
    " AND known.region = opened.region AND known.client_id = opened.client_id AND known.is_current = 1)"
    " THEN 0 ELSE 1 END "
    "FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::bytea[],"
    " $9::bytea[], $10::bigint[]) AS opened (session_id, account, region, client_id, opened_at, node_id,"
    " certificate_id, facts, will, will_delay) "
    "ORDER BY opened.account, opened.region, opened.client_id, opened.opened_at DESC ON CONFLICT DO NOTHING"
)
WRITTEN = "SELECT session_id, is_current FROM node_connection WHERE session_id = ANY($1::text[])"
END = "DELETE FROM node_connection WHERE session_id = ANY($1::text[]) RETURNING session_id"
NOTE_ENDINGS = (
    "INSERT INTO client_ending (account, region, client_id, ended_at, facts) "
    "SELECT DISTINCT ON (account, region, client_id) * "
    "FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bytea[])"
    " AS ended (account, region, client_id, ended_at, facts) "
    "ORDER BY account, region, client_id, ended_at DESC "
    "ON CONFLICT (account, region, client_id) DO UPDATE SET ended_at = excluded.ended_at, facts = excluded.facts "
    "WHERE excluded.ended_at >= client_ending.ended_at"
)
MARK_NODE = (
    "INSERT INTO node_connection (session_id, node_id, account, region, client_id, certificate_id, opened_at,"
    " is_current, facts, will_delay) VALUES ($1, $1, '', '', '', '', 0, 0, '', 0) ON CONFLICT DO NOTHING"
)
IS_MARKED = "SELECT count(*) FROM node_connection WHERE session_id = $1"
CURRENT = (
    f"SELECT {_COLUMNS} FROM node_connection "  # noqa: S608  constants
    "WHERE account = $1 AND region = $2 AND client_id = $3 AND is_current = 1"
    " AND node_id IN (SELECT node_id FROM node)"
)
LAST_ENDING = "SELECT facts FROM client_ending WHERE account = $1 AND region = $2 AND client_id = $3"
KEEP_BACK_WILL = "UPDATE node_connection SET will = NULL WHERE session_id = $1 AND will IS NOT NULL"

# Connections of removed nodes. A will with a delay is read again when it is due.
ORPHANS = (
    f"SELECT {_COLUMNS} FROM node_connection "  # noqa: S608  constants
    "WHERE node_id NOT IN (SELECT node_id FROM node)"
    f" AND (will_due_at IS NULL OR will_due_at <= {_NOW} OR will IS NULL) ORDER BY session_id LIMIT $1"
)
AWAIT_WILL = (
    "UPDATE node_connection SET will_due_at = $1 "
    "WHERE session_id = $2 AND will_due_at IS NULL AND will IS NOT NULL RETURNING session_id"
)
TAKE_ORPHAN = (
    "DELETE FROM node_connection WHERE session_id = $1 AND node_id NOT IN (SELECT node_id FROM node)"
    " RETURNING will IS NOT NULL"
)
PRUNE_ENDINGS = (
    "DELETE FROM client_ending USING (SELECT account, region, client_id FROM (SELECT account, region, client_id,"
    " row_number() OVER (PARTITION BY account, region ORDER BY ended_at DESC) AS place FROM client_ending) AS placed"
    " WHERE placed.place > $1 LIMIT $2) AS old "
    "WHERE client_ending.account = old.account AND client_ending.region = old.region"
    " AND client_ending.client_id = old.client_id RETURNING 1"
)


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """A connection to a node. Times are microseconds since 1970.

    ``facts`` have the service's format. ``will`` is a PUBLISH packet of MQTT 5, to be published ``will_delay`` seconds
    after the node is removed.
    """

    session_id: str
    node_id: str
    scope: Scope
    client_id: str
    principal_id: PrincipalId
    """In the column ``certificate_id``."""
    opened_at: int
    facts: bytes = field(repr=False)
    will: bytes | None = field(default=None, repr=False)
    will_delay: int = 0
    will_due_at: int | None = None


@dataclass(frozen=True, slots=True)
class EndingRow:
    """The end of a client's connection, in the service's format."""

    session_id: str
    scope: Scope
    client_id: str
    ended_at: int
    facts: bytes = field(repr=False)


class DisplacedConnection(Struct, frozen=True):
    """A connection that is no longer current."""

    node_id: str
    session_id: str
    scope: Scope
    client_id: str


def open_connections(opened: Sequence[ConnectionRow]) -> Steps[tuple[Sequence[DisplacedConnection], dict[str, bool]]]:
    """Store connections. Return the connections that they replace, and whether each stored one is current.

    If one is missing in the answer, another node stored one at the same moment: call this again for it.
    """
    keys = [
        [each.session_id for each in opened],
        [each.scope.account for each in opened],
        [each.scope.region for each in opened],
        [each.client_id for each in opened],
        [each.opened_at for each in opened],
    ]
    displaced = yield from rows_of(DISPLACE, *keys)
    rest = [
        [each.node_id for each in opened],
        [each.principal_id for each in opened],
        [each.facts for each in opened],
        [each.will for each in opened],
        [each.will_delay for each in opened],
    ]
    yield from rows_of(OPEN, *keys, *rest)
    written = yield from rows_of(WRITTEN, keys[0])
    taken_over = [DisplacedConnection(row[0], row[1], _scope_of(row[2], row[3]), row[4]) for row in displaced]
    return taken_over, {session_id: bool(is_current) for session_id, is_current in written}


def end_connections(ended: Sequence[EndingRow]) -> Steps[None]:
    """Delete connections that have ended, and store their ends."""
    yield from rows_of(END, [each.session_id for each in ended])
    yield from record_endings(ended)


def record_endings(ended: Sequence[EndingRow]) -> Steps[None]:
    """Store the ends of clients' last connections, but not of those whose account was deleted meanwhile."""
    known = set[Scope]()
    for scope in {each.scope for each in ended}:
        if (yield from is_known(scope)):
            known.add(scope)
    ended = [each for each in ended if each.scope in known]
    columns = [
        [each.scope.account for each in ended],
        [each.scope.region for each in ended],
        [each.client_id for each in ended],
        [each.ended_at for each in ended],
        [each.facts for each in ended],
    ]
    yield from rows_of(NOTE_ENDINGS, *columns)


def mark_node(node_id: str) -> Steps[None]:
    """Store a row for the node. If it is missing later, the table was emptied."""
    yield from rows_of(MARK_NODE, node_id)


def is_marked(node_id: str) -> Steps[bool]:
    """Return whether the row of the node exists."""
    row = yield from row_of(IS_MARKED, node_id)
    return row is not None and row[0] > 0


def unmark_node(node_id: str) -> Steps[None]:
    """Delete the row of a node that shuts down."""
    yield from rows_of(END, [node_id])


def current_connection(scope: Scope, client_id: str) -> Steps[ConnectionRow | None]:
    """Return a client's connection to a node that is alive, or None."""
    row = yield from row_of(CURRENT, scope.account, scope.region, client_id)
    return None if row is None else _connection_of(row)


def last_ending(scope: Scope, client_id: str) -> Steps[bytes | None]:
    """Return the end of the client's last connection in the service's format, or None."""
    row = yield from row_of(LAST_ENDING, scope.account, scope.region, client_id)
    return None if row is None else row[0]


def keep_back_will(session_id: str) -> Steps[None]:
    """Delete the will of a connection, so that no node publishes it if its own node is removed."""
    yield from rows_of(KEEP_BACK_WILL, session_id)


def orphans(limit: int) -> Steps[Sequence[ConnectionRow]]:
    """Return up to ``limit`` connections of removed nodes, without those whose wills are not due yet."""
    return [_connection_of(row) for row in (yield from rows_of(ORPHANS, limit))]


def await_will(session_id: str, due_at: int) -> Steps[bool]:
    """Keep an orphan until its will is due; return whether this transaction changed the row."""
    return (yield from row_of(AWAIT_WILL, due_at, session_id)) is not None


def take_orphan(session_id: str) -> Steps[bool | None]:
    """Delete an orphan and return whether it still has a will; None if another node has taken it."""
    row = yield from row_of(TAKE_ORPHAN, session_id)
    return None if row is None else bool(row[0])


def prune_endings(kept: int) -> Steps[bool]:
    """Delete old ends of connections of each account that has more than ``kept``; return whether there may be more."""
    return len((yield from rows_of(PRUNE_ENDINGS, kept, MOST_AT_ONCE))) == MOST_AT_ONCE


def _connection_of(row: Row) -> ConnectionRow:
    session_id, node_id, account, region, client_id, certificate_id, opened_at, _, facts, will, delay, due_at = row
    scope = _scope_of(account, region)
    return ConnectionRow(
        session_id, node_id, scope, client_id, parse_principal_id(certificate_id), opened_at, facts, will, delay, due_at
    )


def _scope_of(account: str, region: str) -> Scope:
    return Scope(AccountId(account), Region(region))
