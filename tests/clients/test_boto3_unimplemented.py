"""What AWS IoT has and Thingmint has not: named in the refusal, and no reason for a client to try again."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.clients.aws import ClientOf, IoT, Live, refusal_of
from tests.support.clients.terraform import ready_terraform

ARN = "arn:aws:iot:us-east-1:000000000000:"
ABSENT: dict[str, dict[str, object]] = {
    "create_job": {"jobId": "update-1", "targets": [f"{ARN}thing/sensor:1"]},
    "create_authorizer": {"authorizerName": "a@b=c,", "authorizerFunctionArn": "arn:aws:lambda:us-east-1:0:function:f"},
    "create_dynamic_thing_group": {"thingGroupName": "lamps", "queryString": "*"},
    "create_topic_rule": {"ruleName": "r", "topicRulePayload": {"sql": "SELECT 1", "actions": []}},
    "search_index": {"queryString": "*"},
    "delete_topic_rule_destination": {"arn": f"{ARN}ruledestination/http/1"},
}


@pytest.mark.parametrize("method", ABSENT)
def test_an_operation_that_does_not_exist_here_says_so_by_name(iot: IoT, method: str) -> None:
    refusal = refusal_of(getattr(iot, method), **ABSENT[method])

    assert (refusal.name, refusal.status) == ("UnknownOperationException", 400)
    assert refusal.message == f"{iot.meta.method_to_api_mapping[method]} is not implemented by Thingmint"


def attempts(call: Any, **parameters: object) -> int:
    """Return how often a call that is refused was sent."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    retries: int = caught.value.response["ResponseMetadata"]["RetryAttempts"]
    return 1 + retries


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_the_sdk_does_not_try_again(live: Live, client_of: ClientOf, mode: str) -> None:
    client = client_of(live, retries={"mode": mode, "max_attempts": 5})
    assert [attempts(getattr(client, method), **parameters) for method, parameters in ABSENT.items()] == [1] * len(
        ABSENT
    )


# Each has a path that an operation of AWS IoT has, too.
ELSEWHERE: dict[str, tuple[str, dict[str, object]]] = {
    "iot-jobs-data": ("describe_job_execution", {"thingName": "lamp", "jobId": "update-1"}),
    "greengrass": ("list_groups", {}),
    "greengrassv2": ("list_components", {}),
    "iotsecuretunneling": ("list_tunnels", {}),
    "iotsitewise": ("list_assets", {}),
    "iotwireless": ("list_device_profiles", {}),
    "iotfleetwise": ("list_fleets", {}),
    "iottwinmaker": ("list_workspaces", {}),
}


@pytest.mark.parametrize("service", ELSEWHERE)
def test_other_services_of_iot_are_not_implemented(live: Live, client_of: ClientOf, service: str) -> None:
    method, parameters = ELSEWHERE[service]
    client = client_of(live, service=service, inject_host_prefix=False)

    refusal = refusal_of(getattr(client, method), **parameters)

    assert (refusal.name, refusal.status) == ("UnknownOperationException", 400)
    assert attempts(getattr(client, method), **parameters) == 1


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("describe_job_execution", {"thingName": "lamp", "jobId": "update-1"}),
        ("get_pending_job_executions", {"thingName": "lamp"}),
        ("start_next_pending_job_execution", {"thingName": "lamp"}),
        ("update_job_execution", {"thingName": "lamp", "jobId": "update-1", "status": "SUCCEEDED"}),
        ("start_command_execution", {"commandArn": f"{ARN}command/c", "targetArn": f"{ARN}thing/lamp"}),
    ],
)
def test_the_data_plane_of_jobs_is_not_implemented(
    live: Live, client_of: ClientOf, method: str, parameters: dict[str, object]
) -> None:
    refusal = refusal_of(getattr(client_of(live, service="iot-jobs-data"), method), **parameters)
    assert (refusal.name, refusal.status) == ("UnknownOperationException", 400)


@pytest.mark.parametrize("endpoint_type", ["iot:CredentialProvider", "iot:Jobs"])
def test_an_endpoint_that_nothing_serves_is_not_answered(iot: IoT, endpoint_type: str) -> None:
    refusal = refusal_of(iot.describe_endpoint, endpointType=endpoint_type)
    assert (refusal.name, refusal.status) == ("InvalidRequestException", 400)
    assert refusal.message == f"Endpoint type '{endpoint_type}' is not served by Thingmint"


ABSENT_RESOURCES = """
resource "aws_iot_logging_options" "all" {
  default_log_level = "WARN"
  role_arn          = "arn:aws:iam::000000000000:role/logs"
}

resource "aws_iot_topic_rule" "rule" {
  name        = "rule"
  enabled     = true
  sql         = "SELECT 1"
  sql_version = "2016-03-23"
}
"""


def test_terraform_does_not_try_again(live_on_sqlite: Live, tmp_path: Path) -> None:
    terraform = ready_terraform(live_on_sqlite, tmp_path, ABSENT_RESOURCES, one_provider=True)
    before = len(live_on_sqlite.service.log)

    refused = terraform.run("apply", "-input=false", "-auto-approve")

    told = " ".join((refused.stdout + refused.stderr).replace("│", " ").split())
    assert refused.returncode == 1, told
    for operation in ("SetV2LoggingOptions", "CreateTopicRule"):
        assert f"{operation} is not implemented by Thingmint" in told
        lines = [
            json.loads(line)
            for line in live_on_sqlite.service.log[before:].splitlines()
            if f'"operation":"{operation}"' in line
        ]
        assert [line["error"] for line in lines] == ["UnknownOperationException"], lines
