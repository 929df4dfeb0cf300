"""Devices go to AWS IoT and come from there: judged by AWS's CLI, with a second Thingmint in the place of AWS."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.test_issue_devices import run, set_up, write_list
from tests.support.clients.client import client_of, listed_ids
from tests.support.services.forked import programs
from tests.support.services.service import Service, running_service

NAMES = ["sensor-1", "sensor-2", "sensor-3"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a fleet: three devices, a bare thing, a certificate without thing, and a revoked one."""
    folder = tmp_path_factory.mktemp("source")
    with running_service(folder / "data", key_reserve=0) as service:
        client = client_of(service)
        set_up(client)
        client.call("POST", "/thing-groups/hall-1-row-2", {}, {"parentGroupName": "hall-1"})
        arn = str(client.call("GET", "/thing-groups/hall-1", {})["thingGroupArn"])
        client.call("PUT", "/target-policies/fleet", {}, {"target": arn})
        listed = write_list(folder / "devices.csv", NAMES)
        data = ("--data-dir", str(service.data_dir))
        done = run(
            "issue", *data, "--from", str(listed), "--out", str(folder / "out"), "--active", "--key-type", "ec-p256"
        )
        assert done.returncode == 0, done.stderr
        more = run("issue", *data, "--count", "2", "--out", str(folder / "more"), "--key-type", "ec-p256")
        assert more.returncode == 0, more.stderr
        client.call("PUT", f"/certificates/{listed_ids(client)[0]}", {"newStatus": "REVOKED"})
        client.call("POST", "/things/bare", {}, {"attributePayload": {"attributes": {"empty": "hands"}}})
        yield service


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Service]:
    """An empty service in the place of AWS IoT, in another account and region."""
    buckets = tmp_path / "buckets"
    (buckets / "210987654321" / "devices").mkdir(parents=True)
    account = ("--account", "210987654321", "--region", "eu-central-1")
    with running_service(tmp_path / "target", *account, "--registration-dir", str(buckets), key_reserve=0) as service:
        yield service


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service in which no test changes anything."""
    with running_service(tmp_path_factory.mktemp("empty") / "data", key_reserve=0) as service:
        yield service


def shell(service: Service, script: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a script of POSIX's shell with AWS's CLI on the path."""
    path = os.pathsep.join((str(programs()), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    environment = service.environment | {"PATH": path, "AWS_PAGER": "", **variables}
    return subprocess.run(
        ["/bin/sh", "-euc", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def export(source: Service, out: Path, *options: str) -> None:
    account = ("--aws-account", "210987654321", "--aws-region", "eu-central-1")
    done = run("export", "aws", "--data-dir", str(source.data_dir), "--out", str(out), *account, *options)
    assert done.returncode == 0, done.stderr
    assert "4 things and 5 certificates in" in done.stdout


def registry(service: Service) -> dict[str, Any]:
    """Return all that the export is about, without accounts, regions and dates."""
    client = client_of(service)
    told: dict[str, Any] = {}
    for thing in client.call("GET", "/things", {})["things"]:  # type: ignore[attr-defined]  # a list
        name = thing["thingName"]
        principals = client.call("GET", f"/things/{name}/principals", {})["principals"]
        groups = client.call("GET", f"/things/{name}/thing-groups", {})["thingGroups"]
        told[name] = (
            thing.get("thingTypeName"),
            thing["attributes"],
            sorted(arn.rpartition("/")[2] for arn in principals),  # type: ignore[attr-defined]  # a list
            sorted(group["groupName"] for group in groups),  # type: ignore[attr-defined]  # a list
        )
    for certificate_id in listed_ids(client):
        described: Any = client.call("GET", f"/certificates/{certificate_id}", {})["certificateDescription"]
        arn = described["certificateArn"].replace(":", "%3A").replace("/", "%2F")
        policies: Any = client.call("POST", f"/attached-policies/{arn}", {})["policies"]
        told[certificate_id] = described["status"], sorted(policy["policyName"] for policy in policies)
    told["policy"] = client.call("GET", "/policies/fleet", {})["policyDocument"]
    child = client.call("GET", "/thing-groups/hall-1-row-2", {})
    told["parent"] = child["thingGroupMetadata"]["parentGroupName"]  # type: ignore[index]  # an object
    arn = str(client.call("GET", "/thing-groups/hall-1", {})["thingGroupArn"]).replace(":", "%3A").replace("/", "%2F")
    attached: Any = client.call("POST", f"/attached-policies/{arn}", {})["policies"]
    told["group policies"] = [policy["policyName"] for policy in attached]
    return told


@pytest.mark.parametrize("way", ["without-ca", "ca", "verified ca"])
def test_script_makes_aws_know_the_same_devices_once(
    source: Service, target: Service, tmp_path: Path, way: str
) -> None:
    options: tuple[str, ...] = ()
    if way == "verified ca":
        code = shell(target, "aws iot get-registration-code --query registrationCode --output text", tmp_path)
        options = ("--registration-code", code.stdout.strip())
    export(source, tmp_path / "export", *options)
    # A second run changes nothing.
    for _ in range(2 if way == "ca" else 1):
        done = shell(target, f"sh export/register.sh {way.rpartition(' ')[2]}", tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "done\n"
    assert registry(target) == registry(source)
    cas: Any = json.loads(shell(target, "aws iot list-ca-certificates", tmp_path).stdout)["certificates"]
    assert len(cas) == (0 if way == "without-ca" else 1)
    if cas:
        described = shell(
            target, f"aws iot describe-ca-certificate --certificate-id {cas[0]['certificateId']}", tmp_path
        )
        mode = json.loads(described.stdout)["certificateDescription"]["certificateMode"]
        assert mode == ("DEFAULT" if way == "verified ca" else "SNI_ONLY")


def test_bulk_file_registers_the_same_devices(source: Service, target: Service, tmp_path: Path) -> None:
    export(source, tmp_path / "export")
    bucket = tmp_path / "buckets" / "210987654321" / "devices"
    (bucket / "bulk").mkdir()
    for file in (tmp_path / "export" / "bulk").iterdir():
        (bucket / "bulk" / file.name).write_bytes(file.read_bytes())
    role = "arn:aws:iam::210987654321:role/registration"
    done = shell(target, "sh export/register.sh bulk", tmp_path, BUCKET="devices", ROLE_ARN=role)
    assert (done.returncode, done.stderr) == (0, "")
    wait = """
    for id in $(aws iot list-thing-registration-tasks --query 'taskIds[]' --output text); do
        until [ "$(aws iot describe-thing-registration-task --task-id "$id" --query status --output text)" = Completed ]
        do sleep 0.2; done
        aws iot describe-thing-registration-task --task-id "$id" --query successCount --output text
    done"""
    assert shell(target, wait, tmp_path).stdout == "3\n"
    assert registry(target) == registry(source)


def test_export_holds_no_private_key_and_goes_into_empty_folders_only(source: Service, tmp_path: Path) -> None:
    export(source, tmp_path / "export")
    files = [path for path in (tmp_path / "export").rglob("*") if path.is_file()]
    assert files
    assert not any(b"PRIVATE KEY" in path.read_bytes() for path in files)
    again = run("export", "aws", "--data-dir", str(source.data_dir), "--out", str(tmp_path / "export"))
    assert again.returncode == 1
    assert "is not empty" in again.stderr
    wrong = run(
        "export", "aws", "--data-dir", str(source.data_dir), "--out", str(tmp_path / "x"), "--registration-code", "a/b"
    )
    assert wrong.returncode == 1
    assert "the registration code is what" in wrong.stderr


def test_inventory_of_awss_cli_is_imported_once(source: Service, target: Service, tmp_path: Path) -> None:
    (tmp_path / "inventory.sh").write_text(run("export", "inventory-script").stdout)
    for _ in range(2):
        read = shell(source, "sh inventory.sh inventory", tmp_path)
        assert (read.returncode, read.stderr) == (0, "")
    command = ("import", "aws", str(tmp_path / "inventory"), "--data-dir", str(target.data_dir))
    for _ in range(2):
        brought = run(*command)
        assert (brought.returncode, brought.stderr) == (0, "")
        assert "4 things and 5 certificates were read, 0 conflicts" in brought.stdout
    assert registry(target) == registry(source)
    client = client_of(target)
    client.call("PATCH", "/things/sensor-1", {}, {"attributePayload": {"attributes": {"site": "moved"}}})
    client.call("POST", "/policies/fleet/version", {"setAsDefault": "true"}, {"policyDocument": _OTHER})
    conflicts = run(*command)
    assert conflicts.returncode == 1
    assert "policy fleet: it exists with another document" in conflicts.stderr
    assert "thing sensor-1: it exists with another type or other attributes" in conflicts.stderr
    assert "2 conflicts, which changed nothing" in conflicts.stderr


_OTHER = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"iot:*","Resource":"*"}]}'


def test_inventory_that_is_not_whole_is_named_and_changes_nothing(empty: Service, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory"
    for folder in ("policies", "groups", "certificates", "things"):
        (inventory / folder).mkdir(parents=True)
    (inventory / "thing-types.json").write_text('{"thingTypes": []}')
    (inventory / "things.json").write_text('{"things": [')
    command = ("import", "aws", str(inventory), "--data-dir", str(empty.data_dir))
    assert "things.json is no JSON: was the inventory interrupted?" in run(*command).stderr
    (inventory / "things.json").unlink()
    assert "things.json is missing" in run(*command).stderr
    (inventory / "things.json").write_text('{"things": [{"thingName": "../../etc"}]}')
    assert "has thingName '../../etc', which is no name" in run(*command).stderr
    (inventory / "policies" / "x.json").write_text('{"policyName": "a b"}')
    assert "has policyName 'a b', which is no name" in run(*command).stderr
    assert client_of(empty).call("GET", "/things", {})["things"] == []


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("thing-types.json", '{"thingTypes": [1]}', "which is no name"),
        ("thing-types.json", '{"thingTypes": [{"thingTypeName": "a", "thingTypeProperties": [1]}]}', "is no object"),
        (
            "thing-types.json",
            '{"thingTypes": [{"thingTypeName": "a", "thingTypeProperties": {"searchableAttributes": 1}}]}',
            "that are no list",
        ),
        ("things.json", '{"things": [[]]}', "which is no name"),
        ("things.json", '{"things": [{"thingName": "a", "attributes": ["b"]}]}', "is no object"),
        ("things.json", '{"things": [{"thingName": "a", "attributes": {"b": {}}}]}', "where a text belongs"),
        ("things.json", '{"things": [{"thingName": "a", "attributes": {"b": "\\ud800"}}]}', "where a text belongs"),
        ("things.json", '{"things": [{"thingName": "a", "thingTypeName": 7}]}', "where a text belongs"),
        ("policies/p.json", '{"policyName": "p", "policyDocument": "\\udfff"}', "where a text belongs"),
        ("policies/p.json", '{"policyName": "p"}', "where a text belongs"),
        ("groups/g.json", '{"thingGroupName": "g", "thingGroupMetadata": "x"}', "is no object"),
        (
            "certificates/c.json",
            '{"certificateDescription": {"certificateId": "c", "status": "\\ud800"}}',
            "text belongs",
        ),
    ],
)
def test_inventory_of_another_shape_is_named_and_changes_nothing(
    empty: Service, tmp_path: Path, file: str, content: str, reason: str
) -> None:
    inventory = tmp_path / "inventory"
    for folder in ("policies", "groups", "certificates", "things"):
        (inventory / folder).mkdir(parents=True)
    (inventory / "thing-types.json").write_text('{"thingTypes": []}')
    (inventory / "things.json").write_text('{"things": []}')
    for name, member in (("groups/g", "policies"), ("groups/g", "things"), ("certificates/c", "policies")):
        (inventory / f"{name}.{member}.json").write_text(f'{{"{member}": []}}')
    (inventory / "certificates" / "c.things.json").write_text('{"things": []}')
    (inventory / file).write_text(content)
    refused = run("import", "aws", str(inventory), "--data-dir", str(empty.data_dir))
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert reason in refused.stderr
    assert client_of(empty).call("GET", "/things", {})["things"] == []
