"""Provisioning templates: what is one, and what each mistake is called."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.machine.soak import examples
from tests.support.registration.policies import Json
from tests.support.registration.templates import CERTIFICATE_ID, POLICY_DOCUMENT, certificate, policy, template, thing

from thingmint.core.errors import InvalidParameters, InvalidRequest
from thingmint.core.identifiers import CertificateId
from thingmint.core.provisioning.plan import CertificateFacts, plan
from thingmint.core.provisioning.resources import Override
from thingmint.core.provisioning.template import TemplateKind, parse_template

FLEET, JITP, REGISTER = TemplateKind.FLEET_PROVISIONING, TemplateKind.JITP, TemplateKind.REGISTER_THING
RESERVED = "names that begin with AWS::IoT::Certificate:: are the service's own, and this is none of them"


def refusal(text: str, kind: TemplateKind = FLEET) -> str:
    with pytest.raises(InvalidRequest) as caught:
        parse_template(text, kind)
    return caught.value.message


def test_templates_with_the_same_text_and_kind_are_equal_and_show_it() -> None:
    parsed = parse_template(template(), FLEET)
    assert parsed == parse_template(template(), FLEET)
    assert parsed != parse_template(template(), JITP)
    assert repr(parsed) == f"Template(text={template()!r}, kind={FLEET!r})"


@pytest.mark.parametrize("kind", TemplateKind)
def test_template_is_bounded_in_length(kind: TemplateKind) -> None:
    text = template("AWS::IoT::Certificate::Id")
    longest = text + " " * (10_240 - len(text))
    assert parse_template(longest, kind).text == longest
    assert refusal(longest + " ", kind) == "the template: it has 10241 characters, more than 10240"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the template: line 1, column 1: the document ends early"),
        ("[]", "the template: an object is expected"),
        ("{}", "the template: Resources is missing"),
        ('{"Resources": {},\n "Resources": {}}', "the template: line 2, column 2: the key 'Resources' appears twice"),
        (
            '{"Resources": {}, "Outputs": {}}',
            "the template: 'Outputs' is not known here; DeviceConfiguration, Mappings, Parameters, Resources are",
        ),
        ("[" * 25 + "]" * 25, "the template: line 1, column 25: values are nested more than 24 levels deep"),
        ('{"Resources": []}', "Resources: an object is expected"),
        ('{"Resources": {}}', "Resources: a certificate is missing: the device's own would never become active"),
        (template(resources={"second": certificate()}), "Resources: at most one thing and one certificate can be"),
        (template(resources={"a": thing(), "b": thing()}), "Resources: at most one thing and one certificate can be"),
        (template(Parameters=[]), "Parameters: an object is expected"),
        (template(Parameters={"A": "String"}), "Parameters.A: an object is expected"),
        (template(Parameters={"A": {}}), "Parameters.A.Type: String is expected"),
        (template(Parameters={"A": {"Type": "Number"}}), "Parameters.A.Type: String is expected"),
        (
            template(Parameters={"A": {"Type": "String", "Min": 1}}),
            "Parameters.A: 'Min' is not known here; Default, Type",
        ),
        (template(Parameters={"A": {"Type": "String", "Default": None}}), "Parameters.A.Default: a text is expected"),
        (template("AWS::IoT::Certificate::Country"), f"Parameters.AWS::IoT::Certificate::Country: {RESERVED}"),
        (template(Mappings=[]), "Mappings: an object is expected"),
        (template(Mappings={"M": []}), "Mappings.M: an object is expected"),
        (template(Mappings={"M": {"k": "v"}}), "Mappings.M.k: an object is expected"),
        (template(Mappings={"M": {"k": {"f": {"Ref": "A"}}}}), "Mappings.M.k.f: a text is expected"),
        (template(Mappings={"M": {"k": {"f": ["a", None]}}}), "Mappings.M.k.f[1]: a text is expected"),
        (template(DeviceConfiguration="a"), "DeviceConfiguration: an object is expected"),
        (template(DeviceConfiguration={"a": ["b"]}), "DeviceConfiguration.a: a text is expected"),
        (template(DeviceConfiguration={"a": None}), "DeviceConfiguration.a: a text is expected"),
        (
            template(DeviceConfiguration={"a": {"b": "c", "d": "e"}}),
            "DeviceConfiguration.a: a text or a function, which is an object with one key, is expected",
        ),
        (
            template(DeviceConfiguration={"a": {"b": "c"}}),
            "DeviceConfiguration.a: 'b' is no function that gives a text here; Ref, Fn::Join, Fn::Select, ",
        ),
    ],
)
def test_sections_that_break_the_grammar(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        ("lamp", ": an object is expected"),
        ({}, ": Type is missing"),
        ({"Type": "AWS::IoT::Thing"}, ": Properties is missing"),
        ({**thing(), "DependsOn": "x"}, ": 'DependsOn' is not known here; OverrideSettings, Properties, Type are"),
        ({**thing(), "Type": []}, ".Type: a text is expected"),
        (
            {**thing(), "Type": "AWS::IoT::Role"},
            ".Type: 'AWS::IoT::Role' is none of AWS::IoT::Thing, AWS::IoT::Certificate, AWS::IoT::Policy",
        ),
        ({**thing(), "Properties": []}, ".Properties: an object is expected"),
        ({**thing(), "Properties": {}}, ".Properties: ThingName is missing"),
        (thing(PackageVersions={"a": "1"}), ".Properties: 'PackageVersions' is not known here; AttributePayload, "),
        (thing("a b"), ".Properties.ThingName: the name of a thing matches"),
        (thing(None), ".Properties.ThingName: a text is expected"),
        (thing(ThingTypeName=""), ".Properties.ThingTypeName: the name of a thing type matches"),
        (thing(BillingGroup="a/b"), ".Properties.BillingGroup: the name of a billing group matches"),
        (thing(ThingGroups="a"), ".Properties.ThingGroups: a list is expected"),
        (thing(ThingGroups=["a", "b c"]), ".Properties.ThingGroups: the name of a thing group matches"),
        (thing(ThingGroups=["a", []]), ".Properties.ThingGroups[1]: a text is expected"),
        (
            thing(ThingGroups={"Ref": "A"}),
            ".Properties.ThingGroups: 'Ref' is no function that gives a list; Fn::Split,",
        ),
        (thing(AttributePayload=[]), ".Properties.AttributePayload: an object is expected"),
        (thing(AttributePayload={"a b": "1"}), ".Properties.AttributePayload: the name of an attribute matches"),
        (thing(AttributePayload={"a b": {"Ref": "A"}}), ".Properties.AttributePayload: the name of an attribute"),
        (thing(AttributePayload={"a": "1 2"}), ".Properties.AttributePayload: the attribute 'a' matches"),
        (thing(AttributePayload={"a": None}), ".Properties.AttributePayload.a: a text is expected"),
        (
            thing(AttributePayload={f"a{number}": "1" for number in range(51)}),
            ".Properties.AttributePayload: a thing has at most 50 attributes, not 51",
        ),
        (policy(), ".Properties: exactly one of PolicyName, PolicyDocument is expected"),
        (
            policy(PolicyName="a", PolicyDocument=POLICY_DOCUMENT),
            ".Properties: exactly one of PolicyName, PolicyDocument",
        ),
        (policy(Policy="a"), ".Properties: 'Policy' is not known here; PolicyDocument, PolicyName are"),
        (policy(PolicyName="a b"), ".Properties.PolicyName: the name of a policy matches"),
        (
            policy(PolicyName={"Fn::Join": ["", ["a", {"Ref": "A"}]]}),
            ".Properties.PolicyName: 'Fn::Join' is no function that gives a text here; Ref, Fn::Select, ",
        ),
        (
            policy(PolicyDocument="{"),
            ".Properties.PolicyDocument: line 1, column 2: a key in double quotes is expected",
        ),
        (policy(PolicyDocument={}), ".Properties.PolicyDocument: line 1, column 1: the policy has no Statement"),
        (policy(PolicyDocument=5), ".Properties.PolicyDocument: line 1, column 1: a policy must be an object"),
        (
            policy(PolicyDocument={"Ref": "A"}),
            ".Properties.PolicyDocument: what a device gives cannot be a policy; put it into the document with Fn::Sub",
        ),
        (
            policy(PolicyDocument={"Statement": [{"Resource": {"Fn::Sub": "arn:${A}"}}]}),
            ".Properties.PolicyDocument: line 1, column 15: the statement has no Effect",
        ),
        ({**policy(PolicyName="a"), "OverrideSettings": {}}, ".OverrideSettings: policies have none"),
        ({**thing(), "OverrideSettings": []}, ".OverrideSettings: an object is expected"),
        (
            {**thing(), "OverrideSettings": {"Status": "FAIL"}},
            ".OverrideSettings: 'Status' is not known here; AttributePayload, ThingGroups, ThingTypeName are",
        ),
        (
            {**thing(), "OverrideSettings": {"ThingTypeName": "MERGE"}},
            ".OverrideSettings.ThingTypeName: 'MERGE' is none of DO_NOTHING, FAIL, REPLACE",
        ),
        (
            {**thing(), "OverrideSettings": {"ThingGroups": "merge"}},
            ".OverrideSettings.ThingGroups: 'merge' is none of",
        ),
        ({**thing(), "OverrideSettings": {"ThingGroups": []}}, ".OverrideSettings.ThingGroups: a text is expected"),
    ],
)
def test_resources_that_break_the_grammar(resource: Json, message: str) -> None:
    assert refusal(template("A", resources={"it": resource})).startswith(f"Resources.it{message}")


SOURCES = "exactly one of CertificateSigningRequest, CertificateId, CertificatePem is expected"


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({}, f": {SOURCES}"),
        ({"CertificateSigningRequest": "a", "CertificatePem": "b"}, f": {SOURCES}"),
        ({"CertificateId": "a", "CertificateID": "b"}, f": {SOURCES}"),
        ({"CertificatePEM": "a"}, ": 'CertificatePEM' is not known here; CACertificatePem, CertificateID, "),
        ({"CertificateId": "ab"}, ".CertificateId: a certificate id is 64 hexadecimal digits, not 'ab'"),
        ({"CertificateSigningRequest": "a", "CACertificatePem": "b"}, ": CACertificatePem belongs to CertificatePem"),
        ({"CertificatePem": "a", "Status": "REVOKED"}, ".Status: 'REVOKED' is none of ACTIVE, INACTIVE"),
        (
            {"CertificatePem": "a", "ThingPrincipalType": "ALL"},
            ".ThingPrincipalType: 'ALL' is none of EXCLUSIVE_THING, NON_EXCLUSIVE_THING",
        ),
    ],
)
def test_certificates_that_break_the_grammar(properties: dict[str, Json], message: str) -> None:
    text = json.dumps({"Resources": {"it": {"Type": "AWS::IoT::Certificate", "Properties": properties}}})
    assert refusal(text, REGISTER).startswith(f"Resources.it.Properties{message}")


@pytest.mark.parametrize("kind", [FLEET, JITP])
@pytest.mark.parametrize(
    "source",
    [
        {"CertificateSigningRequest": {"Ref": "A"}},
        {"CertificatePem": {"Ref": "A"}},
        {"CertificateId": {"Ref": "A"}},
        {"CertificateId": "ab" * 32},
    ],
)
def test_device_chooses_no_certificate_but_its_own(kind: TemplateKind, source: dict[str, Json]) -> None:
    its = {"Type": "AWS::IoT::Certificate", "Properties": source}
    text = json.dumps({"Parameters": {"A": {"Type": "String"}}, "Resources": {"its": its}})
    assert "the certificate of this type of template is CertificateId" in refusal(text, kind)
    assert parse_template(text, REGISTER).certificate is not None


def test_certificate_is_optional_where_an_operator_registers() -> None:
    assert parse_template('{"Resources": {}}', REGISTER).certificate is None


@pytest.mark.parametrize("kind", [JITP, REGISTER])
def test_device_configuration_is_for_fleets_alone(kind: TemplateKind) -> None:
    parameters = ["AWS::IoT::Certificate::Id"]
    text = template(*parameters, DeviceConfiguration={"a": "b"})
    assert parse_template(text, FLEET).device_configuration
    assert refusal(text, kind) == "DeviceConfiguration: only templates for fleet provisioning have one"
    assert not parse_template(template(*parameters, DeviceConfiguration={}), kind).device_configuration


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"Ref": 5}, ".Ref: the name of a parameter is expected"),
        ({"Ref": "B"}, ".Ref: Cannot resolve reference value: B"),
        ({"Ref": "AWS::Region"}, ".Ref: Cannot resolve reference value: AWS::Region"),
        (
            {"Ref": "AWS::IoT::Certificate::CommonName"},
            ".Ref: Cannot resolve reference value: AWS::IoT::Certificate::C",
        ),
        ({"Fn::Join": "a"}, ".Fn::Join: a delimiter and a list are expected"),
        ({"Fn::Join": ["a"]}, ".Fn::Join: a delimiter and a list are expected"),
        ({"Fn::Join": [{"Ref": "A"}, []]}, ".Fn::Join[0]: a text is expected"),
        ({"Fn::Join": ["", "a"]}, ".Fn::Join[1]: a list is expected"),
        ({"Fn::Join": ["", ["a", None]]}, ".Fn::Join[1][1]: a text is expected"),
        ({"Fn::Join": ["", {}]}, ".Fn::Join[1]: a text or a function, which is an object with one key, is expected"),
        ({"Fn::Select": [0]}, ".Fn::Select: an index and a list are expected"),
        ({"Fn::Select": [[], []]}, ".Fn::Select[0]: a text is expected"),
        ({"Fn::Select": [0, {"Ref": "A"}]}, ".Fn::Select[1]: 'Ref' is no function that gives a list"),
        ({"Fn::Select": [0, {"Fn::Split": [",", "a", "b"]}]}, ".Fn::Select[1].Fn::Split: a delimiter and a text are"),
        ({"Fn::Select": [0, {"Fn::Split": ["", "a"]}]}, ".Fn::Select[1].Fn::Split[0]: the delimiter must not be empty"),
        ({"Fn::Select": [0, {"Fn::Split": [None, "a"]}]}, ".Fn::Select[1].Fn::Split[0]: a text is expected"),
        ({"Fn::Select": [0, {"Fn::Split": [",", ["a"]]}]}, ".Fn::Select[1].Fn::Split[1]: a text is expected"),
        ({"Fn::Split": [",", "a"]}, ": 'Fn::Split' is no function that gives a text here"),
        ({"Fn::FindInMap": ["M", "k"]}, ".Fn::FindInMap: the name of a mapping and two keys are expected"),
        ({"Fn::FindInMap": "M"}, ".Fn::FindInMap: the name of a mapping and two keys are expected"),
        ({"Fn::FindInMap": ["N", "k", "f"]}, ".Fn::FindInMap[0]: there is no mapping 'N'"),
        ({"Fn::FindInMap": ["M", "k", []]}, ".Fn::FindInMap[2]: a text is expected"),
        ({"Fn::Sub": 5}, ".Fn::Sub: a text, or a text and an object, are expected"),
        ({"Fn::Sub": ["a", {}, {}]}, ".Fn::Sub: a text, or a text and an object, are expected"),
        ({"Fn::Sub": [{"Ref": "A"}, {}]}, ".Fn::Sub[0]: a text is expected"),
        ({"Fn::Sub": ["a", []]}, ".Fn::Sub[1]: an object is expected"),
        ({"Fn::Sub": ["a", {"x": []}]}, ".Fn::Sub[1].x: a text is expected"),
        ({"Fn::Sub": "${B}"}, ".Fn::Sub: Cannot resolve reference value: B"),
        ({"Fn::Sub": ["${x}${B}", {"x": "1"}]}, ".Fn::Sub: Cannot resolve reference value: B"),
        ({"Fn::Sub": "a${"}, ".Fn::Sub: ${ is followed by a name and }"),
        ({"Fn::Sub": "a${}"}, ".Fn::Sub: ${ is followed by a name and }"),
        ({"Fn::GetAtt": ["a", "b"]}, ": 'Fn::GetAtt' is no function that gives a text here"),
    ],
)
def test_functions_that_break_the_grammar(value: Json, message: str) -> None:
    text = template("A", Mappings={"M": {"k": {"f": "v"}}}, DeviceConfiguration={"it": value})
    assert refusal(text).startswith(f"DeviceConfiguration.it{message}")


@pytest.mark.parametrize(
    ("declared", "name", "hint"),
    [
        ("ThingName ", "ThingName", "; declared is 'ThingName '"),
        ("SerialNumber", "serialNumber", "; declared is 'SerialNumber'"),
        ("SerialNumber", "iot:ClientId", "; the policy variable is written ${!iot:ClientId} here"),
        ("SerialNumber", "aws:SourceIp", "; the policy variable is written ${!aws:SourceIp} here"),
        ("SerialNumber", "AWS::Region", ""),
        ("SerialNumber", "Other", ""),
    ],
)
def test_a_name_that_stands_for_nothing_is_told_with_what_may_be_meant(declared: str, name: str, hint: str) -> None:
    text = template(declared, DeviceConfiguration={"it": {"Ref": name}})
    assert refusal(text) == f"DeviceConfiguration.it.Ref: Cannot resolve reference value: {name}{hint}"


@pytest.mark.parametrize("nested", [{"a": "b"}, {"a": "b", "c": "d"}, {}])
def test_an_object_inside_the_configuration_is_told_to_be_none_of_it(nested: Json) -> None:
    said = refusal(template(DeviceConfiguration={"it": nested}))
    assert said.startswith("DeviceConfiguration.it: ")
    assert said.endswith("; objects inside objects are not supported")


def test_attributes_in_the_form_of_create_thing_are_told_to_be_another_form() -> None:
    given = template(resources={"it": thing(AttributePayload={"attributes": {"a": "b"}})})
    reason = "a template has names and values here, without an object 'attributes' around them"
    assert refusal(given) == f"Resources.it.Properties.AttributePayload: {reason}"
    assert parse_template(template(resources={"it": thing(AttributePayload={"attributes": "b"})}), FLEET).thing


def test_a_byte_order_mark_is_named() -> None:
    assert refusal("\ufeff{}") == (
        "the template: line 1, column 1: a byte order mark stands before the text; save it without one"
    )


OVERRIDES = {"AttributePayload": "FAIL", "ThingTypeName": "REPLACE", "ThingGroups": "MERGE"}
IN_CAPITALS = {"ATTRIBUTE_PAYLOAD": "FAIL", "THING_TYPE_NAME": "REPLACE", "THING_GROUPS": "MERGE"}


@pytest.mark.parametrize("given", [OVERRIDES, IN_CAPITALS])
def test_override_settings_are_named_as_the_guide_lists_them_or_as_it_writes_them(given: Json) -> None:
    its_certificate: Json = {**certificate(), "OverrideSettings": {"STATUS": "FAIL"}}
    resources: dict[str, Json] = {"it": {**thing(), "OverrideSettings": given}, "certificate": its_certificate}
    parsed = parse_template(template(resources=resources), FLEET)
    assert parsed.thing is not None
    assert parsed.thing.overrides == {name: Override(setting) for name, setting in OVERRIDES.items()}
    assert parsed.certificate is not None
    assert parsed.certificate.overrides == {"Status": Override.FAIL}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"ThingGroups": "MERGE", "THING_GROUPS": "MERGE"}, ": ThingGroups is given twice, once in capitals"),
        ({"THING_TYPE_NAME": "MERGE"}, ".THING_TYPE_NAME: 'MERGE' is none of DO_NOTHING, FAIL, REPLACE"),
        ({"thing_groups": "MERGE"}, ": 'thing_groups' is not known here; AttributePayload, ThingGroups, ThingTypeN"),
        ({"STATUS": "FAIL"}, ": 'STATUS' is not known here; AttributePayload, ThingGroups, ThingTypeName are"),
    ],
)
def test_other_names_of_override_settings_are_refused(given: Json, reason: str) -> None:
    said = refusal(template(resources={"it": {**thing(), "OverrideSettings": given}}))
    assert said.startswith(f"Resources.it.OverrideSettings{reason}")


def test_a_certificate_has_ten_policies() -> None:
    policies: dict[str, Json] = {f"p{number}": policy(PolicyName=f"p{number}") for number in range(11)}
    reason = "11 policies are declared, and a certificate has at most 10"
    assert refusal(template(resources=policies)) == f"Resources: {reason}"
    del policies["p0"]
    assert len(parse_template(template(resources=policies), FLEET).policies) == 10


def test_subject_of_the_certificate_is_known_to_jitp_alone() -> None:
    text = template(resources={"thing": thing({"Ref": "AWS::IoT::Certificate::CommonName"})})
    assert parse_template(text, JITP).thing is not None
    assert "Cannot resolve reference value: AWS::IoT::Certificate::CommonName" in refusal(text, FLEET)


def test_operator_may_give_parameters_any_name() -> None:
    text = template("AWS::IoT::Certificate::Id", "AWS::IoT::Certificate::Other")
    assert parse_template(text, REGISTER).parameters.keys() == {
        "AWS::IoT::Certificate::Id",
        "AWS::IoT::Certificate::Other",
    }
    assert RESERVED in refusal(text, JITP)


WORDS = [
    *("Type", "Properties", "OverrideSettings", "AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy"),
    *("ThingName", "CertificateId", "PolicyName", "PolicyDocument", "AttributePayload", "ThingGroups", "Status"),
    *("Ref", "Fn::Join", "Fn::Select", "Fn::Split", "Fn::Sub", "Fn::FindInMap", "AWS::IoT::Certificate::Id"),
    *("A", "${A}", "M", "ACTIVE", "FAIL"),
]
ANY_JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=5) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)
        | st.tuples(
            st.sampled_from(["Ref", "Fn::Join", "Fn::Select", "Fn::Split", "Fn::Sub", "Fn::FindInMap"]), inner
        ).map(lambda pair: {pair[0]: pair[1]})
    ),
    max_leaves=12,
)
TEXTS = st.one_of(
    st.text(max_size=40),
    ANY_JSON.map(json.dumps),
    ANY_JSON.map(lambda value: template("A", resources={"it": value})),
    ANY_JSON.map(lambda value: template("A", resources={"it": thing(value, AttributePayload={"a": value})})),
    ANY_JSON.map(lambda value: template("A", Mappings={"M": {"A": {"A": "v"}}}, DeviceConfiguration={"it": value})),
    ANY_JSON.map(lambda value: template("A", Parameters=value, Mappings=value)),
)


@given(TEXTS, st.sampled_from(TemplateKind), st.dictionaries(st.sampled_from(WORDS), st.text(max_size=5), max_size=3))
@settings(max_examples=examples(100, 1500))
def test_any_text_is_a_template_or_refused_and_comes_to_a_plan_or_not(
    text: str, kind: TemplateKind, parameters: dict[str, str]
) -> None:
    with suppress(InvalidRequest):
        parsed = parse_template(text, kind)
        with suppress(InvalidParameters):
            plan(parsed, parameters, CertificateFacts(CertificateId("ab" * 32)))


def test_fifty_attributes_are_accepted() -> None:
    fifty: Json = {f"a{number}": "1" for number in range(50)}
    its = parse_template(template(resources={"it": thing(AttributePayload=fifty)}), FLEET).thing
    assert its is not None
    assert its.attributes is not None
    assert len(its.attributes) == 50


def test_certificate_id_may_be_spelled_as_the_guide_lists_it() -> None:
    its: dict[str, Json] = {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateID": CERTIFICATE_ID}}
    assert parse_template(json.dumps({"Resources": {"its": its}}), FLEET).certificate is not None
