"""`thingmint issue --from` as a process: killed on either side, resumed to exactly its rows; offline stations, too."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.test_issue import without_what_the_machine_decides
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.client import client_of, listed_ids
from tests.support.machine.soak import examples
from tests.support.services.forked import Process, run_thingmint, start_thingmint
from tests.support.services.service import Service, running_service, start_service
from tests.support.services.small_disk import fill, small_disk  # noqa: F401  a fixture is found by name

from thingmint.cli.connection import SignedClient

pytestmark = pytest.mark.soak
COUNT = examples(24, 300)
KILLS = examples(4, 30)
ENDS_WITHIN = 180.0
DOCUMENT = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'
# Runs with RSA keys are interrupted where they are counted: in test_issue.
FAST_KEYS = ("--key-type", "ec-p256")
LABELS = ("--batch", "B-17", "--operator", "ann", "--station", "line-2")


def set_up(client: SignedClient) -> None:
    """Create what the rows name."""
    client.call("POST", "/policies/fleet", {}, {"policyDocument": DOCUMENT})
    client.call("POST", "/thing-types/sensor", {}, {})
    client.call("POST", "/thing-groups/hall-1", {}, {})


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a policy, a type and a group."""
    with running_service(tmp_path_factory.mktemp("devices") / "data", key_reserve=0) as service:
        set_up(client_of(service))
        yield service


def names_of(label: str, count: int = COUNT) -> list[str]:
    return [f"{label}-{number:04d}" for number in range(1, count + 1)]


def write_list(path: Path, names: list[str]) -> Path:
    rows = [f"{name},sensor,hall-1,fleet,{'CN=' + name},site-{number}" for number, name in enumerate(names)]
    path.write_text("\n".join(["thing,type,groups,policy,subject,attribute.site", *rows, ""]))
    return path


def start(data_dir: Path, listed: Path, out: Path, *options: str) -> Process:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "THINGMINT_"))}
    # To start another process that makes keys costs more than a few keys gain by it.
    own["THINGMINT_KEY_WORKERS"] = "1"
    given = ("--data-dir", str(data_dir), "--from", str(listed), "--out", str(out), "--active", *options)
    return start_thingmint("issue", *given, environment=own)


def finish(process: Process) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=ENDS_WITHIN)
    return process.wait(), out, without_what_the_machine_decides(err)


def run(*arguments: str, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "THINGMINT_"))}
    return run_thingmint(*arguments, environment=environment or own, timeout=ENDS_WITHIN)


def wait_for_devices(out: Path, count: int, process: Process) -> None:
    journal = out / "journal.jsonl"
    while not journal.exists() or journal.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)  # files set no event


def assert_complete(service: Service, out: Path, names: list[str]) -> None:
    """Assert that manifest, files and registry tell of the same devices, each whole and each of them once."""
    client = client_of(service)
    entries = {each["thing"]: each for each in map(json.loads, (out / "manifest.jsonl").read_text().splitlines())}
    assert list(entries) == names
    for number, name in enumerate(names):
        entry = entries[name]
        thing = client.call("GET", f"/things/{name}", {})
        assert thing["attributes"] == {"site": f"site-{number}"}
        assert thing["thingTypeName"] == "sensor"
        assert client.call("GET", f"/things/{name}/principals", {})["principals"] == [entry["certificate_arn"]]
        groups = client.call("GET", f"/things/{name}/thing-groups", {})["thingGroups"]
        assert [group["groupName"] for group in groups] == ["hall-1"]  # type: ignore[attr-defined]  # a list
        arn = entry["certificate_arn"].replace(":", "%3A").replace("/", "%2F")
        attached = client.call("POST", f"/attached-policies/{arn}", {})["policies"]
        assert [policy["policyName"] for policy in attached] == ["fleet"]  # type: ignore[attr-defined]  # a list
        assert entry["subject"] == f"CN={name}"
    verified = run("issue", "--verify", str(out))
    assert (verified.returncode, verified.stderr) == (0, "")
    assert f"{len(names)} identities, all well" in verified.stdout


def test_one_run_issues_every_row_and_tells_who_made_them(service: Service, tmp_path: Path) -> None:
    before, names = listed_ids(client_of(service)), names_of("one")
    listed = write_list(tmp_path / "devices.csv", names)
    options = (*FAST_KEYS, *LABELS)
    tried = run("issue", "--data-dir", str(service.data_dir), "--from", str(listed), "--dry-run")
    assert (tried.returncode, tried.stdout.partition(" devices ")[0]) == (0, f"{COUNT} of {COUNT}")
    assert listed_ids(client_of(service)) == before
    code, out, err = finish(start(service.data_dir, listed, tmp_path / "out", *options))
    assert (code, err) == (0, "")
    assert out == f"{COUNT} devices in {tmp_path / 'out'} (manifest.csv, manifest.jsonl)\n"
    assert_complete(service, tmp_path / "out", names)
    assert len(listed_ids(client_of(service))) == len(before) + COUNT
    shown = run("audit", "--data-dir", str(service.data_dir), "--json", "--limit", "2").stdout.splitlines()
    for entry in map(json.loads, shown):
        told = entry["detail"]
        assert (told["batch"], told["operator"], told["station"]) == ("B-17", "ann", "line-2")
    # A second dry run says that all of it is there, of every row because it writes no errors.csv.
    tried = run("issue", "--data-dir", str(service.data_dir), "--from", str(listed), "--dry-run")
    assert tried.returncode == 1
    assert tried.stderr.count(": the thing exists already\n") == COUNT


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_at_any_moment_and_resumed(service: Service, tmp_path: Path, number: signal.Signals) -> None:
    before, names = listed_ids(client_of(service)), names_of(f"kill-{int(number)}")
    listed, out, moments = write_list(tmp_path / "devices.csv", names), tmp_path / "out", random.Random(int(number))
    for kill in range(KILLS):
        process = start(service.data_dir, listed, out, *FAST_KEYS)
        if kill:
            wait_for_devices(out, kill * (COUNT - 4) // KILLS, process)
        time.sleep(moments.uniform(0.0, 0.1))  # the moment is what is varied; no event stands for it
        process.send_signal(number)
        finish(process)
    code, _, err = finish(start(service.data_dir, listed, out, *FAST_KEYS))
    assert (code, err) == (0, "")
    assert_complete(service, out, names)
    assert len(listed_ids(client_of(service))) == len(before) + COUNT


def test_service_is_killed_under_way_and_comes_back(tmp_path: Path) -> None:
    data_dir, names = tmp_path / "data", names_of("back")
    service = start_service(data_dir, key_reserve=0)
    port = f"127.0.0.1:{service.endpoints.api_port}"
    set_up(client_of(service))
    listed = write_list(tmp_path / "devices.csv", names)
    process = start(data_dir, listed, tmp_path / "out", *FAST_KEYS)
    for kill in range(1, 4):
        wait_for_devices(tmp_path / "out", kill * COUNT // 5, process)
        service.close_clients()
        service.kill()
        service = start_service(data_dir, "--api", port, key_reserve=0)
    try:
        code, _, err = finish(process)
        assert code == 0
        assert {line.partition(" (")[0] for line in err.splitlines()} == {"the service does not answer"}
        assert all(line.endswith(": trying again for 60 seconds") for line in err.splitlines())
        assert_complete(service, tmp_path / "out", names)
        assert len(listed_ids(client_of(service))) == COUNT
    finally:
        service.close_clients()
        service.terminate()


def test_full_disk_in_the_folder_is_named_and_freed_space_resumes(
    service: Service,
    tmp_path: Path,
    small_disk: Path,  # noqa: F811  the fixture
) -> None:
    before, names = listed_ids(client_of(service)), names_of("disk")
    listed, out, ballast = write_list(tmp_path / "devices.csv", names), small_disk / "out", small_disk / "ballast"
    process = start(service.data_dir, listed, out, *FAST_KEYS)
    wait_for_devices(out, 4, process)
    fill(ballast)
    code, _, err = finish(process)
    assert code == 1
    assert "No space left on device" in err
    assert f"Run the same command again to resume in {out}." in err
    ballast.unlink()
    assert finish(start(service.data_dir, listed, out, *FAST_KEYS))[0] == 0
    assert_complete(service, out, names)
    assert len(listed_ids(client_of(service))) == len(before) + COUNT


def test_secure_elements_and_the_other_flags(service: Service, tmp_path: Path) -> None:
    requests = tmp_path / "requests"
    requests.mkdir()
    for kind, name in {"p-256": "se-1", "p-384": "se-2"}.items():
        (requests / f"{name}.csr").write_text(csr_pem(kind))
    data = ("--data-dir", str(service.data_dir), "--out", str(tmp_path / "out"))
    given = ("--csr-dir", str(requests), "--type", "sensor", "--group", "hall-1", "--policy", "fleet")
    done = run("issue", *data, *given, "--name", "{station}-{thing}", *LABELS)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (tmp_path / "out").glob("*.pem")} == {
        "issuers.pem",
        "line-2-se-1.cert.pem",
        "line-2-se-2.cert.pem",
    }
    assert run("issue", "--verify", str(tmp_path / "out")).returncode == 0
    (requests / "leaked.key").write_text("x")
    refused = run("issue", *data, *given)
    assert refused.returncode == 1
    assert "holds private keys: leaked.key" in refused.stderr
    for wrong in (
        ("--csr-dir", str(requests), "--key-type", "ec-p256"),
        ("--count", "2", "--format", "der"),
        ("--count", "2", "--csr-dir", str(requests)),
        ("--from", str(tmp_path / "none.csv")),
        ("--from", str(requests / "se-1.csr"), "--format", "p12"),
        ("--from", str(requests / "se-1.csr"), "--name", "../{thing}"),
        ("--from", str(requests / "se-1.csr"), "--batch", "x\ny"),
    ):
        refused = run("issue", *data, *wrong)
        assert refused.returncode in (1, 2), wrong
        assert "Traceback" not in refused.stderr


def test_names_of_files_that_are_no_text_are_told_without_commands_for_the_terminal(
    service: Service, tmp_path: Path
) -> None:
    requests = tmp_path / "requests"
    requests.mkdir()
    for name in (b"se-3.csr", b"\xff.csr", b"\x1b]0;x\x07.csr", b"a\nb.csr"):
        Path(os.fsdecode(os.fsencode(requests) + b"/" + name)).write_text(csr_pem("p-256"))
    data = ("--data-dir", str(service.data_dir), "--out", str(tmp_path / "out"))
    done = run("issue", *data, "--csr-dir", str(requests))
    assert done.returncode == 1
    assert "1 device in" in done.stdout
    assert "3 rows were refused" in done.stderr
    assert "Traceback" not in done.stderr
    assert not set("\x1b\x07") & set(done.stderr)
    assert "\\udcff" in (tmp_path / "out" / "errors.csv").read_text()


def test_counted_identities_have_types_of_keys_and_tell_who_made_them(service: Service, tmp_path: Path) -> None:
    data = ("--data-dir", str(service.data_dir), "--out", str(tmp_path / "out"))
    done = run("issue", *data, "--count", "2", "--key-type", "ec-p384", "--active", *LABELS)
    assert (done.returncode, done.stderr) == (0, "")
    entries = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert {(each["batch"], each["operator"], each["station"]) for each in entries} == {("B-17", "ann", "line-2")}
    for entry in entries:
        found = client_of(service).call("GET", f"/certificates/{entry['certificate_id']}", {})
        assert found["certificateDescription"]["status"] == "ACTIVE"  # type: ignore[index]  # a description
    told = run("audit", "--data-dir", str(service.data_dir), "--json", "--limit", "1").stdout
    assert json.loads(told)["detail"]["station"] == "line-2"
    refused = run("issue", *data, "--from", str(write_list(tmp_path / "d.csv", ["x-1"])))
    assert "belongs to a run that issued by --count" in refused.stderr


def test_offline_station_is_imported_once_however_often(tmp_path: Path) -> None:
    names, out, station = names_of("off", 6), tmp_path / "out", tmp_path / "station"
    listed = write_list(tmp_path / "devices.csv", names)
    offline = ("--offline", "--for-import", *FAST_KEYS, *LABELS)
    process = start(station, listed, out, *offline)
    wait_for_devices(out, 2, process)
    process.kill()
    finish(process)
    code, _, err = finish(start(station, listed, out, *offline))
    assert (code, err) == (0, "")
    assert run("issue", "--verify", str(out)).returncode == 0
    # Private keys do not leave the station.
    for key in out.glob("*.key.pem"):
        key.unlink()
    with running_service(tmp_path / "central", key_reserve=0) as central:
        set_up(client_of(central))
        command = ("import", "--data-dir", str(central.data_dir), str(out))
        refused = run(*command)
        assert refused.returncode == 1
        assert "the station's CA is not registered" in refused.stderr
        assert listed_ids(client_of(central)) == []
        shown = json.loads(run("issuer", "show", "--data-dir", str(station), "--json").stdout)
        (sha256,) = [each["sha256"] for each in shown if each.get("status") == "ACTIVE"]
        first = run(*command, "--register-ca", sha256)
        assert (first.returncode, first.stderr) == (0, "")
        assert first.stdout == "6 of 6 identities are in the registry\n"
        ids = listed_ids(client_of(central))
        told = run("audit", "--data-dir", str(central.data_dir), "--json", "--limit", "1").stdout
        assert json.loads(told)["detail"]["batch"] == "B-17"
        again = run(*command)
        assert (again.returncode, again.stderr) == (0, "")
        assert listed_ids(client_of(central)) == ids
        client = client_of(central)
        # What was changed meanwhile stays, and what differs is named.
        client.call("PUT", f"/certificates/{ids[0]}", {"newStatus": "INACTIVE"})
        client.call("PATCH", "/things/off-0002", {}, {"attributePayload": {"attributes": {"site": "moved"}}})
        third = run(*command)
        assert third.returncode == 1
        assert "thing off-0002: " in third.stderr
        assert "5 of 6 identities are in the registry; 1 conflicts, which changed nothing" in third.stderr
        described = client.call("GET", f"/certificates/{ids[0]}", {})["certificateDescription"]
        assert described["status"] == "INACTIVE"  # type: ignore[index]  # a description
        entries = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
        assert sorted(each["certificate_id"] for each in entries) == sorted(ids)


def test_two_stations_with_the_same_name_are_named_at_import(tmp_path: Path) -> None:
    with running_service(tmp_path / "central", key_reserve=0) as central:
        set_up(client_of(central))
        for station in ("a", "b"):
            listed = write_list(tmp_path / f"{station}.csv", ["shared-1", f"own-{station}"])
            out = tmp_path / f"out-{station}"
            done = finish(start(tmp_path / station, listed, out, "--offline", "--for-import", "--station", station))
            assert done[0] == 0, done
            shown = json.loads(run("issuer", "show", "--data-dir", str(tmp_path / station), "--json").stdout)
            (sha256,) = [each["sha256"] for each in shown if each.get("status") == "ACTIVE"]
            brought = run("import", "--data-dir", str(central.data_dir), str(out), "--register-ca", sha256)
            if station == "a":
                assert (brought.returncode, brought.stderr) == (0, "")
            else:
                assert brought.returncode == 1
                assert "thing shared-1: ConflictingResourceUpdateException" in brought.stderr
                assert "own-b" not in brought.stderr
        names = [each["thingName"] for each in client_of(central).call("GET", "/things", {})["things"]]  # type: ignore[attr-defined]  # a list
        assert sorted(names) == ["own-a", "own-b", "shared-1"]
        assert len(listed_ids(client_of(central))) == 3
