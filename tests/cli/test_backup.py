"""`thingmint backup` and `thingmint restore`: what comes back, what is refused, and what is told to be missing."""

import gzip
import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.databases.database import tables_of
from tests.support.services.backup import PASSPHRASE, failed, issued, list_of, run, succeeded, with_service

from thingmint.core.audit_entry import audit_entry
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.identifiers import SerialNumber
from thingmint.core.transparency.checkpoint import TreeHead
from thingmint.data_directory.handover import read_credentials
from thingmint.host.file_locks import lock
from thingmint.records.audit import append_audit
from thingmint.records.steps import Steps
from thingmint.registration.access.access_keys import ADMINISTRATOR_POLICY
from thingmint.registration.certificates.certificates import delete, revoke, update_status
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.service.backup.container import BackupDamaged, Member, members, write_end, write_member
from thingmint.service.backup.reading import check_backup
from thingmint.service.opening import Registry
from thingmint.service.public.transparency import open_log_of
from thingmint.service.start.first_credentials import operator
from thingmint.storage import SQLITE_FILE_NAME

# What a restore writes itself, beside what was in the backup.
ADDED_TO = {"audit", "audit_term", "last_backup", "log_bundle", "log_predecessor", "log_state", "log_tile"}


@dataclass(frozen=True)
class Service:
    """A service as it was when its backup was made, and as it was later."""

    data_dir: Path
    backup: Path
    sealed: Path
    passphrase: Path
    kept: Certificate
    revoked: Certificate
    deactivated: Certificate
    deleted: Certificate
    issued_later: Certificate
    export: Path
    before_export: Path

    @property
    def flags(self) -> tuple[str, ...]:
        """What opens the keys of a restored directory."""
        return ("--ca-passphrase-file", str(self.passphrase))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    folder = tmp_path_factory.mktemp("backup")
    data_dir, passphrase = folder / "data", folder / "passphrase"
    # Most tests are not about sealed keys, which take a second to open.
    backup, sealed = folder / "thingmint.backup", folder / "sealed.backup"
    passphrase.write_bytes(PASSPHRASE)

    async def before(registry: Registry, authority: RegistrationAuthority) -> list[Certificate]:
        return await issued(authority, registry, 4)

    kept, revoked, deactivated, deleted = with_service(data_dir, before)
    succeeded(data_dir, "backup", str(backup), "--unsealed-keys")
    succeeded(data_dir, "backup", str(sealed), "--passphrase-file", str(passphrase))
    before_export = folder / "before"
    succeeded(data_dir, "log", "export", str(before_export))

    async def after(registry: Registry, authority: RegistrationAuthority) -> Certificate:
        caller = operator(registry.scope)
        await revoke(authority, caller, revoked.certificate_id, RevocationReason.KEY_COMPROMISE)
        await update_status(authority, caller, deactivated.certificate_id, CertificateStatus.INACTIVE)
        await revoke(authority, caller, deleted.certificate_id, RevocationReason.SUPERSEDED)
        await delete(authority, caller, deleted.certificate_id)
        (later,) = await issued(authority, registry, 1)
        return later

    issued_later = with_service(data_dir, after)
    export = folder / "export"
    succeeded(data_dir, "log", "export", str(export))
    return Service(
        data_dir, backup, sealed, passphrase, kept, revoked, deactivated, deleted, issued_later, export, before_export
    )


def restored(service: Service, data_dir: Path, *options: str) -> str:
    return succeeded(data_dir, "restore", str(service.backup), *options)


def refused(service: Service, data_dir: Path, *options: str) -> str:
    return failed(data_dir, "restore", str(service.backup), *options)


def state(data_dir: Path, certificate: Certificate) -> str | None:
    rows = tables_of(data_dir, None)["certificate"]
    return next((row["status"] for row in rows if row["certificate_id"] == certificate.certificate_id), None)


def test_a_service_is_the_same_after_backups_and_restores_on_both_engines(
    service: Service, tmp_path: Path, postgresql_url: str
) -> None:
    on_postgresql = ("--database-url", postgresql_url)
    told = succeeded(tmp_path / "one", "restore", str(service.sealed), *service.flags, *on_postgresql)
    assert "verified: 4 signatures of certificates, 5 leaves of the log, every key" in told
    assert "note: the keys are sealed by the backup's passphrase" in told
    assert "not known: changes after" in told
    second = tmp_path / "second.backup"
    # The keys are sealed already, and the backup needs no other passphrase.
    succeeded(tmp_path / "one", "backup", str(second), *service.flags, *on_postgresql)
    assert service.flags[1].encode() not in second.read_bytes()
    succeeded(tmp_path / "two", "restore", str(second), *service.flags)

    first, last = tables_of(tmp_path / "one", postgresql_url), tables_of(tmp_path / "two", None)
    same = first.keys() - ADDED_TO
    assert {name: first[name] for name in same} == {name: last[name] for name in same}
    assert len(first["certificate"]) == 4
    assert read_credentials(tmp_path / "two") == read_credentials(service.data_dir)
    # A checkpoint of the log's first name is one of what the log goes on from; a later one shows what was lost.
    against = ("log", "verify", *service.flags, "--against")
    assert succeeded(tmp_path / "two", *against, str(second), "--against", str(service.backup)).endswith(
        ": all of it agrees\n"
    )
    later = run(tmp_path / "two", *against, str(service.export))
    assert later.exit_code == 1
    assert "lost leaves 5 to 9 of localhost/log" in later.stdout


def test_a_changed_byte_anywhere_is_found(service: Service, tmp_path: Path) -> None:
    whole = service.backup.read_bytes()
    copy = tmp_path / "copy"
    step = 131
    for place in range(0, len(whole), step):
        copy.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BackupDamaged):
            check_backup(copy, lambda _bytes: None)
    for cut in (whole[:-1], whole[: len(whole) // 2], whole + b"\0", b"", b"another file" * 100):
        copy.write_bytes(cut)
        with pytest.raises(BackupDamaged):
            check_backup(copy, lambda _bytes: None)
    copy.write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])
    assert "was changed" in failed(tmp_path / "new", "restore", str(copy))
    assert not (tmp_path / "new").exists()
    verify = ("backup", "--verify", str(copy))
    assert "was changed" in failed(tmp_path / "new", *verify)


def test_a_backup_is_verified_with_and_without_its_passphrase(service: Service, tmp_path: Path) -> None:
    verify = ("backup", "--verify", str(service.sealed), "--passphrase-file")
    assert "its keys open, and it was made with them" in succeeded(tmp_path, *verify, str(service.passphrase))
    assert "its keys were not opened" in succeeded(tmp_path, *verify[:-1])
    told = succeeded(tmp_path / "new", "restore", str(service.sealed), *verify[-1:], str(service.passphrase))
    assert "every key" in told
    unreadable = failed(tmp_path / "other", "restore", str(service.sealed), *verify[-1:], str(tmp_path / "nothing"))
    assert "--passphrase-file cannot be read" in unreadable
    assert not (tmp_path / "other").exists()
    wrong = tmp_path / "wrong"
    wrong.write_text("falsch")
    assert "keys/" in failed(tmp_path, *verify, str(wrong))
    assert service.backup.stat().st_mode & 0o777 == 0o600


def test_a_wrong_passphrase_and_a_full_target_change_nothing(
    service: Service, tmp_path: Path, postgresql_url: str
) -> None:
    wrong, new = tmp_path / "wrong", tmp_path / "new"
    wrong.write_text("falsch")
    assert "passphrase" in failed(new, "restore", str(service.sealed), "--ca-passphrase-file", str(wrong))
    lacking = failed(new, "restore", str(service.sealed))
    assert "is sealed, and no passphrase was given: name the file" in lacking
    assert "--passphrase-file" in lacking
    assert not new.exists()
    before = tables_of(service.data_dir, None)
    assert "is not empty" in refused(service, service.data_dir)
    assert tables_of(service.data_dir, None) == before
    restored(service, new, "--database-url", postgresql_url)
    assert "its table certificate has rows" in refused(service, tmp_path / "other", "--database-url", postgresql_url)
    assert "give --account 000000000000" in refused(service, tmp_path / "third", "--account", "123456789012")


def test_keys_lie_in_the_clear_only_if_that_is_asked_for(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "clear.backup"
    assert "--unsealed-keys" in failed(service.data_dir, "backup", str(file))
    assert not file.exists()
    result = run(service.data_dir, "backup", str(file), "--unsealed-keys")
    assert "holds the keys in the clear" in result.stderr
    assert "its keys open" in succeeded(tmp_path, "backup", "--verify", str(file))
    assert b"BEGIN PRIVATE KEY" in file.read_bytes()
    assert b"BEGIN PRIVATE KEY" not in service.sealed.read_bytes()
    credentials = read_credentials(service.data_dir)
    assert credentials is not None
    assert credentials.secret_access_key.encode() not in file.read_bytes()


def test_a_revocation_list_revokes_what_was_revoked_after_the_backup(service: Service, tmp_path: Path) -> None:
    at, unknown = datetime(2031, 2, 3, tzinfo=UTC), SerialNumber(4711)

    def entries(issuer_id: str) -> list[Revocation]:
        def entry(number: SerialNumber, reason: RevocationReason) -> Revocation:
            return Revocation(issuer_id, number, reason, at, at)

        return [
            entry(service.revoked.serial_number, RevocationReason.KEY_COMPROMISE),
            entry(service.deactivated.serial_number, RevocationReason.CERTIFICATE_HOLD),
            entry(unknown, RevocationReason.UNSPECIFIED),
        ]

    file = tmp_path / "issuer.crl"
    file.write_bytes(list_of(service.data_dir, entries, number=2**45))
    data_dir = tmp_path / "new"
    told = restored(service, data_dir, "--crl", str(file))
    assert "replayed: 1 certificates revoked" in told
    assert "replayed: 1 certificates deactivated" in told
    assert f"numbers above {2**45}" in told
    assert "not known: changes after" in told
    statuses = [state(data_dir, each) for each in (service.kept, service.revoked, service.deactivated)]
    assert statuses == ["ACTIVE", "REVOKED", "INACTIVE"]
    (row,) = [row for row in tables_of(data_dir, None)["revocation"] if row["reason"] == 1]
    assert row["serial_number"] == f"{service.revoked.serial_number:x}"
    assert row["revoked_at"] == int(at.timestamp()) * 1_000_000
    noted = {row["serial_number"] for row in tables_of(data_dir, None)["revocation"]}
    assert f"{unknown:x}" in noted
    assert succeeded(data_dir, "log", "verify").endswith(": all of it agrees\n")
    file.write_bytes(list_of(tmp_path / "foreign", lambda _issuer: []))
    assert "none of the service's issuers has signed it" in refused(service, tmp_path / "third", "--crl", str(file))


@pytest.mark.parametrize("kind", ["pages", "entries"])
def test_a_log_tail_is_replayed_and_what_it_cannot_bring_back_is_listed(
    service: Service, tmp_path: Path, kind: str
) -> None:
    tail = service.export / "entries.jsonl"
    if kind == "pages":
        tail = tmp_path / "pages"
        shutil.copytree(service.export / "tile", tail / "tile")
    data_dir = tmp_path / "new"
    told = restored(service, data_dir, "--log-tail", str(tail), "--checkpoint", str(service.export / "checkpoint"))
    for outcome in ("revoked", "deactivated", "deleted"):
        assert f"replayed: 1 certificates {outcome}" in told
    assert f"missing: cert/{service.issued_later.certificate_id}" in told
    assert "leaves: the newest checkpoint" not in told
    certificates = (service.kept, service.revoked, service.deactivated, service.deleted, service.issued_later)
    assert [state(data_dir, each) for each in certificates] == ["ACTIVE", "REVOKED", "INACTIVE", None, None]
    noted = {row["serial_number"] for row in tables_of(data_dir, None)["revocation"]}
    expected = (service.revoked, service.deactivated, service.deleted, service.issued_later)
    assert noted == {f"{each.serial_number:x}" for each in expected}
    assert succeeded(data_dir, "log", "verify").endswith(": all of it agrees\n")


def test_a_tail_without_a_checkpoint_names_and_revokes_what_was_issued_after_the_backup(
    service: Service, tmp_path: Path
) -> None:
    told = restored(service, tmp_path / "new", "--log-tail", str(service.export / "entries.jsonl"))
    assert f"missing: cert/{service.issued_later.certificate_id}" in told
    (noted,) = [
        row
        for row in tables_of(tmp_path / "new", None)["revocation"]
        if row["serial_number"] == f"{service.issued_later.serial_number:x}"
    ]
    assert noted["reason"] == RevocationReason.CESSATION_OF_OPERATION.value


def test_deleted_access_keys_stay_deleted_if_the_tail_has_entries(tmp_path: Path) -> None:
    data_dir, backup, export = tmp_path / "data", tmp_path / "backup", tmp_path / "export"

    async def nothing(_registry: Registry, _authority: RegistrationAuthority) -> None:
        """Only the administrator is there."""

    with_service(data_dir, nothing)
    (tmp_path / "policy").write_text(ADMINISTRATOR_POLICY)
    policy = ("--policy", str(tmp_path / "policy"))
    created = succeeded(data_dir, "access-key", "create", "--user", "anna", *policy)
    (key_id,) = re.findall("AKIA[A-Z0-9]+", created)
    succeeded(data_dir, "backup", str(backup), "--unsealed-keys")
    succeeded(data_dir, "access-key", "delete", key_id)
    (new_id,) = re.findall("AKIA[A-Z0-9]+", succeeded(data_dir, "access-key", "create", "--user", "bea", *policy))
    succeeded(data_dir, "log", "export", str(export))

    told = succeeded(tmp_path / "new", "restore", str(backup), "--log-tail", str(export))
    assert "replayed: 1 access keys deleted" in told
    assert "missing: CreateAccessKey arn:aws:iam::000000000000:user/bea" in told
    assert "missing: 1 times CreateAccessKey" in told
    assert "DeleteAccessKey" not in told
    left = {row["access_key_id"] for row in tables_of(tmp_path / "new", None)["access_key"]}
    assert not left & {key_id, new_id}
    assert len(left) == 1

    shutil.copytree(export / "tile", tmp_path / "pages" / "tile")
    told = succeeded(tmp_path / "other", "restore", str(backup), "--log-tail", str(tmp_path / "pages"))
    assert "missing: 1 times DeleteAccessKey" in told
    assert key_id in {row["access_key_id"] for row in tables_of(tmp_path / "other", None)["access_key"]}


def told_line(**changed: object) -> str:
    """Return an exported line of leaf 5, which follows the backup."""
    line = {
        "index": 5,
        "position": 6,
        "salt": "00" * 16,
        "at": 1,
        "account": "000000000000",
        "region": "us-east-1",
        "principal_arn": "arn",
        "source_address": "",
        "request_id": "",
        "action": "UpdateCertificate",
        "resource": f"arn:aws:iot:us-east-1:000000000000:cert/{'ab' * 32}",
        "detail": '{"status":"REVOKED"}',
    }
    return json.dumps(line | changed)


@pytest.mark.parametrize(
    "line",
    [
        told_line(detail='{"status":"REVOKED","issuer_id":"ISSUER","serial_number":"xyz"}'),
        told_line(detail='{"status":"INACTIVE","issuer_id":"ISSUER","serial_number":""}'),
        told_line(at=10**30, detail='{"status":"REVOKED","issuer_id":"ISSUER","serial_number":"1f"}'),
        told_line(at="now", detail='{"status":"REVOKED"}'),
        told_line(salt="zz"),
        told_line(index=None, position=None),
        told_line(index="5.5"),
        told_line(detail=7),
        "[" * 100_000,
        "\ud800",
        "",
        "null",
    ],
    ids=range(12),
)
def test_a_tail_that_nobody_has_exported_ends_the_restore_with_a_reason(
    service: Service, tmp_path: Path, line: str
) -> None:
    issuer_id = service.kept.issuer_id
    assert issuer_id is not None
    tail = tmp_path / "tail"
    tail.write_text(line.replace("ISSUER", issuer_id) + "\n", encoding="utf-8", errors="surrogatepass")
    result = run(tmp_path / "new", "restore", str(service.backup), "--log-tail", str(tail))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    if result.exit_code == 0:
        assert state(tmp_path / "new", service.kept) == "ACTIVE"
    else:
        assert str(tail) in result.stderr
    # What was refused is begun anew without it.
    if result.exit_code:
        restored(service, tmp_path / "new")


def test_leaves_that_are_missing_are_counted(service: Service, tmp_path: Path) -> None:
    newest = ("--checkpoint", str(service.export / "checkpoint"))
    told = restored(service, tmp_path / "one", *newest)
    assert "missing: 5 leaves: the newest checkpoint has 10, the backup has 5" in told
    part = tmp_path / "part.jsonl"
    lines = (service.export / "entries.jsonl").read_text().splitlines(keepends=True)
    part.write_text("".join(lines[:8]))
    told = restored(service, tmp_path / "two", *newest, "--log-tail", str(part))
    assert "missing: 2 leaves: the newest checkpoint has 10, the backup has 5, the log tail ends with leaf 7" in told
    # No checkpoint covers the tail's end: it takes rights away all the same.
    assert state(tmp_path / "two", service.revoked) == "REVOKED"


def test_with_the_newest_checkpoint_nothing_is_missing_and_the_log_keeps_its_name(
    service: Service, tmp_path: Path
) -> None:
    told = restored(service, tmp_path / "new", "--checkpoint", str(service.before_export))
    assert "nothing is missing" in told
    verified = succeeded(tmp_path / "new", "log", "verify", "--against", str(service.backup))
    assert verified.endswith("localhost/log: 5 leaves and 4 certificates compared: all of it agrees\n")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda lines: [*lines[:6], *lines[7:]], "leaf 6 is missing before leaf 7"),
        (lambda lines: [*lines[:6], lines[6].replace("UpdateCertificate", "Update"), *lines[7:]], "are not those of"),
    ],
)
def test_a_log_tail_that_does_not_go_on_from_the_backup_is_refused(
    service: Service, tmp_path: Path, spoil: Callable[[list[str]], list[str]], reason: str
) -> None:
    part = tmp_path / "part.jsonl"
    part.write_text("".join(spoil((service.export / "entries.jsonl").read_text().splitlines(keepends=True))))
    options = ("--log-tail", str(part), "--checkpoint", str(service.export / "checkpoint"))
    assert reason in refused(service, tmp_path / "new", *options)
    # What was refused is begun anew by the next restore, and nothing starts on it before.
    assert "a restore into" in failed(tmp_path / "new", "log", "checkpoint")
    restored(service, tmp_path / "new")
    assert state(tmp_path / "new", service.kept) == "ACTIVE"


def test_a_backup_that_was_cut_off_is_named_and_a_second_one_at_once_is_refused(
    service: Service, tmp_path: Path
) -> None:
    data_dir = Path(shutil.copytree(service.data_dir, tmp_path / "data"))
    leftover = tmp_path / ".yesterday.backup-unfinished"
    leftover.write_bytes(b"half of it")
    result = run(data_dir, "backup", str(tmp_path / "today"), "--unsealed-keys")
    assert result.exit_code == 0
    assert f"{leftover} is of a backup that was cut off" in result.stderr
    (data_dir / SQLITE_FILE_NAME).write_bytes(b"no database")
    before = (tmp_path / "today").read_bytes()
    failed(data_dir, "backup", str(tmp_path / "today"), "--unsealed-keys")
    assert (tmp_path / "today").read_bytes() == before


def test_a_checkpoint_of_another_history_is_refused(service: Service, tmp_path: Path) -> None:
    async def forked(registry: Registry, _authority: RegistrationAuthority) -> str:
        return (await open_log_of(registry)).checkpoint(TreeHead(3, bytes(32)))

    file = tmp_path / "checkpoint"
    file.write_text(with_service(service.data_dir, forked))
    assert "its history is another one" in refused(service, tmp_path / "new", "--checkpoint", str(file))
    file.write_text("no checkpoint")
    assert "is not a checkpoint" in refused(service, tmp_path / "new", "--checkpoint", str(file))


def test_a_registry_that_was_changed_behind_the_service_is_not_restored(service: Service, tmp_path: Path) -> None:
    data_dir, file = Path(shutil.copytree(service.data_dir, tmp_path / "data")), tmp_path / "changed.backup"
    with closing(sqlite3.connect(data_dir / SQLITE_FILE_NAME)) as database, database:
        database.execute("UPDATE certificate SET status = 'ACTIVE' WHERE status = 'REVOKED'")
        database.execute("UPDATE certificate SET der = x'00' WHERE status = 'INACTIVE'")
    succeeded(data_dir, "backup", str(file), "--unsealed-keys")
    told = failed(tmp_path / "new", "restore", str(file))
    assert f"certificate {service.revoked.certificate_id} of account" in told
    assert "its status is ACTIVE" in told
    finding = f"certificate {service.deactivated.certificate_id}: it is another certificate than its id says"
    assert finding in told
    assert "a restore into" in failed(tmp_path / "new", "log", "checkpoint")
    # After a disaster, a service with a changed row may be better than none.
    assert f"accepted: {finding}\n" in succeeded(tmp_path / "new", "restore", str(file), "--accept-findings")


@pytest.mark.parametrize("spoilt", ["policy", "path"])
def test_a_backup_that_somebody_without_the_keys_has_made_is_refused(
    service: Service, tmp_path: Path, spoilt: str
) -> None:
    with service.backup.open("rb") as file:
        found = list(members(file))
    *contents, manifest, sealed, _ = found
    (place,) = [number for number, each in enumerate(contents) if each.name == "tables/access_key/00000001.jsonl.gz"]
    if spoilt == "policy":
        text = gzip.decompress(contents[place].content).replace(b"Allow", b"Allou")
        contents[place] = Member(contents[place].name, gzip.compress(text))
        before = json.loads(manifest.content)
        (table,) = [each for each in before["tables"] if each["name"] == "access_key"]
        table["sha256"] = hashlib.sha256(contents[place].content).hexdigest()
        manifest = Member(manifest.name, json.dumps(before).encode())
    else:
        contents.insert(place, Member("keys/../../escaped.key", b"key"))
    digest = hashlib.sha256(manifest.content + sealed.content).hexdigest()
    file_name = tmp_path / "forged.backup"
    with file_name.open("wb") as file:
        for each in (*contents, manifest, sealed, Member("manifest.sha256", f"{digest}\n".encode())):
            write_member(file, each)
        write_end(file)
    told = failed(tmp_path / "new", "restore", str(file_name))
    assert ("manifest.sealed is of another backup" if spoilt == "policy" else "is not a file that a backup") in told
    assert not (tmp_path / "new").exists()


def test_a_second_backup_to_one_file_is_refused_while_the_first_one_runs(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "thingmint.backup"
    with (tmp_path / f".{file.name}.backup-unfinished").open("wb") as running:
        lock(running.fileno())
        assert "is running" in failed(service.data_dir, "backup", str(file), "--unsealed-keys")
    assert not file.exists()


def test_a_registry_whose_entries_were_archived_is_restored_with_and_without_the_archive(
    service: Service, tmp_path: Path
) -> None:
    data_dir, file, archive = tmp_path / "data", tmp_path / "pruned.backup", tmp_path / "archive.jsonl"
    shutil.copytree(service.data_dir, data_dir)

    async def work(registry: Registry, _authority: RegistrationAuthority) -> None:
        def program() -> Steps[None]:
            for number in range(260):
                arn = f"arn:aws:iot:us-east-1:000000000000:thing/lamp-{number}"
                yield from append_audit(audit_entry(operator(registry.scope), registry.clock.now(), "CreateThing", arn))

        await registry.store.write(program)

    with_service(data_dir, work)
    succeeded(data_dir, "audit", "prune", "--before", "2100-01-01", "--archive", str(archive))
    succeeded(data_dir, "backup", str(file), "--unsealed-keys")
    told = succeeded(tmp_path / "one", "restore", str(file))
    assert "note: 4 certificates have no leaf that can be read" in told
    told = succeeded(tmp_path / "two", "restore", str(file), "--archive", str(archive))
    assert "no leaf that can be read" not in told


def test_a_key_in_a_token_is_named_and_not_needed_for_the_restore(service: Service, tmp_path: Path) -> None:
    data_dir, file = Path(shutil.copytree(service.data_dir, tmp_path / "data")), tmp_path / "token.backup"
    uri = "pkcs11:token=factory;object=issuer;id=%01"
    with closing(sqlite3.connect(data_dir / SQLITE_FILE_NAME)) as database, database:
        database.execute("UPDATE issuer SET key_place = 'TOKEN', token_uri = ? WHERE status = 'ACTIVE'", (uri,))
    succeeded(data_dir, "backup", str(file), "--unsealed-keys")
    told = succeeded(tmp_path / "new", "restore", str(file))
    assert f"note: the key of an issuer is in a token, which must be there at the start: {uri}" in told
