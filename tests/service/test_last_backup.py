"""What doctor, the console and the metric say of the last backup."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.databases.memory_store import MemoryStore

from thingmint.core.errors import ServiceUnavailable
from thingmint.host.telemetry import Metrics
from thingmint.records.backups import LastBackup, note_backup
from thingmint.records.steps import Program
from thingmint.service.backup.last_backup import finding_of_backup, show_last_backup
from thingmint.service.findings import Verdict

NOW = datetime(2027, 1, 9, 12, 30, tzinfo=UTC)


def made(**ago: float) -> LastBackup:
    return LastBackup(NOW - timedelta(**ago), NOW, 1_234_567)


@pytest.mark.parametrize(
    ("found", "verdict", "text"),
    [
        (None, Verdict.WARNING, "made no backup"),
        (made(minutes=90), Verdict.OK, "began 2027-01-09 11:00 UTC, 1 hours ago; its file has 1,234,567 bytes"),
        (made(hours=47), Verdict.OK, "47 hours ago"),
        (made(days=6), Verdict.OK, "6 days ago"),
        (made(days=8), Verdict.WARNING, "8 days ago"),
    ],
)
def test_an_old_backup_is_a_warning(found: LastBackup | None, verdict: Verdict, text: str) -> None:
    finding = finding_of_backup(found, NOW)
    assert (finding.verdict, text in finding.text) == (verdict, True), finding.text


class Away(MemoryStore):
    """A store whose database is away."""

    async def read(self, program: Program[object]) -> object:  # type: ignore[override]  # it returns nothing
        """Fail."""
        raise ServiceUnavailable


@pytest.mark.parametrize("is_away", [False, True])
async def test_the_metric_shows_when_the_last_backup_began(is_away: bool) -> None:
    store, metrics = Away() if is_away else MemoryStore(), Metrics("1")
    await store.write(lambda: note_backup(made(hours=1)))
    showing = asyncio.create_task(show_last_backup(store, metrics))
    # The store does not wait, so the first reading has ended when the task waits for the next one.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    showing.cancel()
    with suppress(asyncio.CancelledError):
        await showing
    shown = metrics.registry.get_sample_value("thingmint_last_backup_timestamp_seconds")
    assert shown == (0 if is_away else made(hours=1).began_at.timestamp())
