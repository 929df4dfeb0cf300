"""Owns the messages and operations of bulk registrations. Their rules are in `registration.provisioning.bulk`."""

from typing import Annotated, TypeAlias

from thingmint.api.provisioning.provisioning_templates import RoleArnText, TemplateBodyText
from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Message, PageSize, Timestamp
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.api.wire.reading.codec import epoch_seconds
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.provisioning.registration_task import ReportType, TaskStatus
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import bulk

TaskIdText: TypeAlias = Annotated[str, Constraint(max_length=40)]
BucketText: TypeAlias = Annotated[str, Constraint(min_length=3, max_length=256, pattern="[a-zA-Z0-9._-]+")]
KeyText: TypeAlias = Annotated[str, Constraint(min_length=1, max_length=1024, pattern=r"[a-zA-Z0-9!_.*'()-\/]+")]


class StartThingRegistrationTaskRequest(Message, frozen=True, kw_only=True):
    template_body: Annotated[TemplateBodyText, BODY]
    input_file_bucket: Annotated[BucketText, BODY]
    input_file_key: Annotated[KeyText, BODY]
    role_arn: Annotated[RoleArnText, BODY]


class StartThingRegistrationTaskResponse(Message, frozen=True, kw_only=True):
    task_id: str


async def start_thing_registration_task(
    authority: RegistrationAuthority, caller: Caller, request: StartThingRegistrationTaskRequest
) -> StartThingRegistrationTaskResponse:
    """Answer with the id of a task that registers the devices of a file.

    One task at a time in an account and region; lines of at most 262,144 bytes; see the setting ``registration_dir``.
    """
    task = await bulk.start(
        authority, caller, request.template_body, request.input_file_bucket, request.input_file_key, request.role_arn
    )
    return StartThingRegistrationTaskResponse(task_id=task.task_id)


class StopThingRegistrationTaskRequest(Message, frozen=True, kw_only=True):
    task_id: Annotated[TaskIdText, PATH]


async def stop_thing_registration_task(
    authority: RegistrationAuthority, caller: Caller, request: StopThingRegistrationTaskRequest
) -> None:
    """Stop a task after the lines in progress."""
    await bulk.stop(authority, caller, request.task_id)


class DescribeThingRegistrationTaskRequest(Message, frozen=True, kw_only=True):
    task_id: Annotated[TaskIdText, PATH]


class DescribeThingRegistrationTaskResponse(Message, frozen=True, kw_only=True):
    task_id: str
    creation_date: Timestamp
    last_modified_date: Timestamp
    template_body: str
    input_file_bucket: str
    input_file_key: str
    role_arn: str
    status: TaskStatus
    message: str | None = None
    success_count: int
    failure_count: int
    percentage_progress: int


async def describe_thing_registration_task(
    authority: RegistrationAuthority, caller: Caller, request: DescribeThingRegistrationTaskRequest
) -> DescribeThingRegistrationTaskResponse:
    """Answer with everything that is known of a task; its counts include every line whose device is registered."""
    task, outcomes = await bulk.describe(authority, caller, request.task_id)
    successes = sum(outcome.succeeded for outcome in outcomes)
    return DescribeThingRegistrationTaskResponse(
        task_id=task.task_id,
        creation_date=epoch_seconds(task.created_at),
        last_modified_date=epoch_seconds(task.modified_at),
        template_body=task.template_body,
        input_file_bucket=task.input.bucket,
        input_file_key=task.input.key,
        role_arn=task.role_arn,
        status=task.status,
        message=task.message,
        success_count=task.progress.successes + successes,
        failure_count=task.progress.failures + len(outcomes) - successes,
        percentage_progress=task.percentage,
    )


class ListThingRegistrationTasksRequest(Message, frozen=True, kw_only=True):
    next_token: Annotated[str | None, QUERY] = None
    max_results: Annotated[PageSize | None, QUERY] = None
    status: Annotated[TaskStatus | None, QUERY] = None


class ListThingRegistrationTasksResponse(Message, frozen=True, kw_only=True):
    task_ids: list[str]
    next_token: str | None = None


async def list_thing_registration_tasks(
    authority: RegistrationAuthority, caller: Caller, request: ListThingRegistrationTasksRequest
) -> ListThingRegistrationTasksResponse:
    """Answer with a page of the account's tasks of the last 30 days, newest first."""
    listing = Listing("ListThingRegistrationTasks", caller.scope, filters=(request.status or "",))
    page_request = listing.page_request(request.max_results, request.next_token)
    page = await bulk.list_tasks(authority, caller, request.status, page_request)
    return ListThingRegistrationTasksResponse(
        task_ids=[entry.task_id for entry in page.items], next_token=listing.marker(page.next)
    )


class ListThingRegistrationTaskReportsRequest(Message, frozen=True, kw_only=True):
    task_id: Annotated[TaskIdText, PATH]
    report_type: Annotated[ReportType, QUERY]
    next_token: Annotated[str | None, QUERY] = None
    max_results: Annotated[PageSize | None, QUERY] = None


class ListThingRegistrationTaskReportsResponse(Message, frozen=True, kw_only=True):
    resource_links: list[str]
    report_type: ReportType
    next_token: str | None = None


async def list_thing_registration_task_reports(
    authority: RegistrationAuthority, caller: Caller, request: ListThingRegistrationTaskReportsRequest
) -> ListThingRegistrationTaskReportsResponse:
    """Answer with the ``file://`` URL of a task's report; there is one page, because the report is one file.

    The file grows while the task runs.
    """
    listing = Listing("ListThingRegistrationTaskReports", caller.scope, filters=(request.task_id, request.report_type))
    # Called only to refuse markers: this list never returns one.
    listing.page_request(request.max_results, request.next_token)
    links = await bulk.reports(authority, caller, request.task_id, request.report_type)
    return ListThingRegistrationTaskReportsResponse(resource_links=list(links), report_type=request.report_type)
