"""The most expensive legal requests: none of them keeps the event loop for long, so nobody else waits for it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from tests.support.certificates.user_ca import new_ca
from tests.support.machine.turn_watch import TurnSelector, begin, run_watched
from tests.support.registration.api import Api, new_api
from tests.support.registration.policies import document, statement

from thingmint.core.errors import ThingmintError

ARN = "arn:aws:iot:eu-west-1:123456789012:"
PADDING = " " * 400_000
# Of the legal policies that were tried, this one takes the most work for its size.
WORST = document(statement(Effect="Deny", Action="iot:*", Resource=["arn:*" + "aaaaa?" * 10 + "c*"] * 25))
LONG_TEXT = "arn:aws:iot:" + "a" * 2030


@dataclass(frozen=True)
class Request:
    """A request to the API; it may be refused."""

    method: str
    target: str
    body: bytes


def post(target: str, **members: object) -> Request:
    return Request("POST", target, json.dumps(members).encode())


async def with_policies(api: Api, text: str) -> list[str]:
    names = [f"policy-{number}" for number in range(10)]
    for name in names:
        await api.call("POST", f"/policies/{name}", json.dumps({"policyDocument": text}).encode())
    return names


async def attached(api: Api, text: str) -> str:
    target: str = (await api.call("POST", "/keys-and-certificate?setAsActive=true"))["certificateArn"]
    for name in await with_policies(api, text):
        await api.call("PUT", f"/target-policies/{name}", json.dumps({"target": target}).encode())
    return target


def asked(*resources: str) -> list[dict[str, object]]:
    return [{"actionType": "PUBLISH", "resources": resources}]


async def worst_policies(api: Api) -> Request:
    names = await with_policies(api, WORST)
    resources = [LONG_TEXT + str(number) for number in range(100)]
    return post("/test-authorization", authInfos=asked(*resources), policyNamesToAdd=names)


async def worst_policies_and_too_many_resources(api: Api) -> Request:
    names = await with_policies(api, WORST)
    resources = [LONG_TEXT + str(number) for number in range(450)]
    return post("/test-authorization", authInfos=asked(*resources), policyNamesToAdd=names)


async def long_policies(api: Api) -> Request:
    target = await attached(api, document(statement(Action="iot:Publish")) + PADDING)
    return post("/test-authorization", authInfos=asked(ARN + "topic/a"), principal=target)


async def long_effective_policies(api: Api) -> Request:
    target = await attached(api, document(statement(Action="iot:Publish")) + PADDING)
    return post("/effective-policies", principal=target)


async def many_values_of_a_condition(api: Api) -> Request:
    condition: dict[str, object] = {"StringLike": {"iot:Certificate.AvailableKeys": ["*?"] * 330}}
    text = json.dumps(
        {"Statement": {"Effect": "Deny", "Action": "iot:*", "Resource": "*", "Condition": condition}},
        separators=(",", ":"),
    )
    target = await attached(api, text)
    return post("/test-authorization", authInfos=asked(*[ARN + "topic/a"] * 100), principal=target)


async def policy_of_much_white_space(_api: Api) -> Request:
    resources = [ARN + f"topic/{number}" for number in range(30)]
    text = document(statement(Action="iot:Publish", Resource=[*resources])).replace(", ", "," + " " * 10_000)
    return post("/policies/wide", policyDocument=text)


async def policy_of_white_space_inside(_api: Api) -> Request:
    text = document(statement(Action="iot:Publish", Resource=ARN + "topic/a" + PADDING))
    return post("/policies/wide", policyDocument=text)


async def body_of_many_members(_api: Api) -> Request:
    return Request("POST", "/things/lamp", ("{" + ",".join(f'"m{n}":1' for n in range(80_000)) + "}").encode())


async def list_of_many_elements(_api: Api) -> Request:
    return Request("POST", "/test-authorization", b'{"authInfos":[' + b"{}," * 300_000 + b"{}]}")


async def template_of_many_values(_api: Api) -> Request:
    lists = {"Fn::FindInMap": ["m", "k", "f"]}
    properties = {
        "ThingName": {"Ref": "P"},
        "AttributePayload": {f"a{number}": {"Fn::Join": ["", lists]} for number in range(50)},
    }
    template = {
        "Parameters": {"P": {"Type": "String"}},
        "Mappings": {"m": {"k": {"f": [""] * 1500}}},
        "Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": properties}},
    }
    parameters = {"P": "lamp", **{f"p{number}": "" for number in range(9_000)}}
    return post("/things", templateBody=json.dumps(template, separators=(",", ":")), parameters=parameters)


async def template_of_too_many_parameters(_api: Api) -> Request:
    return post("/things", templateBody="{}", parameters={f"p{number}": "" for number in range(80_000)})


async def certificate_of_many_names(_api: Api) -> Request:
    names = x509.SubjectAlternativeName([x509.DNSName("a") for _ in range(9000)])
    pem = new_ca().issue(extensions=[(names, False)]).public_bytes(serialization.Encoding.PEM).decode()
    return post("/certificate/register-no-ca", certificatePem=pem, status="ACTIVE")


REQUESTS: list[Callable[[Api], Awaitable[Request]]] = [
    worst_policies,
    worst_policies_and_too_many_resources,
    long_policies,
    long_effective_policies,
    many_values_of_a_condition,
    policy_of_much_white_space,
    policy_of_white_space_inside,
    body_of_many_members,
    list_of_many_elements,
    template_of_many_values,
    template_of_too_many_parameters,
    certificate_of_many_names,
]


@pytest.mark.parametrize("prepared", REQUESTS, ids=lambda each: each.__name__)
def test_an_expensive_request_has_no_long_turn(prepared: Callable[[Api], Awaitable[Request]]) -> None:
    async def work(selector: TurnSelector) -> None:
        api = new_api()
        request = await prepared(api)
        await begin(selector)
        with suppress(ThingmintError):
            await api.call(request.method, request.target, request.body)

    run_watched(work)


def test_the_watch_notices_a_long_turn() -> None:
    async def work(selector: TurnSelector) -> None:
        await begin(selector)
        sum(range(4_000_000))
        await asyncio.sleep(0)

    with pytest.raises(AssertionError, match="of the event loop took"):
        run_watched(work, budget=10.0)
