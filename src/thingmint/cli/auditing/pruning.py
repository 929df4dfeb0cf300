"""`thingmint audit prune`: archives old entries in a file and then removes them."""

import asyncio
import hashlib
import os
from datetime import datetime
from pathlib import Path

import click

from thingmint.cli.settings import fail
from thingmint.core.audit_entry import audit_entry
from thingmint.core.error_text import in_words
from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import iot_arn
from thingmint.core.transparency.growing_tree import TreeDamaged
from thingmint.core.transparency.tiles import TILE_WIDTH
from thingmint.data_directory.files import errors_name, sync_directory, written_alone
from thingmint.records.columns import column_of_time
from thingmint.registration.kernel.ports import Store
from thingmint.registration.log.pruning import archived_lines, prunable, prune
from thingmint.registration.log.sequencing import sequence_all
from thingmint.service.opening import registry_beside_service
from thingmint.service.public.transparency import open_log_of
from thingmint.service.start.first_credentials import operator
from thingmint.settings.config import Config, StartRefused


def prune_audit_trail(config: Config, before: datetime, archive: Path) -> None:
    """Archive the entries that are older than the time, then remove them; the file must not exist yet."""
    _require_new(archive)
    try:
        removed = asyncio.run(_prune(config, before, archive))
    except (StartRefused, ThingmintError, TreeDamaged, OSError) as error:
        fail(in_words(error))
    if not removed:
        click.echo(f"no {TILE_WIDTH} entries in a row are from before then: nothing was removed")
        return
    click.echo(f"{archive}: leaves {removed.start} to {removed.stop - 1}; their entries were removed")


def _require_new(archive: Path) -> None:
    if archive.exists():
        fail(f"{archive} exists already: each archive is a file of its own")


async def _prune(config: Config, before: datetime, archive: Path) -> range:
    """Archive and remove the entries; return the indexes of their leaves."""
    async with registry_beside_service(config) as registry:
        log = await open_log_of(registry)
        await sequence_all(registry.store, log)
        bundles = await prunable(registry.store, column_of_time(before))
        if not bundles:
            return range(0)
        with errors_name(archive), written_alone(archive):
            # Another process may have written it since the command began.
            _require_new(archive)
            digest = await _write(registry.store, log.salt_secret, bundles, archive)
        leaves = range(bundles.start * TILE_WIDTH, bundles.stop * TILE_WIDTH)
        record = audit_entry(
            operator(registry.scope),
            registry.clock.now(),
            "PruneAuditTrail",
            iot_arn(registry.scope, "log"),
            first_leaf=str(leaves.start),
            last_leaf=str(leaves.stop - 1),
            archive_sha256=digest,
        )
        await prune(registry.store, bundles, record)
        return leaves


async def _write(store: Store, secret: bytes, bundles: range, archive: Path) -> str:
    """Write the archive atomically and durably; return its SHA-256 in hex."""
    digest = hashlib.sha256()
    temporary = archive.with_name(f".{archive.name}.unfinished")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            async for line in archived_lines(store, secret, bundles):
                content = f"{line}\n".encode()
                digest.update(content)
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(archive)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(archive.parent)
    return digest.hexdigest()
