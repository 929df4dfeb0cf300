"""What policies can know of a device's connection, and what they make of it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.support.registration.policies import Json, document, statement

from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope, ThingName, ThingTypeName
from thingmint.core.policies.conditions import RequestContext
from thingmint.core.policies.device_context import (
    ConnectAttribute,
    ConnectionContext,
    access_key_context,
    connect_context,
    connected_thing,
    device_context,
)
from thingmint.core.policies.iot_policy import parse_iot_policy
from thingmint.core.policies.language import DecisionEffect, evaluate
from thingmint.core.registry.attributes import Attributes
from thingmint.core.registry.thing import Thing, ThingPrincipalType

SCOPE = Scope(AccountId("123456789012"), Region("us-east-1"))
ARN = "arn:aws:iot:us-east-1:123456789012:"
THING = Thing(
    SCOPE,
    ThingName("lamp"),
    "id-1",
    datetime(2026, 1, 2, tzinfo=UTC),
    ThingTypeName("lights"),
    attributes=Attributes.of({"floor": "3", "Floor": "4", "wild": "#"}),
)
CONNECTION = ConnectionContext(
    client_id="lamp",
    source_address="10.1.2.3",
    domain_name="iot.example",
    certificate_id=CertificateId("ab" * 32),
    certificate_names={"Subject.CommonName": ("lamp-17", "a*"), "Subject.Organization": ("Light", "Dark")},
    thing=THING,
)
BOTH = tuple(ConnectAttribute)
PERSISTENT, LAST_WILL = ConnectAttribute.PERSISTENT_CONNECT, ConnectAttribute.LAST_WILL


def allows(context: RequestContext, resource: str, *statements: dict[str, Json]) -> bool:
    policy = parse_iot_policy(document(*statements))
    return evaluate([policy], "iot:Connect", ARN + resource, context).effect is DecisionEffect.ALLOWED


def matches(connection: ConnectionContext, pattern: str, resource: str) -> bool:
    return allows(device_context(connection), resource, statement(Resource=ARN + pattern))


@pytest.mark.parametrize(
    ("pattern", "resource"),
    [
        ("client/${iot:ClientId}", "client/lamp"),
        ("topic/${aws:SourceIp}", "topic/10.1.2.3"),
        ("topic/${iot:DomainName}", "topic/iot.example"),
        ("topic/${iot:CertificateId}", f"topic/{'ab' * 32}"),
        ("client/${iot:Connection.Thing.ThingName}", "client/lamp"),
        ("topic/${iot:Connection.Thing.ThingTypeName}/x", "topic/lights/x"),
        ("topic/${iot:Connection.Thing.Attributes[floor]}", "topic/3"),
        ("topic/${iot:Connection.Thing.Attributes[Floor]}", "topic/4"),
        ("topic/${iot:Connection.Thing.IsAttached}", "topic/true"),
        ("topic/${iot:Certificate.Subject.CommonName}", "topic/lamp-17"),
        ("topic/${iot:Certificate.Subject.Organization.1}", "topic/Dark"),
    ],
)
def test_variables_of_a_connection(pattern: str, resource: str) -> None:
    assert matches(CONNECTION, pattern, resource)
    assert not matches(CONNECTION, pattern, resource + "x")


@pytest.mark.parametrize(
    "variable",
    [
        "iot:ClientId",
        "aws:SourceIp",
        "iot:DomainName",
        "iot:CertificateId",
        "iot:Connection.Thing.ThingName",
        "iot:Connection.Thing.ThingTypeName",
        "iot:Connection.Thing.Attributes[floor]",
        "iot:Certificate.Subject.CommonName",
    ],
)
def test_unknown_variable_matches_nothing(variable: str) -> None:
    for resource in ("topic/", f"topic/${{{variable}}}", "topic/None"):
        assert not matches(ConnectionContext(), f"topic/${{{variable}}}", resource)


@pytest.mark.parametrize(
    "variable",
    [
        "iot:Connection.Thing.Attributes[missing]",
        "iot:Certificate.Subject.Title",
        "iot:Certificate.Subject.Organization.2",
        "iot:Certificate.Subject.Organization.List",
        "iot:Certificate.AvailableKeys",
        "iot:Certificate.Subject.CommonName.1",
        "iot:Connection.Thing.Attributes[wild]",
    ],
)
def test_variable_that_has_no_one_plain_value_matches_nothing(variable: str) -> None:
    for value in ("", "a*", "#", "Light", "Dark", f"${{{variable}}}"):
        assert not matches(CONNECTION, f"topicfilter/${{{variable}}}", f"topicfilter/{value}")


@pytest.mark.parametrize("client_id", ["+", "#", "a+", "a/#"])
def test_client_cannot_name_itself_a_filter(client_id: str) -> None:
    connection = replace(CONNECTION, client_id=client_id)
    assert not matches(connection, "topicfilter/${iot:ClientId}", f"topicfilter/{client_id}")
    named = statement(Condition={"StringEquals": {"iot:ClientId": client_id}})
    assert allows(device_context(connection), "client/x", named)


@pytest.mark.parametrize("client_id", ["*", "a?b", "a$b", "ä"])
def test_wildcards_of_policies_in_a_client_id_are_plain_text(client_id: str) -> None:
    connection = replace(CONNECTION, client_id=client_id)
    assert matches(connection, "client/${iot:ClientId}", f"client/{client_id}")
    assert not matches(connection, "client/${iot:ClientId}", "client/other")


def test_thing_without_a_type_has_no_type_name() -> None:
    connection = replace(CONNECTION, thing=replace(THING, type_name=None, attributes=Attributes()))
    assert not matches(connection, "topic/${iot:Connection.Thing.ThingTypeName}", "topic/lights")


@pytest.mark.parametrize(("thing", "expected"), [(THING, True), (None, False)])
def test_attachment_is_a_condition(thing: Thing | None, expected: bool) -> None:
    context = device_context(replace(CONNECTION, thing=thing))
    attached = statement(Condition={"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}})
    assert allows(context, "client/lamp", attached) is expected
    unattached = statement(Condition={"Bool": {"iot:Connection.Thing.IsAttached": "false"}})
    assert allows(context, "client/lamp", unattached) is not expected


def test_certificate_conditions_see_all_values_and_the_names_of_attributes() -> None:
    context = device_context(CONNECTION)
    for condition, expected in (
        ({"ForAllValues:StringEquals": {"iot:Certificate.Subject.Organization.List": ["Light", "Dark", "x"]}}, True),
        ({"ForAllValues:StringEquals": {"iot:Certificate.Subject.Organization.List": ["Light"]}}, False),
        ({"ForAnyValue:StringEquals": {"iot:Certificate.Subject.Organization.List": ["Dark"]}}, True),
        ({"StringEquals": {"iot:Certificate.Subject.Organization": "Dark"}}, False),
        ({"StringEquals": {"iot:Certificate.Subject.CommonName.1": "a*"}}, True),
        ({"Null": {"iot:Certificate.Subject.Organization": "false", "iot:Certificate.Subject.Title": "true"}}, True),
        ({"ForAnyValue:StringEquals": {"iot:Certificate.AvailableKeys": "iot:Certificate.Subject.CommonName"}}, True),
    ):
        assert allows(context, "client/x", statement(Condition=condition)) is expected  # type: ignore[arg-type] # nested


# From AWS's developer guide, "MQTT persistent sessions policy examples": what each of its policies lets in. The columns
# are a clean connect, a persistent one, one with a last will, and one with both.
PLAIN: dict[str, Json] = {}


def when(operator: str, *values: str) -> dict[str, Json]:
    return {"Condition": {operator: {"iot:ConnectAttributes": [*values]}}}


CONNECT_POLICIES: list[tuple[list[dict[str, Json]], tuple[bool, bool, bool, bool]]] = [
    ([statement()], (True, True, True, True)),
    ([statement(**when("ForAllValues:StringEquals", "PersistentConnect"))], (True, True, False, False)),
    ([statement(**when("ForAllValues:StringNotEquals", "PersistentConnect"))], (True, False, True, False)),
    (
        [statement(), statement(Effect="Deny", **when("ForAnyValue:StringEquals", "PersistentConnect"))],
        (True, False, True, False),
    ),
    ([statement(**when("ForAllValues:StringEquals", "PersistentConnect", "LastWill"))], (True, True, True, True)),
    ([statement(**when("ForAllValues:StringEquals", "LastWill"))], (True, False, True, False)),
    ([statement(**when("ForAllValues:StringEquals"))], (True, False, False, False)),
    ([statement(**when("ForAnyValue:StringEquals", "PersistentConnect"))], (False, True, False, True)),
    (
        [
            statement(**when("ForAllValues:StringEquals", "PersistentConnect", "LastWill")),
            statement(Effect="Deny", **when("ForAllValues:StringEquals", "PersistentConnect")),
            statement(Effect="Deny", **when("ForAllValues:StringEquals", "LastWill")),
            statement(Effect="Deny", **when("ForAllValues:StringEquals")),
        ],
        (False, False, False, True),
    ),
]


@pytest.mark.parametrize(("statements", "expected"), CONNECT_POLICIES)
def test_connect_attributes_are_allowed_as_documented(
    statements: list[dict[str, Json]], expected: tuple[bool, ...]
) -> None:
    context = device_context(CONNECTION)
    asked: list[tuple[ConnectAttribute, ...]] = [(), (PERSISTENT,), (LAST_WILL,), BOTH]
    answers = [
        allows(connect_context(context, SCOPE, attributes, None), "client/lamp", *statements) for attributes in asked
    ]
    assert tuple(answers) == expected


def test_last_will_topic_is_a_condition() -> None:
    only = statement(Condition={"ArnEquals": {"iot:LastWillTopic": f"{ARN}topic/wills/*"}})
    context = device_context(CONNECTION)
    for topic, expected in (("wills/lamp", True), ("other", False), (None, False)):
        attributes = () if topic is None else (LAST_WILL,)
        assert allows(connect_context(context, SCOPE, attributes, topic), "client/lamp", only) is expected


def test_connect_context_keeps_what_the_connection_has() -> None:
    context = connect_context(device_context(replace(CONNECTION, client_id="+")), SCOPE, (), None)
    assert allows(context, "topic/3", statement(Resource=ARN + "topic/${iot:Connection.Thing.Attributes[floor]}"))
    assert not allows(context, "client/+", statement(Resource=ARN + "client/${iot:ClientId}"))


SHARED, EXCLUSIVE = ThingPrincipalType.NON_EXCLUSIVE_THING, ThingPrincipalType.EXCLUSIVE_THING
OTHER = replace(THING, name=ThingName("other"))


def test_client_connects_as_the_attached_thing_of_its_name() -> None:
    assert connected_thing("lamp", [(OTHER, SHARED), (THING, SHARED)]) is THING
    assert connected_thing("nobody", [(OTHER, SHARED), (THING, SHARED)]) is None
    assert connected_thing("lamp", []) is None


def test_client_of_an_exclusive_certificate_connects_as_its_thing_by_any_name() -> None:
    assert connected_thing("nobody", [(THING, EXCLUSIVE)]) is THING


def test_a_connection_by_an_access_key_has_its_own_keys_and_those_of_its_user() -> None:
    context = access_key_context(CONNECTION, {"aws:username": ("ada",), "aws:UserAgent": ("a+b",)})
    assert set(context.names) == {"iot:ClientId", "aws:SourceIp", "iot:DomainName", "aws:username", "aws:UserAgent"}
    assert context.variable("aws:username") == "ada"
    # A client must not choose a topic filter as the value of a variable.
    assert context.variable("aws:UserAgent") is None
    assert context.values("aws:UserAgent") == ("a+b",)


def test_a_connection_by_an_access_key_without_a_host_name_has_no_key_for_it() -> None:
    assert set(access_key_context(ConnectionContext("page"), {}).names) == {"iot:ClientId"}
