"""The operations of bulk registrations, from the parts of a request to the JSON of the answer."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.databases.memory_store import MemoryStore
from tests.support.devices.device_edge import new_data_plane
from tests.support.registration.api import Api, build_router
from tests.support.registration.authority import new_authority
from tests.support.registration.bulk import BUCKET, KEY, TEMPLATE, device, write_input
from tests.support.registration.provisioning import ROLE_ARN

from thingmint.core.errors import InvalidRequest
from thingmint.data_directory.buckets import Buckets
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning.bulk_runner import BulkRunner

TASKS = "/thing-registration-tasks"
CREATED_AT = 1541022751.983


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def authority(store: MemoryStore, tmp_path: Path) -> RegistrationAuthority:
    numbers = iter(range(100))
    return replace(new_authority(store), files=Buckets(tmp_path), new_generation_id=lambda: f"task-{next(numbers)}")


@pytest.fixture
def bulk_api(authority: RegistrationAuthority, store: MemoryStore, tmp_path: Path) -> Api:
    """The API with a bucket that holds two devices and a line of garbage."""
    write_input(tmp_path, [device(1), "garbage", device(2)])
    return Api(build_router(authority, "devices.example", new_data_plane()), store)


def body(**members: object) -> bytes:
    minimum = {
        "templateBody": TEMPLATE,
        "inputFileBucket": BUCKET,
        "inputFileKey": KEY,
        "roleArn": ROLE_ARN,
    }
    return json.dumps(minimum | members).encode()


async def test_a_task_is_begun_described_and_carried_out(bulk_api: Api, authority: RegistrationAuthority) -> None:
    assert await bulk_api.call("POST", TASKS, body()) == {"taskId": "task-0"}
    begun = {
        "taskId": "task-0",
        "creationDate": CREATED_AT,
        "lastModifiedDate": CREATED_AT,
        "templateBody": TEMPLATE,
        "inputFileBucket": BUCKET,
        "inputFileKey": KEY,
        "roleArn": ROLE_ARN,
        "status": "InProgress",
        "successCount": 0,
        "failureCount": 0,
        "percentageProgress": 0,
    }
    assert await bulk_api.call("GET", f"{TASKS}/task-0") == begun
    assert (await bulk_api.call("GET", f"{TASKS}/task-0/reports?reportType=ERRORS")) == {
        "resourceLinks": [],
        "reportType": "ERRORS",
    }
    await BulkRunner(authority, "owner").work()
    ended = {"status": "Completed", "successCount": 2, "failureCount": 1, "percentageProgress": 100}
    assert await bulk_api.call("GET", f"{TASKS}/task-0") == begun | ended
    for kind in ("RESULTS", "ERRORS"):
        answer = await bulk_api.call("GET", f"{TASKS}/task-0/reports?reportType={kind}&maxResults=1")
        (link,) = answer["resourceLinks"]
        assert link.startswith("file:///")
        assert link.endswith(f"/registration-reports/task-0-{kind.lower()}.json")
    with pytest.raises(InvalidRequest, match="is Completed"):
        await bulk_api.call("PUT", f"{TASKS}/task-0/cancel")


async def test_a_failed_task_says_why(bulk_api: Api, authority: RegistrationAuthority, tmp_path: Path) -> None:
    await bulk_api.call("POST", TASKS, body())
    write_input(tmp_path, [])
    await BulkRunner(authority, "owner").work()
    described = await bulk_api.call("GET", f"{TASKS}/task-0")
    assert (described["status"], described["message"]) == (
        "Failed",
        "The input file was changed after the task had begun",
    )


async def test_tasks_are_stopped_and_listed_page_by_page(bulk_api: Api, authority: RegistrationAuthority) -> None:
    for number in range(3):
        await bulk_api.call("POST", TASKS, body())
        task_id = (await bulk_api.call("GET", f"{TASKS}?status=InProgress"))["taskIds"][0]
        if number:
            assert await bulk_api.call("PUT", f"{TASKS}/{task_id}/cancel") == {}
            assert (await bulk_api.call("GET", f"{TASKS}/{task_id}"))["status"] == "Cancelling"
        await BulkRunner(authority, "owner").work()
    first = await bulk_api.call("GET", f"{TASKS}?maxResults=2")
    last = await bulk_api.call("GET", f"{TASKS}?maxResults=2&nextToken={first['nextToken']}")
    every = first["taskIds"] + last["taskIds"]
    assert len(set(every)) == 3
    assert "nextToken" not in last
    assert (await bulk_api.call("GET", f"{TASKS}?status=Cancelled"))["taskIds"] == every[:2]
    assert (await bulk_api.call("GET", f"{TASKS}?status=Completed"))["taskIds"] == every[2:]
    with pytest.raises(InvalidRequest):
        await bulk_api.call("GET", f"{TASKS}?status=Completed&nextToken={first['nextToken']}")


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"templateBody": None}, "Value null at 'templateBody'"),
        ({"inputFileBucket": "..."}, "There is no file"),
        ({"inputFileKey": "a\0b"}, "pattern"),
    ],
)
async def test_what_cannot_be_begun_is_refused(bulk_api: Api, members: dict[str, object], reason: str) -> None:
    before = bulk_api.store.tables.dump()
    with pytest.raises(InvalidRequest, match=reason):
        await bulk_api.call("POST", TASKS, body(**members))
    assert bulk_api.store.tables.dump() == before


async def test_without_a_directory_there_are_no_buckets(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="the setting registration_dir names no directory"):
        await api.call("POST", TASKS, body())


async def test_a_token_of_something_else_is_refused(bulk_api: Api) -> None:
    with pytest.raises(InvalidRequest, match="marker is not valid"):
        await bulk_api.call("GET", f"{TASKS}/missing/reports?reportType=ERRORS&nextToken=AAAA")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", TASKS),
        ("GET", TASKS),
        ("GET", f"{TASKS}/x"),
        ("PUT", f"{TASKS}/x/cancel"),
        ("GET", f"{TASKS}/x/reports"),
    ],
)
def test_policies_are_asked_about_every_resource(bulk_api: Api, method: str, target: str) -> None:
    assert bulk_api.resource_of(method, target) == "*"
