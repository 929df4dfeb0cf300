"""Owns the table of nodes (the processes that use this database) and of their last heartbeats. PostgreSQL only."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from thingmint.records.changes import MOST_AT_ONCE
from thingmint.records.columns import column_of_time, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_KEY_SHARE

_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"
_COLUMNS = "node_id, name, version, data_plane, settings, started_at, seen_at"

ADD_NODE = (
    "INSERT INTO node (node_id, name, version, data_plane, settings, started_at, seen_at, read_to) "  # noqa: S608  constants
    f"VALUES ($1, $2, $3, $4, $5, {_NOW}, {_NOW}, (SELECT coalesce(max(position), 0) FROM node_message)) "
    "RETURNING seen_at, pg_notify('thingmint_nodes', '')"
)
BEAT = f"UPDATE node SET seen_at = {_NOW}, read_to = $1 WHERE node_id = $2 RETURNING seen_at"  # noqa: S608  a constant
ALL_NODES = f"SELECT {_COLUMNS} FROM node ORDER BY started_at, node_id"  # noqa: S608  a constant
# If the node has had another heartbeat meanwhile, its time differs and it stays.
REMOVE_SILENT = (
    "DELETE FROM node WHERE node_id = $1 AND seen_at = $2 RETURNING node_id, pg_notify('thingmint_nodes', '')"
)
KEEP_NODE = f"SELECT node_id FROM node WHERE node_id = $1{FOR_KEY_SHARE}"  # noqa: S608  a token
REMOVE_NODE = "DELETE FROM node WHERE node_id = $1 RETURNING pg_notify('thingmint_nodes', '')"
# Of the messages that all nodes have read, only the newest one stays, because positions count on from it.
PRUNE_MESSAGES = (
    "DELETE FROM node_message WHERE position < (SELECT min(read_to) FROM node)"
    " AND position < (SELECT max(position) FROM node_message)"
    " AND position < (SELECT min(position) FROM node_message) + $1"
)


class NodeRow(Struct, frozen=True):
    """A node. ``settings`` is JSON: by name, the settings that all nodes should share, as texts or digests."""

    node_id: str
    name: str
    version: str
    data_plane: str
    settings: str
    started_at: datetime
    seen_at: datetime


def add_node(node_id: str, name: str, version: str, data_plane: str, settings: str) -> Steps[None]:
    """Store a node that starts, and notify the others."""
    yield from rows_of(ADD_NODE, node_id, name, version, data_plane, settings)


def heartbeat(node_id: str, read_to: int) -> Steps[bool]:
    """Record that the node is alive and has read its messages up to a position; return whether it still has a row."""
    return (yield from row_of(BEAT, read_to, node_id)) is not None


def is_kept(node_id: str) -> Steps[bool]:
    """Return whether the node is in the table. If so, lock it against removal until this transaction ends."""
    return (yield from row_of(KEEP_NODE, node_id)) is not None


def nodes() -> Steps[Sequence[NodeRow]]:
    """Return all nodes in the table, oldest first."""
    return [_node_of(row) for row in (yield from rows_of(ALL_NODES))]


def remove_silent(node: NodeRow) -> Steps[bool]:
    """Remove a node unless it has had a heartbeat since; return whether this transaction removed it."""
    return (yield from row_of(REMOVE_SILENT, node.node_id, column_of_time(node.seen_at))) is not None


def remove_node(node_id: str) -> Steps[None]:
    """Remove a node that shuts down."""
    yield from rows_of(REMOVE_NODE, node_id)


def prune_messages() -> Steps[None]:
    """Delete messages that every node has read; those that are too many for one heartbeat are left to the next one."""
    yield from rows_of(PRUNE_MESSAGES, MOST_AT_ONCE)


def _node_of(row: Row) -> NodeRow:
    node_id, name, version, data_plane, settings, started_at, seen_at = row
    return NodeRow(node_id, name, version, data_plane, settings, time_of_column(started_at), time_of_column(seen_at))
