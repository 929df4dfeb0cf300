"""`thingmint issue` as a process: killed, interrupted, left alone by its service, and resumed to exactly its number."""

import csv
import json
import os
import random
import signal
import ssl
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from tests.support.certificates.user_ca import new_ca
from tests.support.clients.client import client_of, create_keys, listed_ids
from tests.support.machine.soak import examples
from tests.support.services.forked import Process, run_thingmint, start_thingmint
from tests.support.services.service import Service, running_service, start_service
from tests.support.services.small_disk import fill, small_disk  # noqa: F401  a fixture is found by name

from thingmint.core.identifiers import certificate_id_of

pytestmark = pytest.mark.soak
COUNT = examples(12, 400)
KILLS = examples(4, 40)
ENDS_WITHIN = 120.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that other certificates are in already."""
    with running_service(tmp_path_factory.mktemp("issue") / "data", key_reserve=0) as service:
        create_keys(client_of(service))
        yield service


def start(data_dir: Path, out: Path, *options: str, count: int = COUNT) -> Process:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "THINGMINT_"))}
    # To start another process that makes keys costs more than a few keys gain by it.
    own["THINGMINT_KEY_WORKERS"] = "1"
    given = ("--data-dir", str(data_dir), "--count", str(count), "--out", str(out), *options)
    return start_thingmint("issue", *given, environment=own)


def finish(process: Process) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=ENDS_WITHIN)
    return process.wait(), out, without_what_the_machine_decides(err)


def without_what_the_machine_decides(err: str) -> str:
    """Return the lines without progress, which long jobs have, and without processes for keys that had to wait."""
    lines = err.splitlines(keepends=True)
    return "".join(line for line in lines if " issuing: " not in line and "(it has stopped answering)" not in line)


def issue(data_dir: Path, out: Path, *options: str, count: int = COUNT) -> tuple[int, str, str]:
    return finish(start(data_dir, out, *options, count=count))


def wait_for_certificates(out: Path, count: int, process: Process) -> None:
    while len(list(out.glob("*.cert.pem"))) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)  # files set no event


def assert_complete(out: Path, registered: set[str], count: int = COUNT) -> None:
    """Assert that the folder, its manifests and the registry's part tell of the same identities, each of them once."""
    entries = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    with (out / "manifest.csv").open(newline="") as file:
        told = [{name: "" if value is None else str(value) for name, value in each.items()} for each in entries]
        assert told == list(csv.DictReader(file))
    assert [entry["index"] for entry in entries] == list(range(1, count + 1))
    assert len({entry["public_key_sha256"] for entry in entries}) == count
    assert {entry["certificate_id"] for entry in entries} == registered
    for entry in entries:
        key_file, certificate_file = out / entry["private_key_file"], out / entry["certificate_file"]
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        der = certificate.public_bytes(serialization.Encoding.DER)
        assert certificate_id_of(der) == entry["certificate_id"]
        # The library's examination of an RSA key takes longer than its making. Tests of keys have it.
        key = serialization.load_pem_private_key(key_file.read_bytes(), None, unsafe_skip_rsa_key_validation=True)
        assert key.public_key() == certificate.public_key()
    names = {path.name for path in out.iterdir()}
    expected = {entry[name] for entry in entries for name in ("private_key_file", "certificate_file")}
    assert names == expected | {"job.json", "issuers.pem", "manifest.csv", "manifest.jsonl"}


def new_ids(service: Service, before: list[str]) -> set[str]:
    ids = listed_ids(client_of(service))
    assert len(set(ids)) == len(ids)
    return set(ids) - set(before)


def test_one_run_issues_all(service: Service, tmp_path: Path) -> None:
    before = listed_ids(client_of(service))
    code, out, err = issue(service.data_dir, tmp_path / "out", "--active")
    assert (code, err) == (0, "")
    assert out == f"{COUNT} identities in {tmp_path / 'out'} (manifest.csv, manifest.jsonl)\n"
    assert_complete(tmp_path / "out", new_ids(service, before))
    # Another run of the same command has nothing to do.
    code, out, err = issue(service.data_dir, tmp_path / "out", "--active")
    assert (code, err) == (0, "")
    assert_complete(tmp_path / "out", new_ids(service, before))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_at_any_moment_and_resumed(service: Service, tmp_path: Path, number: signal.Signals) -> None:
    before = listed_ids(client_of(service))
    moments = random.Random(int(number))
    for kill in range(KILLS):
        process = start(service.data_dir, tmp_path / "out")
        # Some before the first certificate, the others among the certificates.
        if kill:
            wait_for_certificates(tmp_path / "out", kill * (COUNT - 4) // KILLS, process)
        time.sleep(moments.uniform(0.0, 0.1))  # the moment is what is varied; no event stands for it
        process.send_signal(number)
        code, _, err = finish(process)
        # Before its first line the interpreter, or what reads the command line, says that it was interrupted.
        early = code == 1 and ("KeyboardInterrupt" in err or err.strip() == "Aborted!")
        assert early or code in ({-number, 130, 0} if kill else {-number, 130}), err
        if code == 130 and err != "Interrupted.\n":
            assert "Run the same command again to resume in" in err
    code, _, err = issue(service.data_dir, tmp_path / "out")
    assert (code, err) == (0, "")
    assert_complete(tmp_path / "out", new_ids(service, before))


def test_service_is_killed_under_way_and_comes_back(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    service = start_service(data_dir, key_reserve=0)
    port = f"127.0.0.1:{service.endpoints.api_port}"
    process = start(data_dir, tmp_path / "out")
    wait_for_certificates(tmp_path / "out", COUNT // 2, process)
    service.kill()
    service = start_service(data_dir, "--api", port, key_reserve=0)
    try:
        assert finish(process)[0] == 0
        assert_complete(tmp_path / "out", new_ids(service, []))
    finally:
        service.close_clients()
        service.terminate()


def test_service_that_is_stuck_or_stays_away_ends_the_run_and_the_next_one_resumes(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    service = start_service(data_dir, key_reserve=0)
    process = start(data_dir, tmp_path / "out")
    wait_for_certificates(tmp_path / "out", 4, process)
    service.process.send_signal(signal.SIGSTOP)
    time.sleep(0.3)  # until every request is under way; a stopped service tells nothing
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    code, _, err = finish(process)
    # The client would have waited for its answers for a minute, and longer on a busy machine.
    assert time.monotonic() - began < 55
    assert code == 130
    assert f"Interrupted. Run the same command again to resume in {tmp_path / 'out'}." in err
    service.process.send_signal(signal.SIGCONT)

    process = start(data_dir, tmp_path / "out", "--patience", "0.5")
    wait_for_certificates(tmp_path / "out", COUNT // 2, process)
    service.kill()
    code, _, err = finish(process)
    assert code == 1
    assert "the service does not answer" in err
    assert f"Run the same command again to resume in {tmp_path / 'out'}." in err

    with running_service(data_dir, key_reserve=0) as service:
        assert issue(data_dir, tmp_path / "out")[0] == 0
        assert_complete(tmp_path / "out", new_ids(service, []))


def test_a_service_that_is_not_verified_is_not_called_again(service: Service, tmp_path: Path) -> None:
    other, missing = tmp_path / "other.pem", tmp_path / "missing.pem"
    other.write_bytes(new_ca().certificate.public_bytes(serialization.Encoding.PEM))
    for ca_file, words in (
        (other, "the service's certificate is not accepted: unable to get local issuer certificate. AWS_CA_BUNDLE"),
        (missing, f"the CA file {missing} cannot be used: No such file or directory"),
    ):
        environment = service.environment | {"AWS_CA_BUNDLE": str(ca_file)}
        options = ("--out", str(tmp_path / ca_file.stem), "--patience", "3600")
        code, _, err = finish(start_thingmint("issue", *options, environment=environment))
        assert (code, words in err) == (1, True), err


def test_patience_covers_the_first_call(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    service = start_service(data_dir, key_reserve=0)
    port = f"127.0.0.1:{service.endpoints.api_port}"
    # Killed, it leaves behind where it was.
    service.kill()
    process = start(data_dir, tmp_path / "out", count=3)
    while not (tmp_path / "out").exists():
        time.sleep(0.005)  # files set no event
    service = start_service(data_dir, "--api", port, key_reserve=0)
    try:
        assert finish(process)[0] == 0
        assert_complete(tmp_path / "out", new_ids(service, []), 3)
    finally:
        service.close_clients()
        service.terminate()
    service = start_service(data_dir, "--api", port, key_reserve=0)
    service.kill()
    code, _, err = issue(data_dir, tmp_path / "other", "--patience", "0", count=1)
    assert code == 1
    assert err == (
        f"thingmint: the service does not answer ({port}: Connection refused). "
        f"Run the same command again to resume in {tmp_path / 'other'}.\n"
    )


def test_a_data_directory_that_is_named_falls_through_to_no_other_service(tmp_path: Path) -> None:
    with running_service(tmp_path / "data", key_reserve=0) as service:
        command = ("issue", "--count", "1", "--out", str(tmp_path / "out"))
        typo = ("--data-dir", str(tmp_path / "typo"))
        mistyped = run_thingmint(*command, *typo, environment=service.environment)
        assert mistyped.returncode == 1
        assert f"no service is running on {tmp_path / 'typo'}" in mistyped.stderr
        assert listed_ids(client_of(service)) == []
        simulated = run_thingmint("fleet", "simulate", "--devices", "1", *typo, environment=service.environment)
        assert simulated.returncode == 1
        assert f"no service is running on {tmp_path / 'typo'}" in simulated.stderr
        # Without a name, the variables say where; and that is told.
        asked = run_thingmint(*command, environment=service.environment)
        assert asked.returncode == 0
        assert asked.stderr == f"The service is {service.endpoints.api}, from AWS_ENDPOINT_URL_IOT.\n"
        assert len(listed_ids(client_of(service))) == 1


def test_offline_needs_no_service_and_shares_its_registry(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    process = start(data_dir, tmp_path / "out", "--offline")
    wait_for_certificates(tmp_path / "out", COUNT // 3, process)
    process.kill()
    finish(process)
    code, _, err = issue(data_dir, tmp_path / "out", "--offline", count=COUNT // 2)
    assert code == 1
    assert f"begun for {COUNT} identities, which is more than {COUNT // 2}" in err
    with running_service(data_dir) as service:
        code, _, err = issue(data_dir, tmp_path / "out", "--offline")
        assert code == 1
        assert f"is in use by thingmint serve (process {service.process.pid})" in err
        # What was begun without a service may be ended with one, and grow on the way.
        assert issue(data_dir, tmp_path / "out", count=COUNT + 3)[0] == 0
        assert_complete(tmp_path / "out", new_ids(service, []), COUNT + 3)


def test_folder_of_another_service_is_refused(service: Service, tmp_path: Path) -> None:
    assert issue(service.data_dir, tmp_path / "out", count=2)[0] == 0
    with running_service(tmp_path / "other") as other:
        code, _, err = issue(other.data_dir, tmp_path / "out", count=3)
        assert code == 1
        assert "was begun with another service, account or region" in err
        assert listed_ids(client_of(other)) == []


def test_folder_is_worked_in_by_one_run_at_a_time(service: Service, tmp_path: Path) -> None:
    before = listed_ids(client_of(service))
    first = start(service.data_dir, tmp_path / "out")
    wait_for_certificates(tmp_path / "out", 1, first)
    # It stands still until the other has been refused, however long that takes on this machine.
    first.send_signal(signal.SIGSTOP)
    try:
        code, _, err = issue(service.data_dir, tmp_path / "out")
    finally:
        first.send_signal(signal.SIGCONT)
    assert code == 1
    assert "another run is working in" in err
    assert finish(first)[0] == 0
    assert_complete(tmp_path / "out", new_ids(service, before))


def test_full_disk_in_the_folder_is_named_and_freed_space_resumes(
    service: Service,
    small_disk: Path,  # noqa: F811  the fixture
) -> None:
    before = listed_ids(client_of(service))
    out, ballast = small_disk / "out", small_disk / "ballast"
    process = start(service.data_dir, out)
    wait_for_certificates(out, 4, process)
    fill(ballast)
    code, _, err = finish(process)
    assert code == 1
    assert "No space left on device" in err
    assert f"Run the same command again to resume in {out}." in err
    ballast.unlink()
    assert issue(service.data_dir, out)[0] == 0
    assert_complete(out, new_ids(service, before))


@pytest.mark.parametrize("kind", ["file", "read-only"])
def test_folder_that_cannot_be_written_is_named(service: Service, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "taken" / "out"
    if kind == "file":
        (tmp_path / "taken").write_text("")
    else:
        out = Path("/proc/thingmint-identities")
    before = listed_ids(client_of(service))
    code, _, err = issue(service.data_dir, out, count=1)
    assert code == 1
    assert err.startswith("thingmint: ")
    assert "Traceback" not in err
    assert listed_ids(client_of(service)) == before


def test_service_that_is_not_there_is_named(tmp_path: Path) -> None:
    code, _, err = issue(tmp_path / "data", tmp_path / "out", count=1)
    assert code == 1
    assert "no service is running on" in err


def test_certificates_chain_to_the_authority_that_brokers_get(service: Service, tmp_path: Path) -> None:
    assert issue(service.data_dir, tmp_path / "out", count=2)[0] == 0
    for path in sorted((tmp_path / "out").glob("*.cert.pem")):
        verified = subprocess.run(
            ["openssl", "verify", "-CAfile", str(service.data_dir / "device-ca.pem"), str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert verified.returncode == 0, verified.stderr
    # A device's certificate and key fit together for TLS as they lie in the folder.
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
        tmp_path / "out" / "000001.cert.pem", tmp_path / "out" / "000001.key.pem"
    )
