"""Bulk registration through AWS's SDK: a file of devices, progress, reports, errors and cancellation."""

import json
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from tests.support.clients.aws import ClientOf, IoT, Live, allow, policy, refusal_of
from tests.support.registration.bulk import BUCKET, KEY, TEMPLATE, write_input
from tests.support.registration.provisioning import ROLE_ARN

pytestmark = pytest.mark.engines

RUNNING = {"InProgress", "Cancelling"}
ENDED_WITHIN_SECONDS = 120
DEVICES = 120


def devices(live: Live, prefix: str, count: int = DEVICES) -> list[dict[str, str]]:
    return [{"Name": f"{prefix}-{number}", "Serial": str(number)} for number in range(count)]


def start(iot: IoT, **parameters: object) -> str:
    given = {"templateBody": TEMPLATE, "inputFileBucket": BUCKET, "inputFileKey": KEY, "roleArn": ROLE_ARN}
    return str(iot.start_thing_registration_task(**given | parameters)["taskId"])


def ended(iot: IoT, task_id: str) -> dict[str, Any]:
    """Return the task when it has come to its end; a client has no other way to learn of that than to ask."""
    tick = threading.Event()
    for _ in range(ENDED_WITHIN_SECONDS * 10):
        task: dict[str, Any] = iot.describe_thing_registration_task(taskId=task_id)
        if task["status"] not in RUNNING:
            return task
        tick.wait(0.1)
    raise AssertionError(f"the task is still {task['status']}")


def report(iot: IoT, task_id: str, kind: str) -> list[dict[str, Any]]:
    pages = iot.get_paginator("list_thing_registration_task_reports").paginate(taskId=task_id, reportType=kind)
    links = [link for page in pages for link in page["resourceLinks"]]
    texts = [Path(unquote(urlsplit(link).path)).read_text() for link in links]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def test_a_file_of_devices_is_registered_and_reported(live: Live, iot: IoT) -> None:
    write_input(live.registration_dir, [*devices(live, "bulk"), "garbage", {"Serial": "no name"}], live.account)
    task_id = start(iot)

    task = ended(iot, task_id)

    assert (task["status"], task["successCount"], task["failureCount"], task["percentageProgress"]) == (
        "Completed",
        DEVICES,
        2,
        100,
    )
    results, errors = report(iot, task_id, "RESULTS"), report(iot, task_id, "ERRORS")
    assert [each["lineNumber"] for each in results] == list(range(1, DEVICES + 1))
    assert results[0]["response"]["resourceArns"]["thing"].endswith(":thing/bulk-0")
    assert [each["errorMessage"] for each in errors] == [
        f"line {DEVICES + 1}, column 1: the line is not JSON: a value is expected, not 'g'",
        "Cannot resolve reference value: Name",
    ]
    assert task_id in iot.list_thing_registration_tasks(status="Completed")["taskIds"]


def test_one_task_runs_at_a_time_and_is_stopped(live: Live, iot: IoT) -> None:
    write_input(live.registration_dir, devices(live, "stopped", 20_000), live.account)
    task_id = start(iot)
    with pytest.raises(iot.exceptions.TaskAlreadyExistsException):
        start(iot)
    iot.stop_thing_registration_task(taskId=task_id)

    task = ended(iot, task_id)

    assert task["status"] == "Cancelled"
    assert task["successCount"] == len(report(iot, task_id, "RESULTS")) < 20_000
    assert refusal_of(iot.stop_thing_registration_task, taskId="missing").name == "ResourceNotFoundException"
    assert refusal_of(iot.describe_thing_registration_task, taskId="missing").status == 404


def test_requests_are_answered_while_a_task_runs(live: Live, iot: IoT) -> None:
    write_input(live.registration_dir, devices(live, "busy", 20_000), live.account)
    task_id = start(iot)
    answered = [iot.create_keys_and_certificate()["certificateId"] for _ in range(10)]
    still_running = iot.describe_thing_registration_task(taskId=task_id)["status"]
    iot.stop_thing_registration_task(taskId=task_id)

    assert len(set(answered)) == 10
    assert still_running == "InProgress"
    assert ended(iot, task_id)["status"] == "Cancelled"


def test_what_cannot_be_begun_is_refused(live: Live, client_of: ClientOf) -> None:
    iot = client_of(live, parameter_validation=False)
    write_input(live.registration_dir, [], live.account)
    for parameters in (
        {"templateBody": "{}"},
        {"inputFileKey": "../data/thingmint.toml"},
        {"inputFileBucket": "..."},
        {"inputFileBucket": "missing"},
        {"roleArn": "x"},
    ):
        refusal = refusal_of(start, iot=iot, **parameters)
        assert (refusal.name, refusal.status) == ("InvalidRequestException", 400)
    key = live.create_access_key(policy(allow("iot:ListThingRegistrationTasks")))
    limited = client_of(live, key)
    assert limited.list_thing_registration_tasks()["taskIds"] == iot.list_thing_registration_tasks()["taskIds"]
    refusal = refusal_of(start, iot=limited)
    assert (refusal.name, refusal.status) == ("AccessDeniedException", 403)
