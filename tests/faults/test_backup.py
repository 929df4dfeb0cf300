"""Backups under load, and backups and restores that are killed or find the disk full."""

import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.clients.client import client_of, create_from_csr
from tests.support.databases.database import tables_of
from tests.support.services.backup import failed, issued, run, succeeded, with_service
from tests.support.services.forked import run_thingmint
from tests.support.services.service import running_service
from tests.support.services.small_disk import fill, small_disk  # noqa: F401  a fixture is found by name

from thingmint.service.backup.contents import rows_of_part
from thingmint.service.backup.reading import BackupReader
from thingmint.storage.sqlite.copied_tables import copied_tables, newest_version

CLIENTS = 2
BEFORE = 10
CERTIFICATES = 40

# Runs a command that is killed before the nth call of a function: MODULE FUNCTION NUMBER ARGUMENT...
KILLED = """
import importlib, os, signal, sys
module, name, number = importlib.import_module(sys.argv[1]), sys.argv[2], int(sys.argv[3])
present, calls = getattr(module, name), []
def wrapped(*arguments, **named):
    calls.append(None)
    if len(calls) == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return present(*arguments, **named)
setattr(module, name, wrapped)
from thingmint.cli.commands import main
main(sys.argv[4:])
"""
MAKING, RESTORING = "thingmint.service.backup.making", "thingmint.service.backup.restoring"


def killed(module: str, function: str, number: int, data_dir: Path, *arguments: str) -> None:
    """Run a command and kill it before this call of the function."""
    script = data_dir.with_name("killed.py")
    script.write_text(KILLED)
    words = (module, function, str(number), *arguments, "--data-dir", str(data_dir))
    ended = run_thingmint(*words, program=str(script))
    script.unlink()
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def ids_in(data_dir: Path, database_url: str | None = None) -> set[str]:
    return {row["certificate_id"] for row in tables_of(data_dir, database_url)["certificate"]}


def ids_in_backup(file: Path) -> set[str]:
    (table,) = [table for table in copied_tables(newest_version()) if table.name == "certificate"]
    with file.open("rb") as opened:
        parts = [each for each in BackupReader(opened).contents() if each.name.startswith("tables/certificate/")]
    place = table.columns.index("certificate_id")
    return {row[place] for part in parts for row in rows_of_part(table, part)}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with some certificates."""
    path = tmp_path_factory.mktemp("backup") / "data"
    with_service(path, lambda registry, authority: issued(authority, registry, CERTIFICATES))
    return path


@pytest.fixture(scope="module")
def backup(data_dir: Path) -> Path:
    """A backup of it."""
    file = data_dir.with_name("thingmint.backup")
    succeeded(data_dir, "backup", str(file), "--unsealed-keys")
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def options(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The flags that choose each engine in turn."""
    return () if request.param == "sqlite" else ("--database-url", request.getfixturevalue("postgresql_url"))


def test_all_that_was_acknowledged_before_a_backup_began_is_in_it(options: Sequence[str], tmp_path: Path) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    csr_pem = signed.public_bytes(serialization.Encoding.PEM).decode()
    acknowledged: list[str] = []
    errors: list[BaseException] = []
    ended = threading.Event()
    file = tmp_path / "thingmint.backup"
    with running_service(tmp_path / "data", *options) as service:

        def create() -> None:
            client = client_of(service)
            try:
                while not ended.is_set():
                    acknowledged.append(create_from_csr(client, csr_pem).certificate_id)
            except BaseException as error:  # noqa: BLE001  whatever it is, the test must fail with it
                errors.append(error)

        threads = [threading.Thread(target=create) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < BEFORE and not errors:
            ended.wait(0.01)
        before = set(acknowledged)
        succeeded(tmp_path / "data", "backup", str(file), "--unsealed-keys", *options)
        ended.set()
        for thread in threads:
            thread.join()
        assert not errors
    found = ids_in_backup(file)
    assert len(before) >= BEFORE
    assert before <= found <= set(acknowledged)


def test_a_backup_that_is_killed_leaves_the_old_file_and_the_next_one_succeeds(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "thingmint.backup"
    file.write_bytes(b"the old one")
    for function, number in (("write_member", 8), ("sync_directory", 1)):
        killed(MAKING, function, number, data_dir, "backup", str(file), "--unsealed-keys")
        if function == "write_member":
            assert file.read_bytes() == b"the old one"
            assert names_in(tmp_path) == {file.name, f".{file.name}.backup-unfinished"}
        else:
            # It had its name already, and was durable before.
            succeeded(tmp_path, "backup", "--verify", str(file))
    succeeded(data_dir, "backup", str(file), "--unsealed-keys")
    assert names_in(tmp_path) == {file.name}
    succeeded(tmp_path, "backup", "--verify", str(file))


def test_a_restore_that_is_killed_is_no_service_and_is_begun_anew(data_dir: Path, backup: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    points = (
        ("rows_of_part", 2),
        ("append_audit", 1),
        ("sync_directory", 1),
        ("remove_mark", 1),
    )
    for function, number in points:
        # Each begins with what the one before has left.
        killed(RESTORING, function, number, new, "restore", str(backup))
        assert "a restore into" in failed(new, "log", "checkpoint")
        assert "a restore into" in failed(new, "backup", str(tmp_path / "other"), "--unsealed-keys")
    # As if it had been killed while it wrote its mark.
    (new / ".restore-unfinished.json.0123456789abcdef").touch()
    succeeded(new, "restore", str(backup))
    assert ids_in(new) == ids_in(data_dir)
    assert not [name for name in names_in(new) if "restor" in name]
    assert succeeded(new, "log", "verify").endswith(": all of it agrees\n")


def test_a_restore_into_postgresql_that_was_committed_is_only_completed(
    data_dir: Path,
    backup: Path,
    tmp_path: Path,
    postgresql_url: str,
) -> None:
    new, options = tmp_path / "new", ("--database-url", postgresql_url)
    killed(RESTORING, "verify_signatures", 1, new, "restore", str(backup), *options)
    killed(RESTORING, "remember_storage", 1, new, "restore", str(backup), *options)
    assert "the restore that was cut off is complete" in succeeded(new, "restore", str(backup), *options)
    assert ids_in(new, postgresql_url) == ids_in(data_dir)
    assert succeeded(new, "log", "verify", *options).endswith(": all of it agrees\n")


def test_a_full_disk_leaves_the_old_backup_and_no_half_restore(
    data_dir: Path,
    backup: Path,
    small_disk: Path,  # noqa: F811  a fixture
) -> None:
    file, new, ballast = small_disk / "thingmint.backup", small_disk / "new", small_disk / "ballast"
    file.write_bytes(b"the old one")
    fill(ballast)
    assert "No space left on device" in failed(data_dir, "backup", str(file), "--unsealed-keys")
    assert file.read_bytes() == b"the old one"
    assert names_in(small_disk) == {file.name, ballast.name}

    with ballast.open("rb+") as opened:
        # Room for the files, and not for the database.
        opened.truncate(ballast.stat().st_size - (120 << 10))
    refused = run(new, "restore", str(backup))
    assert refused.exit_code == 1
    assert "full" in refused.stderr or "No space left" in refused.stderr
    assert "a restore into" in failed(new, "log", "checkpoint")
    ballast.unlink()
    succeeded(new, "restore", str(backup))
    assert ids_in(new) == ids_in(data_dir)


def test_a_full_disk_leaves_no_half_export_of_the_log(data_dir: Path, small_disk: Path) -> None:  # noqa: F811  a fixture
    ballast, out = small_disk / "ballast", small_disk / "export"
    fill(ballast)
    with ballast.open("rb+") as opened:
        # Room for the checkpoint, and not for the tiles and the entries.
        opened.truncate(ballast.stat().st_size - (16 << 10))
    assert "No space left on device" in failed(data_dir, "log", "export", str(out))
    assert names_in(small_disk) == {ballast.name}
    ballast.unlink()
    succeeded(data_dir, "log", "export", str(out))
    assert {"checkpoint", "entries.jsonl", "tile"} <= names_in(out)
    assert names_in(small_disk) == {out.name}
