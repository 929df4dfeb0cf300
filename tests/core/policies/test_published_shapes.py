"""The shapes that published device policies have: each is accepted, and decides as its page says.

Sources of the shapes: IoT developer guide ("AWS IoT Core policy examples" and the pages below it, fleet provisioning,
jobs, shadows, Greengrass v2), AWS's device SDKs and their samples. `devices` are contexts that the gateway would give.
"""

import json

import pytest
from tests.support.registration.authority import NOW
from tests.support.registration.policies import Json, document, statement

from thingmint.core.errors import MalformedPolicy
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope, ThingName, ThingTypeName
from thingmint.core.policies.conditions import RequestContext
from thingmint.core.policies.device_context import ConnectionContext, device_context
from thingmint.core.policies.iot_policy import parse_iot_policy
from thingmint.core.policies.language import DecisionEffect, evaluate
from thingmint.core.registry.attributes import Attributes
from thingmint.core.registry.thing import Thing

ARN = "arn:aws:iot:us-east-1:123456789012:"
SCOPE = Scope(AccountId("123456789012"), Region("us-east-1"))
CONNECT, PUBLISH, SUBSCRIBE, RECEIVE = "iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive"
NAME, CLIENT = "${iot:Connection.Thing.ThingName}", "${iot:ClientId}"
LAMP = Thing(
    SCOPE, ThingName("lamp"), "id", NOW, ThingTypeName("light"), attributes=Attributes.of({"site": "oslo", "x": "1"})
)


def device(client_id: str = "lamp", thing: Thing | None = LAMP) -> RequestContext:
    names = {"Subject.CommonName": ("lamp",), "Subject.Organization": ("acme",), "SerialNumber": ("77",)}
    certificate_id = CertificateId("ab" * 32)
    return device_context(ConnectionContext(client_id, "192.0.2.9", "iot.example", certificate_id, names, thing))


def on(action: Json, *resources: str, **more: Json) -> dict[str, Json]:
    return statement(Action=action, Resource=[ARN + each for each in resources], **more)


IS_ATTACHED: dict[str, Json] = {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}
JOBS = f"$aws/things/{NAME}/jobs/*"
SHAPES: dict[str, tuple[list[dict[str, Json]], list[str], list[str]]] = {
    "everything": ([statement(Action="iot:*")], ["Connect client/any", "Receive topic/x/y"], []),
    "fixed client": (
        [on(CONNECT, "client/lamp")],
        ["Connect client/lamp"],
        ["Connect client/lamp2", "Publish topic/a"],
    ),
    "several fixed clients": (
        [on([CONNECT], "client/lamp", "client/door")],
        ["Connect client/lamp", "Connect client/door"],
        ["Connect client/lamp,door"],
    ),
    "client named as its thing": (
        [on(CONNECT, f"client/{NAME}", Condition=IS_ATTACHED)],
        ["Connect client/lamp"],
        ["Connect client/door"],
    ),
    "names denied, the thing's allowed": (
        [on(CONNECT, "client/door", "client/gate", Effect="Deny"), on(CONNECT, f"client/{NAME}")],
        ["Connect client/lamp"],
        ["Connect client/door"],
    ),
    "topics below the thing's name": (
        [on([PUBLISH, RECEIVE], f"topic/sdk/{NAME}/*"), on(SUBSCRIBE, f"topicfilter/sdk/{NAME}/*")],
        ["Publish topic/sdk/lamp/a", "Receive topic/sdk/lamp/a/b", "Subscribe topicfilter/sdk/lamp/+"],
        ["Publish topic/sdk/door/a", "Subscribe topicfilter/sdk/+/a", "Publish topic/sdk/lamp"],
    ),
    "topics below the client id": (
        [on(PUBLISH, f"topic/{CLIENT}/telemetry"), on(SUBSCRIBE, f"topicfilter/{CLIENT}/#")],
        ["Publish topic/lamp/telemetry", "Subscribe topicfilter/lamp/#"],
        ["Publish topic/door/telemetry", "Subscribe topicfilter/lamp/a"],
    ),
    "type and attributes of the thing": (
        [on(PUBLISH, "topic/${iot:Connection.Thing.ThingTypeName}/${iot:Connection.Thing.Attributes[site]}/*")],
        ["Publish topic/light/oslo/state"],
        ["Publish topic/light/rome/state"],
    ),
    "an attribute that the thing lacks": (
        [on(PUBLISH, "topic/${iot:Connection.Thing.Attributes[none]}/a")],
        [],
        ["Publish topic//a", "Publish topic/${iot:Connection.Thing.Attributes[none]}/a"],
    ),
    "names of the certificate": (
        [on(PUBLISH, "topic/${iot:Certificate.Subject.Organization}/${iot:Certificate.Subject.CommonName}")],
        ["Publish topic/acme/lamp"],
        ["Publish topic/acme/door"],
    ),
    "the certificate's id and serial number": (
        [on(PUBLISH, "topic/${iot:CertificateId}/${iot:Certificate.SerialNumber}")],
        [f"Publish topic/{'ab' * 32}/77"],
        ["Publish topic/x/77"],
    ),
    "addresses": (
        [statement(Action=PUBLISH, Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}})],
        ["Publish topic/a"],
        ["Subscribe topicfilter/a"],
    ),
    "everything but an address": (
        [
            statement(Action="iot:*"),
            statement(Effect="Deny", Action="iot:*", Condition={"NotIpAddress": {"aws:SourceIp": ["198.51.100.0/24"]}}),
        ],
        [],
        ["Publish topic/a"],
    ),
    "the endpoint's name": (
        [statement(Action="iot:*", Condition={"StringEquals": {"iot:DomainName": "iot.example"}})],
        ["Connect client/lamp"],
        [],
    ),
    "retained messages": (
        [on([PUBLISH, "iot:RetainPublish"], "topic/device/sample")],
        ["Publish topic/device/sample", "RetainPublish topic/device/sample"],
        ["RetainPublish topic/device/other"],
    ),
    "shared subscriptions": (
        [on(SUBSCRIBE, "topicfilter/test/topic", "topicfilter/$share/*/test/topic")],
        ["Subscribe topicfilter/$share/group/test/topic"],
        ["Subscribe topicfilter/$share/group/test/other"],
    ),
    "MQTT's wildcards are plain characters": (
        [on(SUBSCRIBE, "topicfilter/a/+/b", "topicfilter/c/#"), on(RECEIVE, "topic/a/+/b")],
        ["Subscribe topicfilter/a/+/b", "Subscribe topicfilter/c/#"],
        ["Receive topic/a/x/b", "Subscribe topicfilter/c/d"],
    ),
    "a topic where a filter belongs": ([on(SUBSCRIBE, "topic/a")], [], ["Subscribe topicfilter/a"]),
    "question marks": ([on(PUBLISH, "topic/line-?")], ["Publish topic/line-7"], ["Publish topic/line-77"]),
    "fleet provisioning by claim": (
        [
            on(
                [PUBLISH, RECEIVE],
                "topic/$aws/certificates/create/*",
                "topic/$aws/provisioning-templates/t/provision/*",
            ),
            on(SUBSCRIBE, "topicfilter/$aws/certificates/create/*"),
        ],
        ["Publish topic/$aws/certificates/create/json", "Publish topic/$aws/provisioning-templates/t/provision/cbor"],
        ["Publish topic/$aws/provisioning-templates/u/provision/json"],
    ),
    "shadows": (
        [
            on([PUBLISH], f"topic/$aws/things/{NAME}/shadow/*"),
            on(["iot:GetThingShadow", "iot:UpdateThingShadow", "iot:DeleteThingShadow"], f"thing/{NAME}"),
        ],
        ["Publish topic/$aws/things/lamp/shadow/get"],
        ["Publish topic/$aws/things/door/shadow/get"],
    ),
    "jobs": (
        [on([PUBLISH, RECEIVE], f"topic/{JOBS}"), statement(Action=["iotjobsdata:*", "iot:DescribeJobExecution"])],
        ["Publish topic/$aws/things/lamp/jobs/start-next"],
        ["Publish topic/$aws/things/door/jobs/start-next"],
    ),
    "Greengrass": (
        [statement(Action=["greengrass:*", CONNECT]), on("iot:AssumeRoleWithCertificate", "rolealias/core")],
        ["Connect client/lamp"],
        ["Publish topic/a"],
    ),
    "everything but some actions": (
        [statement(Action=None, NotAction=["iot:Publish", "iot:RetainPublish"])],
        ["Subscribe topicfilter/a"],
        ["Publish topic/a"],
    ),
    "everything but some resources": (
        [statement(Action=PUBLISH, Resource=None, NotResource=f"{ARN}topic/secret/*")],
        ["Publish topic/open"],
        ["Publish topic/secret/a"],
    ),
    "a client id with a prefix": (
        [on(CONNECT, "client/lamp*"), on([PUBLISH], f"topic/{CLIENT}*")],
        ["Connect client/lamp-7", "Publish topic/lamp/x"],
        ["Connect client/door"],
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_published_shape_is_accepted_and_decides_as_its_page_says(name: str) -> None:
    statements, granted, refused = SHAPES[name]
    policy = parse_iot_policy(document(*statements))
    for request, expected in [*((each, True) for each in granted), *((each, False) for each in refused)]:
        action, _, resource = request.partition(" ")
        decision = evaluate([policy], f"iot:{action}", ARN + resource, device())
        assert (decision.effect is DecisionEffect.ALLOWED) is expected, request


@pytest.mark.parametrize("name", [each for each, (statements, *_) in SHAPES.items() if NAME in json.dumps(statements)])
def test_what_names_the_thing_allows_nothing_to_a_client_without_one(name: str) -> None:
    statements, granted, _ = SHAPES[name]
    policy = parse_iot_policy(document(*statements))
    for request in granted:
        action, _, resource = request.partition(" ")
        decision = evaluate([policy], f"iot:{action}", ARN + resource, device(thing=None))
        assert decision.effect is not DecisionEffect.ALLOWED, request


WELL_FORMED = document(on(CONNECT, "client/lamp"))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(json.loads(WELL_FORMED), indent=4).replace("\n", "\r\n"),
        json.dumps(json.loads(WELL_FORMED), indent="\t"),
        json.dumps({"Version": "2012-10-17", "Id": "mine", "Statement": statement(Action=CONNECT, Sid="one")}),
        document(statement(Action=CONNECT), version=None),
        WELL_FORMED + "\n\n",
    ],
    ids=["lines of Windows", "tabs", "one statement without a list", "no version", "lines after it"],
)
def test_a_published_way_of_writing_is_accepted(text: str) -> None:
    decision = evaluate([parse_iot_policy(text)], CONNECT, f"{ARN}client/lamp", device())
    assert decision.effect is DecisionEffect.ALLOWED


PRETTY = """{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}
  ]
}"""


@pytest.mark.parametrize(
    ("written", "instead", "place"),
    [
        ('"2012-10-17",', '"2012-10-17"', "line 3, column 3"),
        ('"Resource": "*"}', '"Resource": "*",}', "line 4, column 60"),
        ('"*"}\n', '"*"},\n', "line 5, column 3"),
        ('  "Statement"', '  // what it may do\n  "Statement"', "line 3, column 3"),
        ('"Action": "iot:*"', '"Action": ["iot:Connect", ...]', "line 4, column 51"),
        ('"iot:*"', "\N{LEFT DOUBLE QUOTATION MARK}iot:*\N{RIGHT DOUBLE QUOTATION MARK}", "line 4, column 35"),
        ('"Effect"', "'Effect'", "line 4, column 6"),
        ('  "Statement"', '\N{NO-BREAK SPACE} "Statement"', "line 3, column 1"),
        ("{\n", "\N{ZERO WIDTH NO-BREAK SPACE}{\n", "line 1, column 1"),
    ],
    ids=[
        "comma missing",
        "comma too many",
        "comma at the end",
        "comment",
        "ellipsis",
        "curly quotes",
        "single quotes",
        "no-break space",
        "byte order mark",
    ],
)
def test_a_published_text_that_is_no_json_is_refused_with_its_place(written: str, instead: str, place: str) -> None:
    assert PRETTY.count(written) == 1 or written == "{\n"
    with pytest.raises(MalformedPolicy, match=f"^{place}:"):
        parse_iot_policy(PRETTY.replace(written, instead, 1))
