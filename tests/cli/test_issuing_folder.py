"""The output folder of a job: what is written, how it is protected, and what is refused."""

import csv
import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from tests.support.certificates.signers import at_once
from tests.support.registration.authority import shared_issuers

from thingmint.cli.issuing.folder import Folder, FolderRefused, Job
from thingmint.core.identifiers import SerialNumber, certificate_id_of
from thingmint.issuance.keys.key_pairs import KeyPair, load_public_key

PREFIX = "arn:aws:iot:us-east-1:000000000000:cert/"
JOB = Job(2, active=True, fence=("ab" * 32,), arn_prefix=PREFIX, batch="B-17", operator="ann", station="line 2")


def der_for(key_pair: KeyPair, serial_number: int) -> bytes:
    issuer = shared_issuers().active
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    number = SerialNumber((1 << 100) + serial_number)
    return at_once(issuer.issue(issuer.prepare(load_public_key(key_pair.public_key_der), number, now, None)))


@pytest.fixture
def folder(tmp_path: Path, key_pairs: tuple[KeyPair, ...]) -> Folder:
    """A folder with two identities."""
    folder = Folder(tmp_path / "out")
    with folder.held():
        folder.write_job(JOB)
        for index in (1, 2):
            folder.write_key(index, key_pairs[index].private_key_pem)
            folder.write_certificate(index, der_for(key_pairs[index], 0xABC0 + index))
    return folder


def test_private_keys_can_be_read_by_their_owner_only(folder: Folder) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()}
    assert modes == {
        "job.json": 0o600,
        "000001.key.pem": 0o600,
        "000001.cert.pem": 0o644,
        "000002.key.pem": 0o600,
        "000002.cert.pem": 0o644,
    }
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_both_manifests_list_every_identity(folder: Folder, key_pairs: tuple[KeyPair, ...]) -> None:
    entries = folder.write_manifest(JOB)
    lines = [json.loads(line) for line in (folder.path / "manifest.jsonl").read_text().splitlines()]
    with (folder.path / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{name: str(value) for name, value in line.items()} for line in lines] == rows
    assert [entry.index for entry in entries] == [1, 2]
    der = der_for(key_pairs[1], 0xABC1)
    certificate_id = folder.certificate_id(1)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key_pairs[1].public_key_der)
    assert lines[0] == {
        "index": 1,
        "certificate_id": certificate_id,
        "certificate_arn": PREFIX + certificate_id,
        "certificate_file": "000001.cert.pem",
        "private_key_file": "000001.key.pem",
        "serial_number": f"{(1 << 100) + 0xABC1:x}",
        "not_before": "2026-01-02T03:02:05+00:00",
        "not_after": "2049-12-31T23:59:59+00:00",
        "public_key_sha256": digest.finalize().hex(),
        "status": "ACTIVE",
        "batch": "B-17",
        "operator": "ann",
        "station": "line 2",
    }
    assert len(certificate_id) == len(certificate_id_of(der)) == 64


def test_manifest_refuses_a_key_that_is_not_the_certificates(folder: Folder, key_pairs: tuple[KeyPair, ...]) -> None:
    folder.key_file(2).write_bytes(key_pairs[3].private_key_pem)
    with pytest.raises(FolderRefused, match=r"000002\.key\.pem is not the key of 000002\.cert\.pem"):
        folder.write_manifest(JOB)


def test_folder_is_held_by_one_run(folder: Folder) -> None:
    with folder.held():
        with pytest.raises(FolderRefused, match="another run is working in"), Folder(folder.path).held():
            pytest.fail("it was let in")
        assert folder.read_job() == JOB
    with Folder(folder.path).held():
        assert folder.in_doubt() == []


def test_what_a_cut_off_write_left_is_removed(folder: Folder) -> None:
    leftover = folder.path / ".000003.key.pem.0123456789abcdef"
    leftover.write_text("a private key that nothing refers to")
    with folder.held():
        assert not leftover.exists()
    assert len(list(folder.path.iterdir())) == 5


def test_identities_without_a_job_are_refused(folder: Folder) -> None:
    (folder.path / "job.json").unlink()
    with pytest.raises(FolderRefused, match=r"holds identities but no job\.json: choose another folder"):
        folder.read_job()
    for path in folder.path.glob("*.key.pem"):
        path.unlink()
    with pytest.raises(FolderRefused, match="choose another folder"):
        folder.read_job()
    for path in folder.path.glob("*.cert.pem"):
        path.unlink()
    assert folder.read_job() is None


@pytest.mark.parametrize("content", ["", "[]", '{"count":1}', '{"count":"x","active":true,"fence":[]}'])
def test_job_that_cannot_be_read_is_refused(folder: Folder, content: str) -> None:
    (folder.path / "job.json").write_text(content)
    with pytest.raises(FolderRefused, match=r"job\.json cannot be read"):
        folder.read_job()


def test_job_of_another_version_is_refused(folder: Folder) -> None:
    (folder.path / "job.json").write_text('{"count":1,"active":true,"fence":[],"version":2}')
    with pytest.raises(FolderRefused, match="another version of Thingmint"):
        folder.read_job()


def test_certificate_without_its_key_is_refused(folder: Folder) -> None:
    folder.key_file(2).unlink()
    with pytest.raises(FolderRefused, match=r"000002\.key\.pem is missing"):
        folder.read_job()


def test_damaged_files_are_named(folder: Folder) -> None:
    folder.certificate_file(1).write_text("")
    with pytest.raises(FolderRefused, match=r"000001\.cert\.pem holds no certificate"):
        folder.certificate_id(1)
    folder.key_file(1).write_text("junk")
    with pytest.raises(FolderRefused, match=r"000001\.key\.pem holds no private key that can be read"):
        folder.read_key(1)
    folder.key_file(1).write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(FolderRefused, match=r"000001\.key\.pem is neither an RSA nor an ECDSA key"):
        folder.read_key(1)


def test_foreign_files_are_left_alone(folder: Folder) -> None:
    for name in ("notes.txt", "abcdef.key.pem", "1.key.pem", "0000001.key.pem"):
        (folder.path / name).write_text("")
    with folder.held():
        assert folder.read_job() == JOB
        assert folder.without_key(3) == [3]
        assert folder.in_doubt() == []
    assert (folder.path / "notes.txt").exists()
