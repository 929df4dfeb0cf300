"""kill -9 in the middle of a bulk registration: the next start goes on, and every line is registered and told once."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients.aws import Live
from tests.support.machine.soak import examples
from tests.support.registration.bulk import BUCKET, KEY, TEMPLATE, write_input
from tests.support.registration.provisioning import ROLE_ARN
from tests.support.services.service import start_service

from thingmint.core.provisioning.registration_task import ReportType

pytestmark = pytest.mark.long

DEVICES = examples(1000, 3000)
KILLS = examples(2, 3)
WITHIN_SECONDS = 180


def waited_for(live: Live, task_id: str, count: int) -> dict[str, Any]:
    """Return the task when so many lines are behind it; a client has no other way to learn of that than to ask."""
    client, tick = live.client(), threading.Event()
    try:
        for _ in range(WITHIN_SECONDS * 20):
            task: dict[str, Any] = client.describe_thing_registration_task(taskId=task_id)
            if task["successCount"] + task["failureCount"] >= count:
                return task
            tick.wait(0.05)
    finally:
        client.close()
    raise AssertionError(f"{task['status']} after {task['successCount']} and {task['failureCount']} lines")


@pytest.mark.soak
def test_a_task_survives_kill_after_kill(tmp_path: Path) -> None:
    root, data_dir = tmp_path / "buckets", tmp_path / "data"
    lines: list[dict[str, str] | str] = [
        {"Name": f"killed-{number}", "Serial": str(number)} if number % 10 else "garbage" for number in range(DEVICES)
    ]
    write_input(root, lines, "000000000000")
    arguments = ("--registration-dir", str(root))
    live = Live(start_service(data_dir, *arguments, key_reserve=0), None)
    client = live.client()
    given = {"templateBody": TEMPLATE, "inputFileBucket": BUCKET, "inputFileKey": KEY, "roleArn": ROLE_ARN}
    task_id = client.start_thing_registration_task(**given)["taskId"]
    client.close()

    for number in range(KILLS):
        waited_for(live, task_id, 100 + 300 * number)
        live.service.kill()
        live = Live(start_service(data_dir, *arguments, key_reserve=0), None)
    waited_for(live, task_id, DEVICES)
    client = live.client()
    task = client.describe_thing_registration_task(taskId=task_id)
    while task["status"] == "InProgress":
        task = client.describe_thing_registration_task(taskId=task_id)
    pages = client.get_paginator("list_things").paginate(PaginationConfig={"PageSize": 250})
    names = [thing["thingName"] for page in pages for thing in page["things"]]
    versions = {thing["version"] for page in pages for thing in page["things"]}
    client.close()
    assert live.service.terminate() == 0

    good = [number for number in range(DEVICES) if number % 10]
    assert (task["status"], task["successCount"], task["failureCount"]) == (
        "Completed",
        len(good),
        DEVICES - len(good),
    )
    assert sorted(names) == sorted(f"killed-{number}" for number in good)
    assert versions == {1}
    reported = {
        kind: [
            json.loads(line)["lineNumber"] - 1
            for line in (root / "registration-reports" / f"{task_id}-{kind.lower()}.json").read_text().splitlines()
        ]
        for kind in ReportType
    }
    assert reported[ReportType.RESULTS] == good
    assert reported[ReportType.ERRORS] == list(range(0, DEVICES, 10))
