"""`thingmint audit`: owns how the audit trail is shown to an operator."""

import asyncio
import json
from collections.abc import Sequence

import click

from thingmint.cli.settings import fail
from thingmint.core.audit_entry import AuditEntry
from thingmint.core.errors import ThingmintError
from thingmint.host.words import in_words
from thingmint.records import audit as audit_table
from thingmint.service.opening import registry_beside_service
from thingmint.settings.config import Config, StartRefused


def show(config: Config, *, limit: int, as_json: bool) -> None:
    """Print the newest entries of the account and region, newest first."""
    try:
        entries = asyncio.run(_newest(config, limit))
    except (StartRefused, ThingmintError, OSError) as error:
        fail(in_words(error))
    for entry in entries:
        click.echo(json.dumps(_fields(entry), ensure_ascii=False) if as_json else _line(entry))


async def _newest(config: Config, limit: int) -> Sequence[AuditEntry]:
    async with registry_beside_service(config) as registry:
        return await registry.store.read(lambda: audit_table.audit_entries(registry.scope, None, limit))


def _fields(entry: AuditEntry) -> dict[str, object]:
    return {
        "at": entry.at.isoformat(),
        "account": entry.scope.account,
        "region": entry.scope.region,
        "principal": entry.principal_arn,
        "source_address": entry.source_address,
        "request_id": entry.request_id,
        "action": entry.action,
        "resource": entry.resource,
        "detail": entry.detail,
    }


def _line(entry: AuditEntry) -> str:
    source = f" from {entry.source_address}" if entry.source_address else ""
    detail = " ".join(f"{name}={value}" for name, value in sorted(entry.detail.items()))
    made = f"{entry.at:%Y-%m-%dT%H:%M:%SZ}  {entry.action} {entry.resource}  by {entry.principal_arn}{source}"
    return f"{made}  {detail}" if detail else made
