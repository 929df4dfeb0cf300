"""Owns the reports on the last backup: a finding for `thingmint doctor` and the console, and a metric."""

import asyncio
from datetime import datetime, timedelta

from thingmint.core.errors import ThingmintError
from thingmint.host.telemetry import Metrics
from thingmint.records.backups import LastBackup, last_backup
from thingmint.registration.kernel.ports import Store
from thingmint.service.findings import Finding, Verdict

_READ_EVERY_SECONDS = 15.0
_OLD = timedelta(days=7)
_A_DAY = timedelta(days=1)


def finding_of_backup(found: LastBackup | None, now: datetime) -> Finding:
    """Return the finding on the last backup."""
    if found is None:
        return Finding(Verdict.WARNING, "`thingmint backup` has made no backup of this service")
    age = now - found.began_at
    days = age // _A_DAY
    ago = f"{days} days ago" if days > 1 else f"{age // timedelta(hours=1)} hours ago"
    text = f"the last backup began {found.began_at:%Y-%m-%d %H:%M} UTC, {ago}; its file has {found.size:,} bytes"
    return Finding(Verdict.WARNING if age > _OLD else Verdict.OK, text)


async def show_last_backup(store: Store, metrics: Metrics) -> None:
    """Update the metric of the last backup until cancelled."""
    while True:
        try:
            found = await store.read(last_backup)
        except ThingmintError:
            # While the database is away, the metric stays.
            pass
        else:
            metrics.last_backup(None if found is None else found.began_at)
        await asyncio.sleep(_READ_EVERY_SECONDS)
