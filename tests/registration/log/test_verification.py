"""Verification: what agrees, and each row that was changed, removed or inserted behind the service's back."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.databases.log import (
    CALLER,
    append,
    authority_on,
    execute,
    issued,
    log_on,
    sequenced,
    state_of,
    verified,
)
from tests.support.databases.stores import CREATED_AT, sample_audit_entry

from thingmint.cli.log.files import ExportFolder
from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import ResourceNotFound
from thingmint.core.transparency.checkpoint import CheckpointInvalid
from thingmint.issuance.keys.log_signature import is_signed
from thingmint.records.columns import column_of_time
from thingmint.registration.certificates import certificates
from thingmint.registration.kernel.ports import Store
from thingmint.registration.log import verification
from thingmint.registration.log import verified as verified_module
from thingmint.registration.log.exported import LineUnreadable, leaves_of_lines
from thingmint.registration.log.exporting import export
from thingmint.registration.log.identity import LogIdentity
from thingmint.registration.log.pruning import archived_lines, prunable, prune
from thingmint.registration.log.reading import present_state
from thingmint.registration.log.verification import verify
from thingmint.registration.log.verified import Evidence

TOOL = Path(__file__).parents[3] / "tools" / "verify_log.py"
REVOKED = CertificateStatus.REVOKED


async def exported(store: Store, log: LogIdentity, folder: Path) -> Path:
    await store.read(lambda: export(log.salt_secret, ExportFolder(folder)))
    return folder


async def findings_of_the_tool(folder: Path, *options: str) -> list[str]:
    """Return what tools/verify_log.py names, which is not told where the service is."""
    command = [sys.executable, "-I", "-S", str(TOOL), str(folder), *options]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    *named, summary = done.stdout.splitlines()
    assert done.returncode == (0 if summary.endswith("all of it agrees") else 1)
    return [line for line in named if not line.startswith("note:")]


async def filled(store: Store, tmp_path: Path) -> tuple[LogIdentity, Sequence[str], Path]:
    """Return a log with 300 entries and four certificates, one of them revoked; the ids, and an export of it."""
    log = await log_on(store)
    authority = authority_on(store)
    issued_ones = await issued(store, 4)
    await certificates.update_status(authority, CALLER, issued_ones[1].certificate_id, REVOKED)
    await append(store, range(295))
    await sequenced(store, log)
    return log, [each.certificate_id for each in issued_ones], tmp_path / "export"


async def test_a_log_that_nobody_has_changed_agrees_for_both_verifiers(store: Store, tmp_path: Path) -> None:
    log, _, folder = await filled(store, tmp_path)
    result = await verified(store, log)
    assert (result.findings, result.reactivations) == ([], [])
    assert (result.head.size, result.certificates, result.waiting, result.pruned) == (300, 4, 0, 0)
    assert await findings_of_the_tool(await exported(store, log, folder), "--key", log.key.text) == []


DER_OF_ANOTHER = "(SELECT der FROM certificate WHERE certificate_id = '{2}')"
TAMPERED = {
    "a status": (
        "UPDATE certificate SET status = 'ACTIVE' WHERE certificate_id = '{1}'",
        ["certificate {1}", "was changed: its status is ACTIVE, leaf 4 says REVOKED"],
        ["cert/{1}", "was changed: its status is ACTIVE, leaf 4 says REVOKED"],
    ),
    "a certificate's DER": (
        f"UPDATE certificate SET der = {DER_OF_ANOTHER} WHERE certificate_id = '{{0}}'",
        ["certificate {0}", "was changed: it holds another certificate"],
        ["cert/{0}", "was changed: it holds another certificate"],
    ),
    "a certificate removed": (
        "DELETE FROM certificate WHERE certificate_id = '{3}'",
        ["certificate {3}", "was removed: leaf 3 says ACTIVE"],
        ["cert/{3}", "was removed: leaf 3 says ACTIVE"],
    ),
    "an entry changed": (
        "UPDATE audit SET principal_arn = 'somebody else' WHERE position = 10",
        ["audit entry 10", "was changed: leaf 9"],
        ["audit entry 10", "was changed"],
    ),
    "an entry removed": (
        "DELETE FROM audit WHERE position = 290",
        ["audit entry 290", "was removed: it is leaf 289"],
        ["leaf 289", "its audit entry was removed"],
    ),
    "a tile changed": (
        "UPDATE log_tile SET hashes = (SELECT hashes FROM log_tile WHERE level = 1) WHERE level = 0 AND number = 1",
        ["log_tile", "do not lead to the root"],
        ["log tile 1 of level 0", "was removed, or has not 44 hashes"],
    ),
    "a tile above changed": (
        "UPDATE log_tile SET hashes = (SELECT hashes FROM log_tile WHERE level = 0 AND number = 1) WHERE level = 1",
        ["log_tile 0 of level 1", "is not of the tiles below it"],
        ["log tile 0 of level 1", "was changed"],
    ),
    "a tile removed": (
        "DELETE FROM log_tile WHERE level = 0 AND number = 1",
        ["log_tile 1 of level 0", "was removed"],
        ["log tile 1 of level 0", "was removed"],
    ),
}


@pytest.mark.parametrize(("sql", "named", "named_by_the_tool"), TAMPERED.values(), ids=TAMPERED.keys())
async def test_the_row_that_was_changed_or_removed_is_named(
    store: Store, tmp_path: Path, sql: str, named: list[str], named_by_the_tool: list[str]
) -> None:
    log, ids, folder = await filled(store, tmp_path)
    await execute(store, sql.format(*ids))
    found = (await verified(store, log)).findings
    assert [text for text in found if all(part.format(*ids) in text for part in named)], found
    found = await findings_of_the_tool(await exported(store, log, folder))
    assert [text for text in found if all(part.format(*ids) in text for part in named_by_the_tool)], found


async def test_a_certificate_that_was_inserted_is_named(store: Store, tmp_path: Path) -> None:
    log, ids, folder = await filled(store, tmp_path)
    (forged,) = await issued(store, 1)
    await execute(store, "DELETE FROM audit WHERE position = 301")
    (found,) = (await verified(store, log)).findings
    assert found.startswith(f"certificate {forged.certificate_id} of account")
    assert found.endswith("was inserted: no leaf of the log tells of it")
    (found,) = await findings_of_the_tool(await exported(store, log, folder))
    assert found == f"cert/{forged.certificate_id} of {CALLER.account}: was inserted: no leaf tells of it"
    assert ids


async def test_an_entry_that_was_inserted_among_the_old_ones_is_named(store: Store, tmp_path: Path) -> None:
    log, _, _ = await filled(store, tmp_path)
    columns = "at, account, region, principal_arn, source_address, request_id, action, resource, detail"
    await execute(store, "DELETE FROM audit WHERE position = 20")
    await execute(
        store,
        f"INSERT INTO audit (position, {columns}) "
        f"{'OVERRIDING SYSTEM VALUE ' if type(store).__name__ == 'PostgreSQLStore' else ''}"
        f"SELECT 0, {columns} FROM audit WHERE position = 21",
    )
    found = (await verified(store, log)).findings
    assert "audit entry 20: was removed: it is leaf 19 of the log" in found


async def test_an_entry_at_a_position_that_no_leaf_has_is_named(store: Store, tmp_path: Path) -> None:
    log, _, _ = await filled(store, tmp_path)
    # The log forgets that it has seen the last entries, as if somebody had given positions of their own.
    await execute(store, "UPDATE log_state SET position = position + 5")
    await append(store, range(295, 297))
    found = (await verified(store, log)).findings
    assert found == [
        "log_state: was changed: its position is 305, the newest leaf is of audit entry 300",
        *(f"audit entry {number}: was inserted: no leaf of the log is of it" for number in (301, 302)),
    ]


@pytest.mark.parametrize("pruned_leaves", [-256, 1, 512])
async def test_a_count_of_pruned_leaves_that_cannot_be_is_named(
    store: Store, tmp_path: Path, pruned_leaves: int
) -> None:
    log, _, _ = await filled(store, tmp_path)
    await execute(store, f"UPDATE log_state SET pruned = {pruned_leaves}")
    assert (await verified(store, log)).findings == [
        f"log_state: was changed: {pruned_leaves} leaves cannot be pruned of 300"
    ]


async def test_entries_of_distant_positions_are_read_one_by_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, _, _ = await filled(store, tmp_path)
    monkeypatch.setattr(verification, "_TILES_AT_ONCE", 1)
    monkeypatch.setattr(verification, "_NEIGHBOURS", 3)
    assert (await verified(store, log)).findings == []
    await execute(store, "DELETE FROM audit WHERE position = 290")
    assert (await verified(store, log)).findings == ["audit entry 290: was removed: it is leaf 289 of the log"]


async def test_a_bundle_that_was_removed_is_named(store: Store, tmp_path: Path) -> None:
    log, _, _ = await filled(store, tmp_path)
    await execute(store, "DELETE FROM log_bundle WHERE number = 1")
    found = (await verified(store, log)).findings
    assert "log_bundle 1: was removed: it is leaf 256 of the log" in found
    assert "audit entry 257: was inserted: no leaf of the log is of it" in found


async def test_a_row_of_an_entry_that_cannot_be_read_is_not_called_inserted(store: Store, tmp_path: Path) -> None:
    log, ids, _ = await filled(store, tmp_path)
    await execute(store, "UPDATE audit SET detail = '{}' WHERE position = 1")
    changed, unknown = (await verified(store, log)).findings
    assert changed.startswith("audit entry 1: was changed")
    assert unknown.startswith(f"certificate {ids[0]}")
    assert "cannot be compared" in unknown


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("UPDATE log_state SET checkpoint = replace(checkpoint, '300', '299')", "not one by the key"),
        ("UPDATE log_state SET checkpoint = 'nothing'", "is not a checkpoint"),
    ],
)
async def test_a_checkpoint_that_nobody_signed_ends_the_verification(
    store: Store, tmp_path: Path, sql: str, error: str
) -> None:
    log, _, _ = await filled(store, tmp_path)
    await execute(store, sql)
    with pytest.raises(CheckpointInvalid, match=error):
        await verified(store, log)


async def test_a_size_that_is_not_that_of_the_checkpoint_is_named(store: Store, tmp_path: Path) -> None:
    log, _, _ = await filled(store, tmp_path)
    await execute(store, "UPDATE log_state SET size = 299")
    assert (await verified(store, log)).findings == ["log_state: was changed: its size is 299, its checkpoint says 300"]


async def test_an_earlier_checkpoint_shows_that_the_log_was_rewritten_or_cut(store: Store, tmp_path: Path) -> None:
    log, _, folder = await filled(store, tmp_path)
    earlier = (await state_of(store)).checkpoint
    await append(store, range(295, 300))
    later = (await sequenced(store, log)).checkpoint
    assert (await verified(store, log, earlier=[earlier, later])).findings == []
    path = tmp_path / "earlier"
    path.write_text(earlier)
    assert await findings_of_the_tool(await exported(store, log, folder), "--earlier", str(path)) == []

    # Whoever has the key as well begins anew, without the revocation.
    for table in ("log_tile", "log_bundle", "log_gap"):
        await execute(store, f"DELETE FROM {table}")
    await execute(store, "UPDATE log_state SET size = 0, position = 0")
    await execute(store, "DELETE FROM audit WHERE position = 5")
    await execute(store, "UPDATE certificate SET status = 'ACTIVE'")
    await sequenced(store, log)
    assert (await verified(store, log)).findings == []
    assert (await verified(store, log, earlier=[earlier])).findings == [
        "the log: was rewritten: its first 300 leaves are not those of a checkpoint"
    ]
    assert (await verified(store, log, earlier=[later])).findings == [
        "the log: was cut: it has 304 leaves, a checkpoint was of 305"
    ]
    (found,) = await findings_of_the_tool(await exported(store, log, tmp_path / "again"), "--earlier", str(path))
    assert found == f"{path}: the log does not go on from this checkpoint of 300 leaves"


async def test_entries_without_a_place_count_for_both_verifiers(store: Store, tmp_path: Path) -> None:
    log, ids, folder = await filled(store, tmp_path)
    await certificates.update_status(authority_on(store), CALLER, ids[0], REVOKED)  # type: ignore[arg-type]  # as above
    result = await verified(store, log)
    assert (result.findings, result.waiting) == ([], 1)
    assert await findings_of_the_tool(await exported(store, log, folder)) == []


async def test_a_reactivation_that_the_log_tells_of_is_a_note(store: Store, tmp_path: Path) -> None:
    log, ids, _ = await filled(store, tmp_path)
    await execute(store, f"UPDATE certificate SET status = 'INACTIVE' WHERE certificate_id = '{ids[1]}'")
    await certificates.update_status(authority_on(store), CALLER, ids[1], CertificateStatus.ACTIVE)  # type: ignore[arg-type]  # as above
    await sequenced(store, log)
    result = await verified(store, log)
    assert result.findings == []
    (note,) = result.reactivations
    assert f"certificate {ids[1]}" in note


async def test_findings_are_bounded(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified_module, "MAX_FINDINGS", 10)
    log, _, _ = await filled(store, tmp_path)
    await execute(store, "UPDATE audit SET request_id = 'another'")
    assert len((await verified(store, log)).findings) == 10


async def test_a_store_without_a_log_has_nothing_to_verify(store: Store) -> None:
    with pytest.raises(ResourceNotFound, match="not begun yet"):
        await store.read(present_state)


async def pruned(store: Store, log: LogIdentity, folder: Path) -> Path:
    """Archive and remove the first bundle."""
    bundles = await prunable(store, column_of_time(CREATED_AT) + 10**15)
    assert bundles == range(1)
    archive = folder / "archive.jsonl"
    archive.write_text("".join([f"{line}\n" async for line in archived_lines(store, log.salt_secret, bundles)]))
    await prune(store, bundles, sample_audit_entry(1000))
    return archive


async def test_a_pruned_log_can_be_verified_with_its_archive(store: Store, tmp_path: Path) -> None:
    log, ids, folder = await filled(store, tmp_path)
    archive = await pruned(store, log, tmp_path)
    await sequenced(store, log)

    def leaves() -> object:
        return leaves_of_lines(archive.read_text().splitlines())

    evidence = Evidence(log.salt_secret, is_signed, leaves)  # type: ignore[arg-type]  # a list of pairs is read as one
    result = await store.read(lambda: verify(evidence))
    assert (result.findings, result.pruned, result.head.size) == ([], 256, 301)
    await exported(store, log, folder)
    assert await findings_of_the_tool(folder, "--archive", str(archive)) == []

    # Without it, the tree agrees; what the removed entries tell of cannot be compared.
    found = (await verified(store, log)).findings
    assert len(found) == 4
    assert all("cannot be compared" in text for text in found)
    assert not any("was removed" in text for text in found)

    lines = archive.read_text().splitlines()
    lines[4] = json.dumps(json.loads(lines[4]) | {"request_id": "another"})
    archive.write_text("\n".join(lines))
    found = (await store.read(lambda: verify(evidence))).findings
    assert "archived entry of leaf 4: was changed: leaf 4 of the log has another hash" in found
    assert await findings_of_the_tool(folder, "--archive", str(archive)) != []
    assert ids


async def test_pruning_removes_whole_bundles_of_old_entries_once(store: Store, tmp_path: Path) -> None:
    log, _, _ = await filled(store, tmp_path)
    assert await prunable(store, column_of_time(CREATED_AT)) == range(0)
    await pruned(store, log, tmp_path)
    state = await state_of(store)
    assert state.pruned == 256
    await prune(store, range(1), sample_audit_entry(1001))
    assert await state_of(store) == state
    assert await prunable(store, column_of_time(CREATED_AT) + 10**15) == range(1, 1)


async def test_the_record_of_a_pruning_is_written_once_for_all_bundles(store: Store) -> None:
    log = await log_on(store)
    await append(store, range(600))
    await sequenced(store, log)
    await prune(store, range(2), sample_audit_entry(1000))
    assert (await state_of(store)).pruned == 512
    assert (await sequenced(store, log)).size == 601


async def test_an_entry_that_was_changed_is_not_archived(store: Store, tmp_path: Path) -> None:
    log, _, _ = await filled(store, tmp_path)
    await execute(store, "UPDATE audit SET request_id = 'another' WHERE position = 3")
    with pytest.raises(Exception, match="entry of leaf 2 is not the one that was logged"):
        await pruned(store, log, tmp_path)
    await execute(store, "DELETE FROM audit WHERE position = 3")
    with pytest.raises(Exception, match="entry of leaf 2 is not the one that was logged"):
        await pruned(store, log, tmp_path)
    await prune(store, range(1), sample_audit_entry(1000))
    assert (await state_of(store)).pruned == 256


def test_an_archive_ends_with_its_last_line() -> None:
    assert list(leaves_of_lines([])) == []


@pytest.mark.parametrize("line", ["", "{}", "[]", "5", '{"index":0,"position":1}', '{"index":null}'])
def test_a_line_that_is_not_of_an_archive_is_refused(line: str) -> None:
    with pytest.raises(LineUnreadable):
        list(leaves_of_lines([line]))


async def test_a_log_without_leaves_agrees(store: Store, tmp_path: Path) -> None:
    log = await log_on(store)
    result = await verified(store, log)
    assert (result.head.size, result.findings) == (0, [])
    assert await findings_of_the_tool(await exported(store, log, tmp_path / "export")) == []


async def test_a_wrong_key_or_signature_is_told_by_the_tool(store: Store, tmp_path: Path) -> None:
    log, _, folder = await filled(store, tmp_path)
    await exported(store, log, folder)
    checkpoint = folder / "checkpoint"
    lines = checkpoint.read_text().splitlines()
    lines[-1] = lines[-1][:-8] + "AAAAAAA="
    checkpoint.write_text("\n".join(lines) + "\n")
    (found,) = await findings_of_the_tool(folder, "--key", log.key.text)
    assert found.startswith("checkpoint of 300 leaves: is not signed by log.example/one")
