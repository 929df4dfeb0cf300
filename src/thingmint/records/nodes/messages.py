"""Owns the table of messages between nodes. All recipients read them in the same order. PostgreSQL only.

`records.changes` describes how messages get their positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.records.statement import Row, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import DATABASE_RUN

ADD_MESSAGES = (
    "INSERT INTO node_message (recipient, origin, kind, account, region, subject, body) "
    "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[]) "
    "RETURNING pg_notify('thingmint_messages', '')"
)
MESSAGES_FROM = (
    "SELECT (SELECT coalesce(max(position), 0) + 1 FROM node_message),"  # noqa: S608  a token
    f" (SELECT min(id) FROM node_message WHERE position IS NULL), {DATABASE_RUN},"
    " found.position, found.origin, found.kind, found.account, found.region, found.subject, found.body "
    "FROM (SELECT 1 AS one) AS always LEFT JOIN (SELECT * FROM node_message"
    " WHERE position >= $1 AND (recipient IS NULL OR recipient = $2) ORDER BY position LIMIT $3) AS found ON 1 = 1 "
    "ORDER BY found.position"
)
_FROM_NOW_ON = 2**63 - 1


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message from the node ``origin``. Without a recipient it is for all nodes. Its repr hides the content."""

    recipient: str | None
    origin: str
    kind: str
    scope: Scope
    subject: str
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class NodeMessage:
    """A message that was read."""

    position: int
    origin: str
    kind: str
    scope: Scope
    subject: str
    body: bytes = field(repr=False)


class MessagesFound(Struct, frozen=True):
    """Messages in their order, the position of the next call, and whether others have no position yet.

    ``server`` differs from that of an earlier call if another server answers, or the same one after a restart.
    """

    following: int
    has_unplaced: bool
    server: int
    messages: Sequence[NodeMessage]


def add_messages(messages: Sequence[NewMessage]) -> Steps[None]:
    """Store messages. Other nodes read them after the commit."""
    if messages:
        columns = [
            [each.recipient for each in messages],
            [each.origin for each in messages],
            [each.kind for each in messages],
            [each.scope.account for each in messages],
            [each.scope.region for each in messages],
            [each.subject for each in messages],
            [each.body for each in messages],
        ]
        yield from rows_of(ADD_MESSAGES, *columns)


def messages_from(position: int | None, recipient: str, limit: int) -> Steps[MessagesFound]:
    """Return up to ``limit`` messages for the node from the position on. Messages without a position are left out."""
    asked = _FROM_NOW_ON if position is None else position
    rows = yield from rows_of(MESSAGES_FROM, asked, recipient, limit)
    found = [_message_of(row) for row in rows if row[3] is not None]
    following = found[-1].position + 1 if len(found) == limit else rows[0][0]
    return MessagesFound(following, rows[0][1] is not None, rows[0][2], found)


def _message_of(row: Row) -> NodeMessage:
    _, _, _, position, origin, kind, account, region, subject, body = row
    return NodeMessage(position, origin, kind, Scope(AccountId(account), Region(region)), subject, body)
