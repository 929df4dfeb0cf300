"""What templates come to for a device."""

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.registration.policies import Json
from tests.support.registration.templates import POLICY_DOCUMENT, certificate, policy, template, thing

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import InvalidParameters
from thingmint.core.identifiers import (
    BillingGroupName,
    CertificateId,
    PolicyName,
    ThingGroupName,
    ThingName,
    ThingTypeName,
)
from thingmint.core.provisioning.plan import (
    CertificateFacts,
    CertificatePlan,
    FromId,
    FromPem,
    FromSigningRequest,
    PolicyPlan,
    ProvisioningPlan,
    ThingPlan,
    plan,
)
from thingmint.core.provisioning.resources import Override
from thingmint.core.provisioning.template import TemplateKind, parse_template
from thingmint.core.provisioning.values import MAX_CHARACTERS
from thingmint.core.registry.attributes import Attributes
from thingmint.core.registry.thing import ThingPrincipalType

FLEET, JITP, REGISTER = TemplateKind.FLEET_PROVISIONING, TemplateKind.JITP, TemplateKind.REGISTER_THING
ITS_ID = CertificateId("ab" * 32)
FACTS = CertificateFacts(
    ITS_ID,
    {
        "Subject.Country": ("DE",),
        "Subject.Organization": ("IoT", "Other"),
        "Subject.OrganizationalUnit": ("Lamps",),
        "Subject.DistinguishedNameQualifier": ("q",),
        "Subject.State": ("BE",),
        "Subject.CommonName": ("lamp-17",),
        "Subject.SerialNumber": ("5",),
        "SerialNumber": ("99",),
    },
)
GIVEN = {"A": "alpha", "B": "beta", "List": "x,y,z"}
MAPPINGS: Json = {"M": {"alpha": {"url": "https://alpha.example", "list": ["p", "q"], "number": 5, "on": True}}}


def planned(text: str, kind: TemplateKind = FLEET, **parameters: str) -> ProvisioningPlan:
    return plan(parse_template(text, kind), parameters, FACTS)


def refusal(text: str, kind: TemplateKind = FLEET, **parameters: str) -> str:
    with pytest.raises(InvalidParameters) as caught:
        planned(text, kind, **parameters)
    return caught.value.message


def value_of(value: Json) -> str:
    text = template("A", "B", "List", "Missing", Mappings=MAPPINGS, DeviceConfiguration={"it": value})
    return plan(parse_template(text, FLEET), GIVEN, FACTS).device_configuration["it"]


def test_fleet_template_comes_to_thing_certificate_policy_and_configuration() -> None:
    text = template(
        "SerialNumber",
        "DeviceLocation",
        Mappings={"LocationTable": {"Seattle": {"LocationUrl": "https://example.aws"}}},
        Resources={
            "thing": {
                **thing(
                    {"Fn::Join": ["", ["ThingPrefix_", {"Ref": "SerialNumber"}]]},
                    AttributePayload={"version": "v1", "serialNumber": {"Ref": "SerialNumber"}},
                    ThingTypeName={"Fn::Join": ["", ["ThingPrefix_", {"Ref": "SerialNumber"}]]},
                    ThingGroups=["v1-lightbulbs", "WA"],
                    BillingGroup="LightBulbBillingGroup",
                ),
                "OverrideSettings": {
                    "AttributePayload": "MERGE",
                    "ThingTypeName": "REPLACE",
                    "ThingGroups": "DO_NOTHING",
                },
            },
            "certificate": {
                **certificate(Status="Active", ThingPrincipalType="EXCLUSIVE_THING"),
                "OverrideSettings": {"Status": "REPLACE"},
            },
            "policy": policy(PolicyDocument=json.loads(POLICY_DOCUMENT)),
        },
        DeviceConfiguration={
            "FallbackUrl": "https://www.example.com/test-site",
            "LocationUrl": {"Fn::FindInMap": ["LocationTable", {"Ref": "DeviceLocation"}, "LocationUrl"]},
        },
    )
    compact = json.dumps(json.loads(POLICY_DOCUMENT), separators=(",", ":"))
    name = PolicyName(hashlib.sha256(compact.encode()).hexdigest()[:40].upper())
    assert planned(text, SerialNumber="17", DeviceLocation="Seattle") == ProvisioningPlan(
        ThingPlan(
            logical_id="thing",
            name=ThingName("ThingPrefix_17"),
            attributes=Attributes.of({"serialNumber": "17", "version": "v1"}),
            type_name=ThingTypeName("ThingPrefix_17"),
            groups=(ThingGroupName("v1-lightbulbs"), ThingGroupName("WA")),
            billing_group=BillingGroupName("LightBulbBillingGroup"),
            override_attributes=Override.MERGE,
            override_type=Override.REPLACE,
            override_groups=Override.DO_NOTHING,
        ),
        CertificatePlan(
            logical_id="certificate",
            source=FromId(ITS_ID),
            status=CertificateStatus.ACTIVE,
            override_status=Override.REPLACE,
            thing_principal_type=ThingPrincipalType.EXCLUSIVE_THING,
        ),
        (PolicyPlan("policy", name, compact),),
        {"FallbackUrl": "https://www.example.com/test-site", "LocationUrl": "https://example.aws"},
    )


def test_least_template_says_nothing_about_things() -> None:
    assert planned(template(Parameters=None)) == ProvisioningPlan(
        None,
        CertificatePlan(
            "certificate",
            FromId(ITS_ID),
            CertificateStatus.ACTIVE,
            Override.DO_NOTHING,
            ThingPrincipalType.NON_EXCLUSIVE_THING,
        ),
        (),
        {},
    )


def test_thing_with_a_name_alone_leaves_the_rest_open() -> None:
    its = planned(template(resources={"thing": thing()})).thing
    nothing = Override.DO_NOTHING
    assert its == ThingPlan("thing", ThingName("lamp"), None, None, None, None, nothing, nothing, nothing)


def test_jitp_takes_the_subject_of_the_certificate() -> None:
    names = ["Country", "Organization", "OrganizationalUnit", "DistinguishedNameQualifier", "StateName", "CommonName",
             "SerialNumber", "Id"]  # fmt: skip
    attributes: dict[str, Json] = {name: {"Ref": f"AWS::IoT::Certificate::{name}"} for name in names}
    text = template(
        *(f"AWS::IoT::Certificate::{name}" for name in names),
        resources={"thing": thing({"Ref": "AWS::IoT::Certificate::CommonName"}, AttributePayload=attributes)},
    )
    its = planned(text, JITP).thing
    assert its is not None
    assert its.attributes is not None
    assert its.name == "lamp-17"
    assert its.attributes.as_dict() == {
        "Country": "DE",
        "Organization": "IoT",
        "OrganizationalUnit": "Lamps",
        "DistinguishedNameQualifier": "q",
        "StateName": "BE",
        "CommonName": "lamp-17",
        "SerialNumber": "5",
        "Id": ITS_ID,
    }


def test_jitp_falls_back_to_the_default_where_the_subject_lacks_an_attribute() -> None:
    name = "AWS::IoT::Certificate::Country"
    parameters: Json = {name: {"Type": "String", "Default": "none"}}
    text = template(Parameters=parameters, resources={"thing": thing({"Ref": name})})
    for facts, expected in ((FACTS, "DE"), (replace(FACTS, names={}), "none")):
        its = plan(parse_template(text, JITP), {}, facts).thing
        assert its is not None
        assert its.name == expected


@pytest.mark.parametrize("kind", [FLEET, JITP])
def test_device_cannot_set_what_the_service_sets(kind: TemplateKind) -> None:
    text = template("AWS::IoT::Certificate::Id")
    given = {"AWS::IoT::Certificate::Id": "cd" * 32}
    its = plan(parse_template(text, kind), given, FACTS).certificate
    assert its is not None
    assert its.source == FromId(ITS_ID)
    with pytest.raises(InvalidParameters, match="Cannot resolve reference value: AWS::IoT::Certificate::Id"):
        plan(parse_template(text, kind), given)


@pytest.mark.parametrize(
    ("properties", "source"),
    [
        ({"CertificateSigningRequest": {"Ref": "A"}}, FromSigningRequest("alpha")),
        ({"CertificatePem": {"Ref": "A"}}, FromPem("alpha", None)),
        ({"CertificatePem": {"Ref": "A"}, "CACertificatePem": {"Ref": "B"}}, FromPem("alpha", "beta")),
        ({"CertificateId": {"Ref": "Id"}}, FromId(CertificateId("cd" * 32))),
        ({"CertificateID": "CD" * 32}, FromId(CertificateId("cd" * 32))),
    ],
)
def test_operator_tells_the_certificate_in_one_of_three_ways(
    properties: dict[str, Json], source: FromId | FromPem | FromSigningRequest
) -> None:
    resources: Json = {"it": {"Type": "AWS::IoT::Certificate", "Properties": properties}}
    text = template("A", "B", "Id", Resources=resources)
    its = plan(parse_template(text, REGISTER), GIVEN | {"Id": "cd" * 32}).certificate
    assert its is not None
    assert (its.source, its.override_status) == (source, Override.REPLACE)


def test_policies_are_named_or_have_documents() -> None:
    its = planned(template(resources={"p": policy(PolicyName="a"), "q": policy(PolicyDocument=POLICY_DOCUMENT)}))
    assert [each.logical_id for each in its.policies] == ["p", "q"]
    assert [each.document for each in its.policies] == [None, POLICY_DOCUMENT]


def test_name_of_a_policy_follows_its_document() -> None:
    (first,) = planned(template(resources={"p": policy(PolicyDocument=POLICY_DOCUMENT)})).policies
    (again,) = planned(template(resources={"q": policy(PolicyDocument=POLICY_DOCUMENT)})).policies
    (other,) = planned(template(resources={"p": policy(PolicyDocument=POLICY_DOCUMENT + " ")})).policies
    assert first.name == again.name != other.name
    assert len(first.name) == 40
    assert set(first.name) <= set("0123456789ABCDEF")


def test_document_given_as_an_object_keeps_its_order_and_numbers() -> None:
    written = '{"Version":"2012-10-17","Statement":{"Resource":"*","Action":["iot:*"],"Effect":"Allow","Condition":'
    written += '{"NumericEquals":{"aws:é":[1.50,true]},"Null":{"aws:x":"\\n"}}}}'
    text = template(resources={"p": policy(PolicyDocument="HERE")}).replace('"HERE"', written.replace(":", " : ", 1))
    text = text.replace('"\\n"', '"false"')
    (its,) = planned(text.replace("true", '"1"')).policies
    assert its.document == written.replace('"\\n"', '"false"').replace("true", '"1"')


@pytest.mark.parametrize("status", ["inactive", "INACTIVE", {"Ref": "A"}])
def test_status_may_be_a_parameter_in_any_case(status: Json) -> None:
    text = template("A", Resources={"certificate": certificate(Status=status)})
    its = planned(text, A="Inactive").certificate
    assert its is not None
    assert its.status is CertificateStatus.INACTIVE


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", "text"),
        (1.50, "1.5"),
        (True, "true"),
        (False, "false"),
        ({"Ref": "A"}, "alpha"),
        ({"Ref": "AWS::IoT::Certificate::Id"}, ITS_ID),
        ({"Fn::Join": ["-", ["a", {"Ref": "B"}, 5]]}, "a-beta-5"),
        ({"Fn::Join": ["", []]}, ""),
        ({"Fn::Join": ["+", {"Fn::Split": [",", {"Ref": "List"}]}]}, "x+y+z"),
        ({"Fn::Join": ["", {"Fn::FindInMap": ["M", "alpha", "list"]}]}, "pq"),
        ({"Fn::Select": [0, ["a", "b"]]}, "a"),
        ({"Fn::Select": ["1", ["a", {"Ref": "B"}]]}, "beta"),
        ({"Fn::Select": [2, {"Fn::Split": [",", {"Ref": "List"}]}]}, "z"),
        ({"Fn::FindInMap": ["M", {"Ref": "A"}, "url"]}, "https://alpha.example"),
        ({"Fn::FindInMap": ["M", "alpha", "number"]}, "5"),
        ({"Fn::FindInMap": ["M", "alpha", "on"]}, "true"),
        ({"Fn::FindInMap": [{"Fn::Select": [0, ["M"]]}, "alpha", "url"]}, "https://alpha.example"),
        ({"Fn::Sub": "plain"}, "plain"),
        ({"Fn::Sub": "${A}/${B}!"}, "alpha/beta!"),
        ({"Fn::Sub": "$ {A} ${!A} $}"}, "$ {A} ${A} $}"),
        ({"Fn::Sub": ["${x}-${A}", {"x": {"Fn::Sub": "(${B})"}}]}, "(beta)-alpha"),
        ({"Fn::Sub": ["${A}", {"A": "own"}]}, "own"),
        ({"Fn::Sub": "${AWS::IoT::Certificate::Id}"}, ITS_ID),
    ],
)
def test_functions_come_to_texts(value: Json, expected: str) -> None:
    assert value_of(value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"Ref": "Missing"}, "Cannot resolve reference value: Missing"),
        ({"Fn::Sub": "${Missing}"}, "Cannot resolve reference value: Missing"),
        ({"Fn::Select": [2, ["a", "b"]]}, "Fn::Select has no element 2 in a list of 2"),
        ({"Fn::Select": [-1, ["a", "b"]]}, "Fn::Select has no element -1 in a list of 2"),
        ({"Fn::Select": [{"Ref": "A"}, ["a"]]}, "Fn::Select has no element alpha in a list of 1"),
        ({"Fn::Select": ["9" * 5000, ["a"]]}, f"Fn::Select has no element {'9' * 5000} in a list of 1"),
        ({"Fn::FindInMap": ["M", {"Ref": "B"}, "url"]}, "Fn::FindInMap found nothing in M under beta and url"),
        ({"Fn::FindInMap": ["M", "alpha", "x"]}, "Fn::FindInMap found nothing in M under alpha and x"),
        ({"Fn::FindInMap": [{"Ref": "A"}, "k", "f"]}, "Fn::FindInMap found nothing in alpha under k and f"),
        ({"Fn::FindInMap": ["M", "alpha", "list"]}, "Fn::FindInMap found a list where a text is expected"),
        (
            {"Fn::Join": ["", {"Fn::FindInMap": ["M", "alpha", "url"]}]},
            "Fn::FindInMap found a text where a list is expected",
        ),
    ],
)
def test_functions_that_come_to_nothing(value: Json, message: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        value_of(value)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        (thing({"Ref": "A"}), "ThingName: the name of a thing matches"),
        (thing(ThingTypeName={"Ref": "A"}), "ThingTypeName: the name of a thing type matches"),
        (thing(BillingGroup={"Ref": "A"}), "BillingGroup: the name of a billing group matches"),
        (thing(ThingGroups=[{"Ref": "A"}]), "ThingGroups: the name of a thing group matches"),
        (thing(AttributePayload={"a": {"Ref": "A"}}), "AttributePayload: the attribute 'a' matches"),
        (policy(PolicyName={"Ref": "A"}), "PolicyName: the name of a policy matches"),
    ],
)
def test_parameters_that_make_no_valid_resource(resource: Json, message: str) -> None:
    assert refusal(template("A", resources={"it": resource}), A="not a name").startswith(
        f"Resources.it.Properties.{message}"
    )


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"CertificateId": {"Ref": "A"}}, "CertificateId: a certificate id is 64 hexadecimal digits"),
        ({"CertificatePem": "x", "Status": {"Ref": "A"}}, "Status: 'a' is none of ACTIVE, INACTIVE"),
        (
            {"CertificatePem": "x", "ThingPrincipalType": {"Ref": "A"}},
            "ThingPrincipalType: 'a' is none of EXCLUSIVE_THING",
        ),
    ],
)
def test_parameters_that_make_no_valid_certificate(properties: dict[str, Json], message: str) -> None:
    resources: Json = {"it": {"Type": "AWS::IoT::Certificate", "Properties": properties}}
    assert refusal(template("A", Resources=resources), REGISTER, A="a").startswith(f"Resources.it.Properties.{message}")


def test_groups_are_counted_once_each_and_are_ten_at_most() -> None:
    text = template("A", resources={"it": thing(ThingGroups={"Fn::Split": [",", {"Ref": "A"}]})})
    ten = ",".join("abcdefghij")
    its = planned(text, A=f"{ten},a,b").thing
    assert its is not None
    assert its.groups == tuple("abcdefghij")
    assert "at most 10 thing groups" in refusal(text, A=f"{ten},k")


def test_given_value_comes_before_the_default() -> None:
    text = template(
        Parameters={"A": {"Type": "String", "Default": 5}}, DeviceConfiguration={"a": {"Ref": "A"}, "b": "B"}
    )
    assert planned(text).device_configuration == {"a": "5", "b": "B"}
    assert planned(text, A="", B="ignored").device_configuration == {"a": "", "b": "B"}


def test_parameter_that_nothing_refers_to_may_be_missing() -> None:
    assert planned(template("A")).device_configuration == {}


def nested(depth: int, width: int) -> str:
    value: Json = {"Ref": "A"}
    for _ in range(depth):
        value = {"Fn::Sub": ["${x}" * width, {"x": value}]}
    return template("A", DeviceConfiguration={"it": value})


def test_substitutions_inside_substitutions_are_bounded() -> None:
    assert planned(nested(3, 3), A="a").device_configuration == {"it": "a" * 27}
    assert refusal(nested(6, 100), A="a" * 4096) == f"the template's values have more than {MAX_CHARACTERS} characters"


def test_long_delimiters_are_bounded() -> None:
    text = template("A", DeviceConfiguration={"it": {"Fn::Join": ["x" * 5000, {"Fn::Split": [",", {"Ref": "A"}]}]}})
    assert refusal(text, A="," * 4000) == f"the template's values have more than {MAX_CHARACTERS} characters"


@given(st.text(max_size=20), st.text(max_size=20))
def test_values_of_parameters_are_never_read_as_functions(first: str, second: str) -> None:
    text = template(
        "A",
        "B",
        DeviceConfiguration={
            "sub": {"Fn::Sub": "${A}|${B}"},
            "join": {"Fn::Join": ["|", [{"Ref": "A"}, {"Ref": "B"}]]},
        },
    )
    its = planned(text, A=first, B=second).device_configuration
    assert its == {"sub": f"{first}|{second}", "join": f"{first}|{second}"}
