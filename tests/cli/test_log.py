"""`thingmint log` and `thingmint audit prune`: what an operator and an auditor do with the log."""

import asyncio
import base64
import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.support.databases.log import sealer_of
from tests.support.services.backup import NoKeys, failed, run, succeeded

from thingmint.cli.settings import config_of
from thingmint.core.audit_entry import audit_entry
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.transparency.checkpoint import key_of_text, read_checkpoint
from thingmint.core.transparency.merkle import leaf_hash, verify_inclusion
from thingmint.data_directory.files import written_alone
from thingmint.issuance.encoding.pem import certificate_pem
from thingmint.records.audit import append_audit
from thingmint.records.steps import Steps
from thingmint.registration.certificates.issuing import issue
from thingmint.service.authority import registration_authority
from thingmint.service.opening import open_registry, registry_beside_service
from thingmint.service.start.first_credentials import operator
from thingmint.storage import SQLITE_FILE_NAME


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Certificate]:
    """A registry with a certificate and 600 more entries, an hour apart from 2026 on."""
    path = tmp_path_factory.mktemp("log") / "data"

    async def work() -> Certificate:
        async with open_registry(config_of({"data_dir": str(path)})) as registry:
            authority = registration_authority(registry, NoKeys())
            caller = operator(registry.scope)
            key = ec.generate_private_key(ec.SECP256R1()).public_key()
            made = await issue(authority, caller, "CreateCertificateFromCsr", key, None, CertificateStatus.ACTIVE)

            def program() -> Steps[None]:
                for number in range(600):
                    arn = f"arn:aws:iot:us-east-1:000000000000:thing/lamp-{number}"
                    yield from append_audit(audit_entry(caller, made.created_at, "CreateThing", arn, name="lamp"))

            await registry.store.write(program)
            return made

    return path, asyncio.run(work())


@pytest.fixture
def data_dir(filled: tuple[Path, Certificate], tmp_path: Path) -> Path:
    """A copy of that registry."""
    return Path(shutil.copytree(filled[0], tmp_path / "data"))


@pytest.fixture
def certificate(filled: tuple[Path, Certificate]) -> Certificate:
    """The certificate in it."""
    return filled[1]


def change(data_dir: Path, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(data_dir / SQLITE_FILE_NAME)) as database, database:
        database.execute(sql)


def test_the_checkpoint_is_signed_by_the_key_that_is_printed(data_dir: Path) -> None:
    key = key_of_text(succeeded(data_dir, "log", "checkpoint", "--key"))
    checkpoint = read_checkpoint(succeeded(data_dir, "log", "checkpoint"), key)
    assert (checkpoint.head.size, key.origin) == (601, "localhost/log")


def test_a_certificate_is_proven_by_its_id_and_by_its_file(
    data_dir: Path, certificate: Certificate, tmp_path: Path
) -> None:
    pem = tmp_path / "certificate.pem"
    pem.write_text(certificate_pem(certificate.der))
    text = succeeded(data_dir, "log", "prove", certificate.certificate_id)
    assert succeeded(data_dir, "log", "prove", str(pem)) == text
    head, _, checkpoint = text.partition("\n\n")
    version, extra, index, *hashes = head.splitlines()
    assert (version, index) == ("c2sp.org/tlog-proof@v1", "index 0")
    leaf = base64.b64decode(extra.removeprefix("extra "))
    assert json.loads(leaf)["subject"] == f"cert/{certificate.certificate_id}"
    key = key_of_text(succeeded(data_dir, "log", "checkpoint", "--key"))
    tree = read_checkpoint(checkpoint, key).head
    verify_inclusion(leaf_hash(leaf), 0, tree.size, list(map(base64.b64decode, hashes)), tree.root)


def test_a_proof_in_json_has_the_leaf_in_the_clear(data_dir: Path, certificate: Certificate) -> None:
    (proof,) = json.loads(succeeded(data_dir, "log", "prove", certificate.certificate_id, "--json"))
    assert proof["leaf"]["facts"]["status"] == "ACTIVE"
    assert proof["proof"].startswith("c2sp.org/tlog-proof@v1\n")


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("0" * 64, "has no leaf of"),
        ("nothing.pem", "neither the id of a certificate nor a file"),
        ("key.pem", "The PEM block is not labelled CERTIFICATE"),
    ],
)
def test_what_cannot_be_proven_is_told(data_dir: Path, tmp_path: Path, named: str, reason: str) -> None:
    public_key = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "key.pem").write_bytes(public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    given = named if len(named) == 64 else str(tmp_path / named)
    assert reason in failed(data_dir, "log", "prove", given)


def test_a_registry_that_nobody_has_changed_verifies(data_dir: Path) -> None:
    succeeded(data_dir, "log", "checkpoint")
    assert succeeded(data_dir, "log", "verify").endswith(": 601 leaves and 1 certificates compared: all of it agrees\n")
    shown = json.loads(succeeded(data_dir, "log", "verify", "--json"))
    assert (shown["size"], shown["findings"], shown["waiting"]) == (601, [], 0)


def test_a_row_that_was_changed_is_named_and_ends_with_1(data_dir: Path, certificate: Certificate) -> None:
    change(data_dir, "UPDATE certificate SET status = 'REVOKED'")
    result = run(data_dir, "log", "verify")
    assert result.exit_code == 1
    first, *_, last = result.stdout.splitlines()
    assert first.startswith(
        f"certificate {certificate.certificate_id} of account 000000000000 in us-east-1: was changed"
    )
    assert last.endswith("1 findings")


@pytest.mark.parametrize("form", ["checkpoint", "export", "copy", "directory"])
def test_an_earlier_state_is_compared_in_each_of_its_forms(data_dir: Path, tmp_path: Path, form: str) -> None:
    earlier = tmp_path / form
    if form == "checkpoint":
        earlier.write_text(succeeded(data_dir, "log", "checkpoint"))
    elif form == "export":
        succeeded(data_dir, "log", "export", str(earlier))
    else:
        succeeded(data_dir, "log", "checkpoint")
        shutil.copytree(data_dir, earlier)
        earlier = earlier / SQLITE_FILE_NAME if form == "copy" else earlier
    succeeded(data_dir, "log", "verify", "--against", str(earlier))
    for table in ("log_tile", "log_bundle"):
        change(data_dir, f"DELETE FROM {table}")
    change(data_dir, "UPDATE log_state SET size = 0, position = 0")
    change(data_dir, "DELETE FROM audit WHERE position = 7")
    succeeded(data_dir, "log", "checkpoint")
    result = run(data_dir, "log", "verify", "--against", str(earlier))
    assert result.exit_code == 1
    assert "the log: was cut: it has 600 leaves, a checkpoint was of 601" in result.stdout


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a checkpoint"),
        (b"\xff", "neither a checkpoint nor a copy of a SQLite database"),
        (b"SQLite format 3\x00", "not a readable database with a log"),
        (None, "holds neither a checkpoint nor thingmint.sqlite"),
    ],
)
def test_what_is_no_earlier_state_is_refused(
    data_dir: Path, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    earlier = tmp_path / "earlier"
    if content is None:
        earlier.mkdir()
    else:
        earlier.write_bytes(content)
    assert reason in failed(data_dir, "log", "verify", "--against", str(earlier))


def test_a_database_without_a_log_is_no_earlier_state(filled: tuple[Path, Certificate], data_dir: Path) -> None:
    change(data_dir, "DELETE FROM log_state")
    copy = data_dir / "copy.sqlite"
    with contextlib.closing(sqlite3.connect(data_dir / SQLITE_FILE_NAME)) as database:
        database.execute("VACUUM INTO ?", (str(copy),))
    assert "a database without a log" in failed(filled[0], "log", "verify", "--against", str(copy))


def test_an_export_goes_into_a_new_folder(data_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    assert succeeded(data_dir, "log", "export", str(folder)) == f"{folder}: 601 leaves\n"
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint",
        "entries.jsonl",
        "key",
        "registry.jsonl",
        "tile",
    ]
    assert "exists already" in failed(data_dir, "log", "export", str(folder))


def test_a_log_that_was_sealed_with_another_key_is_not_opened(data_dir: Path) -> None:
    succeeded(data_dir, "log", "checkpoint")
    foreign = sealer_of().seal(bytes(64), "the log's key and the secret of its salts").hex()
    change(data_dir, f"UPDATE log_state SET sealed_secret = X'{foreign}'")
    assert "sealed with another key" in failed(data_dir, "log", "checkpoint")


def test_old_entries_are_archived_and_removed_and_the_log_still_verifies(data_dir: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive.jsonl"
    assert "nothing was removed" in succeeded(data_dir, "audit", "prune", "--before", "1d", "--archive", str(archive))
    assert not archive.exists()
    arguments = ("audit", "prune", "--before", "2999-01-01", "--archive", str(archive))
    assert succeeded(data_dir, *arguments) == f"{archive}: leaves 0 to 511; their entries were removed\n"
    assert archive.stat().st_mode & 0o777 == 0o600
    assert len(archive.read_text().splitlines()) == 512
    assert "exists already" in failed(data_dir, *arguments)
    shown = [json.loads(line) for line in succeeded(data_dir, "audit", "--json", "--limit", "1000").splitlines()]
    assert len(shown) == 90
    assert (shown[0]["action"], shown[0]["detail"]["last_leaf"]) == ("PruneAuditTrail", "511")
    output = succeeded(data_dir, "log", "verify", "--archive", str(archive))
    assert "note: the entries of 512 leaves were archived and removed from the audit trail" in output
    assert "note: 1 entries have no leaf yet" in output
    assert "cannot be compared" in run(data_dir, "log", "verify").stdout


def test_an_archive_that_another_process_is_writing_is_not_replaced(data_dir: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive.jsonl"
    arguments = ("audit", "prune", "--before", "2999-01-01", "--archive", str(archive))
    with written_alone(archive):
        assert f"{archive}: another process is writing it" in failed(data_dir, *arguments)
    assert list(tmp_path.glob("*archive*")) == []
    assert len(succeeded(data_dir, "audit", "--json", "--limit", "1000").splitlines()) == 601


def test_an_archive_that_cannot_be_written_removes_nothing(data_dir: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "archive.jsonl"
    assert "No such file" in failed(data_dir, "audit", "prune", "--before", "2999-01-01", "--archive", str(missing))
    change(data_dir, "UPDATE audit SET action = 'another' WHERE position = 100")
    archive = tmp_path / "archive.jsonl"
    message = failed(data_dir, "audit", "prune", "--before", "2999-01-01", "--archive", str(archive))
    assert "the entry of leaf 99 is not the one that was logged" in message.lower()
    assert list(tmp_path.glob("*archive*")) == []
    assert len(succeeded(data_dir, "audit", "--json", "--limit", "1000").splitlines()) == 601


def test_archives_that_are_not_archives_are_refused(data_dir: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive.jsonl"
    archive.write_text("nothing\n")
    succeeded(data_dir, "log", "checkpoint")
    change(data_dir, "DELETE FROM audit WHERE position = 5")
    message = failed(data_dir, "log", "verify", "--archive", str(archive))
    assert "not one of the audit trail's export" in message


def test_entries_are_found_by_their_terms_and_the_newest_without(data_dir: Path) -> None:
    succeeded(data_dir, "log", "checkpoint")

    async def one_more() -> None:
        async with registry_beside_service(config_of({"data_dir": str(data_dir)})) as registry:
            arn = "arn:aws:iot:us-east-1:000000000000:thing/lamp-7"
            entry = audit_entry(operator(registry.scope), registry.clock.now(), "DeleteThing", arn)
            await registry.store.write(lambda: append_audit(entry))

    asyncio.run(one_more())

    def actions(*arguments: str) -> list[str]:
        lines = succeeded(data_dir, "audit", "--json", "--limit", "1000", *arguments).splitlines()
        return [json.loads(line)["action"] for line in lines]

    assert actions("--resource", "arn:aws:iot:us-east-1:000000000000:thing/lamp-7") == ["DeleteThing", "CreateThing"]
    assert len(actions("--principal", "arn:aws:iam::000000000000:user/operator")) == 602
    assert actions("--action", "CREATECERTIFICATEfromcsr") == ["CreateCertificateFromCsr"]
    assert actions("--resource", "arn:aws:iot:us-east-1:000000000000:thing/lamp-7", "--until", "1d") == []


def test_csv_has_a_line_of_names_and_no_formulas(data_dir: Path) -> None:
    change(data_dir, "UPDATE audit SET request_id = '=1+1' WHERE position = 601")
    names, newest = succeeded(data_dir, "audit", "--csv", "--limit", "1").splitlines()
    assert names == "at,account,region,principal,source_address,request_id,action,resource,detail"
    assert newest.split(",")[5] == "'=1+1"
    assert newest.endswith('"{""name"": ""lamp""}"')
