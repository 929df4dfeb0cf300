"""Condition keys of callers on a running service: a Deny on a key that AWS gives refuses; keys nobody has are told."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients.aws import ClientOf, IoT, Live, allow, policy, refusal_of
from tests.support.devices.live_devices import device, new_credentials, unique
from tests.support.services.forked import run_thingmint

ARN = "arn:aws:iot:us-east-1:000000000000:"
USER = "ada"


def denying(condition: Mapping[str, Any], action: str = "iot:*") -> dict[str, object]:
    return policy(allow("*"), {"Effect": "Deny", "Action": action, "Resource": "*", "Condition": condition})


def is_refused(client: IoT) -> bool:
    with contextlib.suppress(client.exceptions.ClientError):
        client.list_things(maxResults=1)
        return False
    assert refusal_of(client.list_things, maxResults=1).name == "AccessDeniedException"
    return True


ALWAYS: list[dict[str, dict[str, str]]] = [
    {"NumericGreaterThan": {"aws:EpochTime": "1700000000"}},
    {"DateGreaterThan": {"aws:EpochTime": "2023-01-01T00:00:00Z"}},
    {"DateGreaterThan": {"aws:CurrentTime": "2023-01-01T00:00:00Z"}},
    {"StringLike": {"aws:UserAgent": "Boto3*"}},
    {"StringLike": {"aws:userid": "AIDA*"}},
    {"StringEquals": {"aws:PrincipalType": "User"}},
    {"StringEquals": {"aws:ResourceAccount": "000000000000"}},
    {"Bool": {"aws:ViaAWSService": "false"}},
    {"Bool": {"aws:PrincipalIsAWSService": "false"}},
    {"Bool": {"aws:SecureTransport": "true"}},
    {"StringEquals": {"aws:username": USER}},
]
TEMPORARY: list[dict[str, dict[str, str]]] = [
    {"DateLessThan": {"aws:TokenIssueTime": "2099-01-01T00:00:00Z"}},
    {"Bool": {"aws:MultiFactorAuthPresent": "false"}},
]


@pytest.mark.parametrize("condition", ALWAYS)
def test_a_deny_on_a_key_that_every_request_has_refuses(
    live: Live, client_of: ClientOf, condition: dict[str, dict[str, str]]
) -> None:
    key = live.create_access_key(denying(condition), "--user", USER)
    assert is_refused(client_of(live, key))


@pytest.mark.parametrize("condition", ALWAYS)
def test_an_allow_on_a_key_that_every_request_has_holds(
    live: Live, client_of: ClientOf, condition: dict[str, dict[str, str]]
) -> None:
    allowing = policy({"Effect": "Allow", "Action": "iot:*", "Resource": "*", "Condition": condition})
    key = live.create_access_key(allowing, "--user", USER)
    assert not is_refused(client_of(live, key))


@pytest.mark.parametrize("condition", TEMPORARY)
def test_keys_of_temporary_credentials_are_there_with_them_alone(
    live: Live, client_of: ClientOf, condition: dict[str, dict[str, str]]
) -> None:
    temporary = live.create_access_key(denying(condition), "--expires-in", "600")
    lasting = live.create_access_key(denying(condition))
    assert is_refused(client_of(live, temporary))
    assert not is_refused(client_of(live, lasting))


def test_a_new_thing_needs_the_permission_for_its_billing_group(live: Live, iot: IoT, client_of: ClientOf) -> None:
    group, other, thing = unique("group"), unique("group"), unique("billed")
    for name in (group, other):
        iot.create_billing_group(billingGroupName=name)
    barred = {"Effect": "Deny", "Action": "iot:*", "Resource": f"{ARN}billinggroup/{group}"}
    client = client_of(live, live.create_access_key(policy(allow("*"), barred)))

    refused = refusal_of(client.create_thing, thingName=thing, billingGroupName=group)

    assert refused.name == "AccessDeniedException"
    assert f"billinggroup/{group}" in refused.message
    client.create_thing(thingName=thing, billingGroupName=other)
    client.create_thing(thingName=unique("billed"))


def test_topics_of_direct_messages_are_limited_by_a_condition(
    live: Live, iot: IoT, client_of: ClientOf, tmp_path: Path
) -> None:
    client_id, credentials = unique("receiver"), new_credentials(iot)
    listed = {
        "Effect": "Allow",
        "Action": "iot:SendDirectMessage",
        "Resource": f"{ARN}client/{client_id}",
        "Condition": {"StringEquals": {"iot:Topic": ["commands/reboot", "commands/update"]}},
    }
    by_deny = denying({"StringLike": {"iot:Topic": "commands/*"}}, "iot:SendDirectMessage")
    other_than = policy(
        {
            "Effect": "Allow",
            "Action": "iot:SendDirectMessage",
            "Resource": "*",
            "Condition": {"StringNotEquals": {"iot:Topic": "commands/reboot"}},
        }
    )
    expected = {"commands/reboot": (True, False, False), "other": (False, True, True)}
    clients = [
        client_of(live, live.create_access_key(text), service="iot-data")
        for text in (policy(listed), by_deny, other_than)
    ]
    with device(live, credentials, tmp_path, client_id):
        for topic, allowed in expected.items():
            for client, is_allowed in zip(clients, allowed, strict=True):
                call = {"clientId": client_id, "topic": topic, "payload": b"x"}
                if is_allowed:
                    client.send_direct_message(**call)
                else:
                    assert refusal_of(client.send_direct_message, **call).name == "ForbiddenException"


def test_addresses_of_a_connection_are_limited_by_a_condition(
    live: Live, iot: IoT, client_of: ClientOf, tmp_path: Path
) -> None:
    client_id, key = unique("seen"), "iot:IncludeSocketInformation"
    by_deny = denying({"Bool": {key: "true"}}, "iot:GetConnection")
    by_allow = policy(
        {"Effect": "Allow", "Action": "iot:GetConnection", "Resource": "*", "Condition": {"Bool": {key: "false"}}}
    )
    with device(live, new_credentials(iot), tmp_path, client_id):
        for text in (by_deny, by_allow):
            client = client_of(live, live.create_access_key(text), service="iot-data")
            assert "sourceIp" not in client.get_connection(clientId=client_id)
            assert "sourceIp" not in client.get_connection(clientId=client_id, includeSocketInformation=False)
            refused = refusal_of(client.get_connection, clientId=client_id, includeSocketInformation=True)
            assert refused.name == "ForbiddenException"


@pytest.mark.parametrize(
    ("condition", "named"),
    [
        ({"StringEquals": {"aws:SourceVpce": "vpce-1"}}, ["aws:sourcevpce"]),
        ({"StringEquals": {"aws:PrincipalTag/team": "a", "iot:Topics": "b"}}, ["aws:principaltag/team", "iot:topics"]),
        ({"StringEquals": {"aws:userid": "a", "iot:Topic": "b", "aws:RequestTag/line": "7"}}, []),
    ],
)
def test_a_new_access_key_names_the_keys_that_no_request_has(
    live: Live, condition: dict[str, Any], named: list[str]
) -> None:
    words = ("access-key", "create", "--policy", "-", "--json", *live.database_options)
    own = {name: value for name, value in os.environ.items() if not name.startswith("THINGMINT_")}
    made = run_thingmint(*words, stdin=json.dumps(denying(condition)), environment=own, check=True)
    assert json.loads(made.stdout)["Version"] == 1
    warned = [line for line in made.stderr.splitlines() if line.startswith("warning:")]
    assert [key for key in named for line in warned if f" {key}:" in line] == named
    assert len(warned) == len(named)


def test_a_new_device_policy_with_such_a_key_is_a_warning_in_the_log(live: Live, iot: IoT) -> None:
    name, plain = unique("slip"), unique("plain")
    for policy_name, variable in ((name, "${iot:Thing.ThingName}"), (plain, "${iot:Connection.Thing.ThingName}")):
        text = policy(allow("iot:Connect", resource=f"{ARN}client/{variable}"))
        iot.create_policy(policyName=policy_name, policyDocument=json.dumps(text))
    lines = live.service.log_file.read_text().splitlines()
    (warned,) = [line for line in lines if "keys_never_present" in line and f"policy/{name}" in line]
    assert "warning" in warned
    assert "iot:thing.thingname" in warned
    assert not [line for line in lines if "keys_never_present" in line and f"policy/{plain}" in line]
