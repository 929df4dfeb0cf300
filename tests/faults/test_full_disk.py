"""A full disk: creations are refused as AWS refuses, reads go on, and freed space heals without a restart."""

import json
import ssl
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.clients.aws import Live
from tests.support.clients.client import client_of, create_keys, describe, listed_ids
from tests.support.services.service import Service, running_service
from tests.support.services.small_disk import fill, small_disk  # noqa: F401  a fixture is found by name

from thingmint.cli.connection import ServiceRefused, SignedClient


def readiness(service: Service) -> int:
    context = ssl.create_default_context(cafile=service.endpoints.ca_file)
    try:
        with urllib.request.urlopen(f"{service.endpoints.api}/readyz", context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def refusal_when_full(client: SignedClient) -> ServiceRefused:
    """Create until the disk has no room left for it."""
    for _ in range(2000):
        try:
            create_keys(client)
        except ServiceRefused as refused:
            return refused
    raise AssertionError("the disk never became full")


def test_full_disk_refuses_creations_serves_reads_and_heals(
    small_disk: Path,  # noqa: F811  a fixture
    tmp_path: Path,
) -> None:
    ballast = small_disk / "ballast"
    with running_service(small_disk / "data", log_file=tmp_path / "log") as service:
        client = client_of(service)
        before = create_keys(client)
        fill(ballast)

        refused = refusal_when_full(client)
        assert (refused.status, refused.name) == (503, "ServiceUnavailableException")
        assert describe(client, before.certificate_id)["status"] == "ACTIVE"
        with_full_disk = listed_ids(client)
        assert readiness(service) == 503

        ballast.unlink()
        after = create_keys(client)
        assert readiness(service) == 200
        assert listed_ids(client) == [after.certificate_id, *with_full_disk]
        assert service.process.poll() is None
    with running_service(small_disk / "data", log_file=tmp_path / "log") as service:
        assert listed_ids(client_of(service)) == [after.certificate_id, *with_full_disk]


def test_service_on_a_full_disk_says_so_at_its_first_start(
    small_disk: Path,  # noqa: F811  a fixture
    tmp_path: Path,
) -> None:
    fill(small_disk / "ballast")
    with (
        pytest.raises(AssertionError, match=r"thingmint\.sqlite cannot be opened: database or disk is full"),
        running_service(small_disk / "data", log_file=tmp_path / "log"),
    ):
        raise AssertionError("it started")


def test_a_bulk_registration_waits_for_space_and_reports_each_line_once(
    small_disk: Path,  # noqa: F811  a fixture
    tmp_path: Path,
) -> None:
    lines, ballast = 120, small_disk / "ballast"
    bucket = small_disk / "000000000000" / "factory"
    bucket.mkdir(parents=True)
    (bucket / "devices.json").write_text("".join(f'{{"Name":"pump-{number}"}}\n' for number in range(lines)))
    body = json.dumps(
        {
            "Parameters": {"Name": {"Type": "String"}},
            "Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Name"}}}},
        }
    )
    with (
        running_service(tmp_path / "data", "--registration-dir", str(small_disk)) as service,
        closing(Live(service, None).client()) as iot,
    ):
        fill(ballast)
        task = iot.start_thing_registration_task(
            templateBody=body,
            inputFileBucket="factory",
            inputFileKey="devices.json",
            roleArn="arn:aws:iam::000000000000:role/provisioning",
        )["taskId"]
        service.wait_for_log("bulk registrations wait: a report cannot be written")
        assert iot.describe_thing_registration_task(taskId=task)["status"] == "InProgress"

        ballast.unlink()
        service.wait_for_log("the reports of bulk registrations are written again")
        described = iot.describe_thing_registration_task(taskId=task)
        while described["status"] == "InProgress":
            described = iot.describe_thing_registration_task(taskId=task)
        (report,) = iot.list_thing_registration_task_reports(taskId=task, reportType="RESULTS")["resourceLinks"]
        assert iot.list_thing_registration_task_reports(taskId=task, reportType="ERRORS")["resourceLinks"] == []
    assert (described["status"], described["successCount"], described["failureCount"]) == ("Completed", lines, 0)
    reported = [json.loads(line) for line in Path(report.removeprefix("file://")).read_text().splitlines()]
    assert [line["lineNumber"] for line in reported] == list(range(1, lines + 1))
