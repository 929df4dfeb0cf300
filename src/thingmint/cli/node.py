"""`thingmint node`: lists the nodes of a database, and removes the shared root key."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import click

from thingmint.cli.settings import fail
from thingmint.cli.terminal.columns import table, terminal_width
from thingmint.core.error_text import in_words
from thingmint.core.errors import ThingmintError
from thingmint.data_directory.shared_files import ROOT_KEY
from thingmint.records.authority_copies import take_out
from thingmint.records.nodes.nodes import NodeRow, nodes
from thingmint.service.nodes.settings_comparison import comparable_settings, differences
from thingmint.service.opening import registry_beside_service, store_beside_service
from thingmint.settings.config import Config, StartRefused

_HEADING = ("name", "version", "messages", "started (UTC)", "seen", "other settings")


def list_nodes(config: Config, *, as_json: bool) -> None:
    """Print the nodes that serve the database, the oldest first."""
    if config.database_url is None:
        fail("the registry is in SQLite, which one node serves; several nodes need database_url")
    try:
        found, now = asyncio.run(_nodes(config))
    except (StartRefused, ThingmintError, OSError) as error:
        fail(in_words(error))
    own = comparable_settings(config)
    if as_json:
        for node in found:
            click.echo(_json(node, own))
        return
    rows = [_cells(node, own, now - node.seen_at) for node in found]
    for line in table([_HEADING, *rows] if rows else [], terminal_width()):
        click.echo(line)


def remove_root_key(config: Config) -> None:
    """Remove the root's private key from the database, so that joining nodes do not get it."""
    if config.database_url is None:
        fail("the registry is in SQLite: the root's key is only in the data directory")
    try:
        removed = asyncio.run(_remove_root_key(config))
    except (StartRefused, ThingmintError, OSError) as error:
        fail(in_words(error))
    click.echo("the root's key is removed from the database" if removed else "the root's key is not in the database")
    path = config.data_dir / ROOT_KEY
    if path.exists():
        click.echo(f"{path} is still here: keep a copy in a safe place, then delete it on each node", err=True)


async def _remove_root_key(config: Config) -> bool:
    async with store_beside_service(config) as store:
        return await store.write(lambda: take_out(ROOT_KEY))


async def _nodes(config: Config) -> tuple[Sequence[NodeRow], datetime]:
    async with registry_beside_service(config) as registry:
        return await registry.store.read(nodes), registry.clock.now()


def _cells(node: NodeRow, own: str, unseen_for: timedelta) -> tuple[str, ...]:
    return (
        node.name,
        node.version,
        node.data_plane,
        f"{node.started_at:%Y-%m-%dT%H:%M:%SZ}",
        f"{max(0.0, unseen_for.total_seconds()):.0f} s ago",
        ", ".join(differences(own, node)),
    )


def _json(node: NodeRow, own: str) -> str:
    shown = {
        "nodeId": node.node_id,
        "name": node.name,
        "version": node.version,
        "dataPlane": node.data_plane,
        "startedAt": node.started_at.isoformat(),
        "seenAt": node.seen_at.isoformat(),
        "otherSettings": list(differences(own, node)),
    }
    return json.dumps(shown)
