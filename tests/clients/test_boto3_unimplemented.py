"""What AWS IoT has and Thingmint has not: named in the refusal, and no reason for a client to try again."""

import pytest
from tests.support.aws import IoT, refusal_of

ABSENT: dict[str, dict[str, object]] = {
    "create_job": {"jobId": "update-1", "targets": ["arn:aws:iot:us-east-1:000000000000:thing/sensor:1"]},
    "create_authorizer": {"authorizerName": "a@b=c,", "authorizerFunctionArn": "arn:aws:lambda:us-east-1:0:function:f"},
    "create_dynamic_thing_group": {"thingGroupName": "lamps", "queryString": "*"},
    "create_topic_rule": {"ruleName": "r", "topicRulePayload": {"sql": "SELECT 1", "actions": []}},
    "search_index": {"queryString": "*"},
    "delete_topic_rule_destination": {"arn": "arn:aws:iot:us-east-1:000000000000:ruledestination/http/1"},
}


@pytest.mark.parametrize("method", ABSENT)
def test_an_operation_that_does_not_exist_here_says_so_by_name(iot: IoT, method: str) -> None:
    refusal = refusal_of(getattr(iot, method), **ABSENT[method])

    assert (refusal.name, refusal.status) == ("InvalidRequestException", 400)
    assert refusal.message == f"{iot.meta.method_to_api_mapping[method]} is not implemented by Thingmint"
