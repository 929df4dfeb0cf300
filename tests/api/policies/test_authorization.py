"""TestAuthorization, from the request to the JSON of the answer: which policies would say what, and why not."""

import json
from typing import Any

import pytest
from tests.support.registration.api import Api
from tests.support.registration.authority import caller_with
from tests.support.registration.memberships import Memberships, store_memberships
from tests.support.registration.policies import document, statement
from tests.support.registration.things import sample_thing

from thingmint.core.errors import InvalidRequest, LimitExceeded, ResourceNotFound
from thingmint.core.identifiers import ThingName
from thingmint.core.registry.thing import ThingPrincipalType
from thingmint.records.registry import thing_principals as thing_principal_table
from thingmint.records.registry import things as thing_table
from thingmint.records.registry.thing_principals import Attachment
from thingmint.records.steps import Steps

SCOPE = caller_with().scope
PREFIX = "arn:aws:iot:eu-west-1:123456789012:"
IDENTITY = "eu-west-1:0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
NOBODY = PREFIX + "cert/" + "0" * 64


async def create(api: Api, name: str, *statements: dict[str, Any]) -> None:
    await api.call("POST", f"/policies/{name}", json.dumps({"policyDocument": document(*statements)}).encode())


async def attach(api: Api, name: str, target: str) -> None:
    await api.call("PUT", f"/target-policies/{name}", json.dumps({"target": target}).encode())


async def new_certificate(api: Api) -> str:
    arn: str = (await api.call("POST", "/keys-and-certificate"))["certificateArn"]
    return arn


async def ask(api: Api, *infos: tuple[str, str], client_id: str | None = None, **members: object) -> list[Any]:
    asked = [{"actionType": action, "resources": [PREFIX + resource]} for action, resource in infos]
    query = "" if client_id is None else f"?clientId={client_id}"
    body = json.dumps({"authInfos": asked, **members}).encode()
    results: list[Any] = (await api.call("POST", f"/test-authorization{query}", body))["authResults"]
    return results


def entry(name: str) -> dict[str, str]:
    return {"policyName": name, "policyArn": f"{PREFIX}policy/{name}"}


async def test_each_request_is_decided_and_the_policies_are_told_that_did(api: Api) -> None:
    certificate = await new_certificate(api)
    await create(api, "Connect", statement(Action="iot:Connect"))
    await create(api, "Silence", statement(Effect="Deny", Action="iot:Publish"))
    await attach(api, "Connect", certificate)
    await attach(api, "Silence", certificate)

    connect, publish, subscribe = await ask(
        api,
        ("CONNECT", "client/lamp"),
        ("PUBLISH", "topic/a"),
        ("SUBSCRIBE", "topicfilter/a"),
        principal=certificate,
    )

    assert connect == {
        "authInfo": {"actionType": "CONNECT", "resources": [PREFIX + "client/lamp"]},
        "allowed": {"policies": [entry("Connect")]},
        "denied": {"implicitDeny": {"policies": [entry("Silence")]}, "explicitDeny": {"policies": []}},
        "authDecision": "ALLOWED",
        "missingContextValues": [],
    }
    assert publish["authDecision"] == "EXPLICIT_DENY"
    assert publish["denied"]["explicitDeny"]["policies"] == [entry("Silence")]
    assert subscribe["authDecision"] == "IMPLICIT_DENY"
    assert subscribe["allowed"]["policies"] == []


async def test_policies_of_the_groups_of_its_things_count(api: Api) -> None:
    certificate = await new_certificate(api)
    memberships = Memberships((("House",), ("House", "Room")), ("lamp",), (("lamp", ("House", "Room")),))
    await store_memberships(api.store, SCOPE, memberships)
    await attach_thing(api, certificate, "lamp")
    await create(api, "Connect", statement(Action="iot:Connect"))
    await attach(api, "Connect", PREFIX + "thinggroup/House")

    async def decision(**members: Any) -> object:
        (result,) = await ask(api, ("CONNECT", "client/x"), principal=certificate, **members)
        return result["authDecision"], result["missingContextValues"]

    assert await decision(client_id="lamp") == ("ALLOWED", [])
    assert await decision(client_id="pump") == ("IMPLICIT_DENY", [])
    # Whether the group counts depends on the client id.
    assert await decision() == ("IMPLICIT_DENY", ["iot:ClientId"])


async def test_a_group_is_tried_out_with_the_policies_that_its_devices_have_of_it(api: Api) -> None:
    await store_memberships(api.store, SCOPE, Memberships((("House",), ("House", "Room"))))
    await create(api, "Connect", statement(Action="iot:Connect", Resource=PREFIX + "client/${iot:ClientId}"))
    await create(api, "Publish", statement(Action="iot:Publish"))
    await attach(api, "Connect", PREFIX + "thinggroup/House")
    await attach(api, "Publish", PREFIX + "thinggroup/Room")
    requests = ("CONNECT", "client/lamp"), ("PUBLISH", "topic/a"), ("CONNECT", "client/pump")

    async def decisions(group: str) -> list[object]:
        results = await ask(api, *requests, client_id="lamp", principal=PREFIX + f"thinggroup/{group}")
        return [result["authDecision"] for result in results]

    assert await decisions("Room") == ["ALLOWED", "ALLOWED", "IMPLICIT_DENY"]
    assert await decisions("House") == ["ALLOWED", "IMPLICIT_DENY", "IMPLICIT_DENY"]


async def attach_thing(api: Api, certificate: str, thing: str, *, exclusive: bool = False) -> None:
    kind = ThingPrincipalType.EXCLUSIVE_THING if exclusive else ThingPrincipalType.NON_EXCLUSIVE_THING

    def program() -> Steps[None]:
        yield from thing_table.insert_thing(sample_thing(thing, scope=SCOPE, color="red"))
        yield from thing_principal_table.attach_principal(SCOPE, Attachment(ThingName(thing), certificate, kind))

    await api.store.write(program)


OWN_TOPIC = statement(Action="iot:Publish", Resource=PREFIX + "topic/${iot:Connection.Thing.ThingName}")


@pytest.mark.parametrize(
    ("client_id", "exclusive", "thing"),
    [("lamp", False, "lamp"), ("pump", False, "pump"), ("radio", False, None), ("radio", True, "lamp")],
)
async def test_a_thing_variable_stands_for_the_thing_that_the_client_id_names_or_the_only_one(
    api: Api, client_id: str, exclusive: bool, thing: str | None
) -> None:
    certificate = await new_certificate(api)
    await attach_thing(api, certificate, "lamp", exclusive=exclusive)
    if not exclusive:
        await attach_thing(api, certificate, "pump")
    await create(api, "Own", OWN_TOPIC)
    await attach(api, "Own", certificate)

    results = await ask(
        api, ("PUBLISH", "topic/lamp"), ("PUBLISH", "topic/pump"), client_id=client_id, principal=certificate
    )

    allowed = [each["authInfo"]["resources"][0] for each in results if each["authDecision"] == "ALLOWED"]
    assert allowed == ([] if thing is None else [f"{PREFIX}topic/{thing}"])
    missing = ["iot:Connection.Thing.ThingName"] if thing is None else []
    assert results[0]["missingContextValues"] == missing


async def test_variables_of_the_client_and_of_the_certificate_are_known(api: Api) -> None:
    certificate = await new_certificate(api)
    certificate_id = certificate.rpartition("/")[2]
    own = PREFIX + "topic/${iot:CertificateId}/${iot:ClientId}/${iot:Certificate.Subject.CommonName}"
    await create(api, "Own", statement(Action="iot:Publish", Resource=own))
    await attach(api, "Own", certificate)
    topic = f"topic/{certificate_id}/lamp/AWS%20IoT%20Certificate".replace("%20", " ")

    (result,) = await ask(api, ("PUBLISH", topic), client_id="lamp", principal=certificate)
    (unknown,) = await ask(api, ("PUBLISH", topic), principal=certificate)

    assert result["authDecision"] == "ALLOWED"
    assert (unknown["authDecision"], unknown["missingContextValues"]) == ("IMPLICIT_DENY", ["iot:ClientId"])


async def test_policies_are_added_and_skipped_for_the_test_alone(api: Api) -> None:
    certificate = await new_certificate(api)
    await create(api, "Connect", statement(Action="iot:Connect"))
    await create(api, "Deny", statement(Effect="Deny", Action="iot:Connect"))
    await attach(api, "Deny", certificate)
    request = ("CONNECT", "client/lamp")

    async def decision(**members: Any) -> object:
        return (await ask(api, request, **members))[0]["authDecision"]

    assert await decision(principal=certificate) == "EXPLICIT_DENY"
    assert await decision(principal=certificate, policyNamesToAdd=["Connect"]) == "EXPLICIT_DENY"
    changed = {"policyNamesToAdd": ["Connect"], "policyNamesToSkip": ["Deny", "Unknown"]}
    assert await decision(principal=certificate, **changed) == "ALLOWED"
    assert await decision(policyNamesToAdd=["Connect"]) == "ALLOWED"
    assert await decision(principal=IDENTITY, cognitoIdentityPoolId="eu-west-1:1") == "IMPLICIT_DENY"
    assert await decision(principal=certificate) == "EXPLICIT_DENY"


async def test_what_does_not_exist_is_not_found(api: Api) -> None:
    for members in (
        {"principal": NOBODY},
        {"principal": PREFIX + "thinggroup/Nothing"},
        {"principal": IDENTITY, "policyNamesToAdd": ["Unknown"]},
    ):
        with pytest.raises(ResourceNotFound):
            await ask(api, ("CONNECT", "client/lamp"), **members)


@pytest.mark.parametrize(
    "members",
    [
        {"authInfos": [{"resources": ["*"]}]},
        {"authInfos": [{"actionType": "CONNECT"}]},
        {"policyNamesToAdd": ["no spaces"]},
        {"principal": "lamp"},
    ],
)
async def test_a_bad_test_is_refused(api: Api, members: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        await ask(api, ("CONNECT", "client/lamp"), **{"principal": IDENTITY, **members})


async def test_a_test_is_about_somebody_or_something(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="principal is required"):
        await ask(api, ("CONNECT", "client/lamp"))


async def test_ten_policies_are_added_at_most(api: Api) -> None:
    names = [f"policy-{number}" for number in range(11)]
    with pytest.raises(LimitExceeded):
        await ask(api, ("CONNECT", "client/lamp"), policyNamesToAdd=names)


def test_policies_are_asked_about_the_principal(api: Api) -> None:
    body = json.dumps({"principal": NOBODY}).encode()
    assert api.resource_of("POST", "/test-authorization", body) == NOBODY
    assert api.resource_of("POST", "/test-authorization") == "*"


async def test_a_test_that_is_too_much_work_is_refused_before_it_is_done(api: Api) -> None:
    pattern = "arn:aws:iot:*" + "a?" * 850 + "b*"
    for number in range(10):
        await create(api, f"wild-{number}", statement(Action="iot:Publish", Resource=pattern))
    names = [f"wild-{number}" for number in range(10)]
    resources = ["arn:aws:iot:" + "a" * 2030] * 40
    body = {"authInfos": [{"actionType": "PUBLISH", "resources": resources}] * 10, "policyNamesToAdd": names}

    with pytest.raises(LimitExceeded, match="too many resources"):
        await api.call("POST", "/test-authorization", json.dumps(body).encode())

    body["authInfos"] = [{"actionType": "PUBLISH", "resources": resources[:10]}]
    (result,) = (await api.call("POST", "/test-authorization", json.dumps(body).encode()))["authResults"]
    assert result["authDecision"] == "IMPLICIT_DENY"
