"""Functions inside a PolicyDocument: what they come to for a device, and that no device widens its policy with them."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.registration.templates import policy, template

from thingmint.core.errors import InvalidParameters, InvalidRequest
from thingmint.core.identifiers import CertificateId
from thingmint.core.policies.authorizer import Authorizer
from thingmint.core.policies.iot_policy import parse_iot_policy
from thingmint.core.provisioning.plan import CertificateFacts, plan
from thingmint.core.provisioning.resources import derived_policy_name
from thingmint.core.provisioning.template import TemplateKind, parse_template

Json = Any
CERTIFICATE_ID = CertificateId("ab" * 32)
FACTS = CertificateFacts(CERTIFICATE_ID)
ARN = "arn:aws:iot:us-east-1:000000000000:"
MAPPINGS: dict[str, dict[str, dict[str, Any]]] = {
    "Kinds": {
        "lamp": {
            "resources": [f"{ARN}topicfilter/{each}" for each in ("light/*", "dim/+")],
            "topic": "light/*",
            "effect": "Allow",
        },
        "lock": {"resources": [f"{ARN}topicfilter/lock"], "topic": "lock", "effect": "Deny"},
    },
    "Documents": {
        "lamp": {"document": '{"Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'},
        "lock": {"document": '{"Statement":[{"Effect":"Deny","Action":"iot:*","Resource":"*"}]}'},
    },
}


def statement(**elements: Json) -> Json:
    return {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*", **elements}


def document(*statements: Json) -> Json:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def body(policy_document: Json, defaults: Mapping[str, str] | None = None) -> str:
    parameters = {name: {"Type": "String"} for name in ("Serial", "Company", "Kind", "Index")}
    for name, default in (defaults or {}).items():
        parameters[name] = {"Type": "String", "Default": default}
    return json.dumps(
        {
            **json.loads(template(resources={"p": policy(PolicyDocument=policy_document)})),
            "Parameters": parameters,
            "Mappings": MAPPINGS,
        }
    )


def come_to(policy_document: Json, defaults: Mapping[str, str] | None = None, **parameters: str) -> Json:
    """Return the document that a device with these parameters gets, as JSON."""
    return json.loads(text_of(policy_document, defaults, **parameters))


def text_of(policy_document: Json, defaults: Mapping[str, str] | None = None, **parameters: str) -> str:
    parsed = parse_template(body(policy_document, defaults), TemplateKind.FLEET_PROVISIONING)
    (planned,) = plan(parsed, parameters, FACTS).policies
    assert planned.document is not None
    assert planned.name == derived_policy_name(planned.document)
    return planned.document


def refusal(policy_document: Json, defaults: Mapping[str, str] | None = None) -> str:
    """Return why a template with the document is refused, without the way to the document."""
    with pytest.raises(InvalidRequest) as refused:
        parse_template(body(policy_document, defaults), TemplateKind.FLEET_PROVISIONING)
    return refused.value.message.removeprefix("Resources.p.Properties.PolicyDocument")


def ref(name: str) -> Json:
    return {"Ref": name}


def sub(text: str, **own: Json) -> Json:
    return {"Fn::Sub": [text, own] if own else text}


MUSEUM = json.dumps(
    document(
        statement(Resource="arn:aws:iot:${Region}:${AccountId}:client/${ThingName}"),
        statement(
            Action=["iot:Publish", "iot:Receive"],
            Resource=["arn:aws:iot:${Region}:${AccountId}:topic/companies/${Company}/devices/${ThingName}/*"],
        ),
        statement(Resource="arn:aws:iot:${Region}:${AccountId}:client/${!iot:ClientId}"),
    )
)


def test_a_text_with_names_of_its_own_is_put_together_for_the_device() -> None:
    own = {"ThingName": ref("Serial"), "Company": ref("Company"), "Region": "us-east-1", "AccountId": "000000000000"}
    assert come_to(sub(MUSEUM, **own), Serial="sn-1", Company="acme") == document(
        statement(Resource=f"{ARN}client/sn-1"),
        statement(Action=["iot:Publish", "iot:Receive"], Resource=[f"{ARN}topic/companies/acme/devices/sn-1/*"]),
        statement(Resource=f"{ARN}client/${{iot:ClientId}}"),
    )


def test_a_text_alone_takes_parameters_and_the_services_own() -> None:
    text = json.dumps(document(statement(Resource=ARN + "client/${Serial}-${AWS::IoT::Certificate::Id}")))
    resource = f"{ARN}client/sn-1-{CERTIFICATE_ID}"
    assert come_to(sub(text), Serial="sn-1") == document(statement(Resource=resource))


def test_an_object_takes_functions_where_texts_and_lists_of_texts_stand() -> None:
    given = document(
        statement(Resource=sub(ARN + "client/${Serial}")),
        statement(Action="iot:Publish", Resource=[sub(ARN + "topic/${T}", T=mapped("topic")), ARN + "topic/x"]),
        statement(
            Effect=mapped("effect"),
            Action="iot:Subscribe",
            Resource=mapped("resources"),
            Condition={"StringEquals": {"iot:Connection.Thing.ThingTypeName": [ref("Kind"), "other"]}},
        ),
        statement(Resource={"Fn::Split": ["|", ARN + "client/a|" + ARN + "client/b"]}),
        statement(
            Condition={"StringEquals": {"iot:ClientId": {"Fn::Split": ["|", ref("Company")]}}}, Sid=ref("Serial")
        ),
        statement(
            Condition={"StringEquals": {"iot:ClientId": {"Fn::Select": ["1", {"Fn::Split": ["/", ref("Index")]}]}}}
        ),
    )
    assert come_to(given, Serial="sn1", Kind="lamp", Company="a:b|c", Index="x/y") == document(
        statement(Resource=f"{ARN}client/sn1"),
        statement(Action="iot:Publish", Resource=[f"{ARN}topic/light/*", f"{ARN}topic/x"]),
        statement(
            Effect="Allow",
            Action="iot:Subscribe",
            Resource=[f"{ARN}topicfilter/light/*", f"{ARN}topicfilter/dim/+"],
            Condition={"StringEquals": {"iot:Connection.Thing.ThingTypeName": ["lamp", "other"]}},
        ),
        statement(Resource=[f"{ARN}client/a", f"{ARN}client/b"]),
        statement(Condition={"StringEquals": {"iot:ClientId": ["a:b", "c"]}}, Sid="sn1"),
        statement(Condition={"StringEquals": {"iot:ClientId": "y"}}),
    )


def mapped(field: str) -> Json:
    return {"Fn::FindInMap": ["Kinds", ref("Kind"), field]}


@pytest.mark.parametrize(("kind", "effect"), [("lamp", "Allow"), ("lock", "Deny")])
def test_a_document_of_the_templates_own_is_chosen(kind: str, effect: str) -> None:
    for chosen in (
        {"Fn::FindInMap": ["Documents", ref("Kind"), "document"]},
        {"Fn::Select": [ref("Index"), [MAPPINGS["Documents"][each]["document"] for each in ("lamp", "lock")]]},
    ):
        index = str(["lamp", "lock"].index(kind))
        assert come_to(chosen, Kind=kind, Index=index)["Statement"][0]["Effect"] == effect


def test_the_text_of_a_mapping_is_trusted_and_written_as_json() -> None:
    text = json.dumps(document(statement(Resource=ARN + "topic/${T}")))
    given = sub(text, T={"Fn::FindInMap": ["Kinds", "lamp", "topic"]})
    assert come_to(given)["Statement"][0]["Resource"] == f"{ARN}topic/light/*"


def test_what_is_no_text_stays_as_it_is() -> None:
    given = document(statement(Condition={"Bool": {"aws:SecureTransport": True}, "NumericLessThan": {"iot:X": 5}}))
    written = text_of(sub(json.dumps(given)))
    assert written == json.dumps(given, separators=(",", ":"))


def test_equal_devices_share_a_policy_and_others_do_not() -> None:
    given = document(statement(Resource=sub(ARN + "client/${Company}-*")))
    first, again, other = (derived_policy_name(text_of(given, Company=name)) for name in ("a", "a", "b"))
    assert first == again != other


def test_a_default_counts_where_the_device_gives_nothing() -> None:
    given = document(statement(Resource=sub(ARN + "client/${Serial}")))
    assert come_to(given, {"Serial": "none"})["Statement"][0]["Resource"] == f"{ARN}client/none"


DANGEROUS = [
    *("*", "?", "a*", "a?", "$", "${iot:ClientId}", "${", "}", "#", "+", "/", "a/b", "..", '"', "'", "\\", "\\u002a"),
    *(
        '","Action":"iot:*',
        "a\nb",
        "a\tb",
        "a b",
        " ",
        "",
        "\0",
        "\x7f",
        "\u202e",
        "ä",
        "＊",
        "％",
        "%2A",
        "&",
        "|",
        "<",
    ),
    *("[", "{", "(", ";", "!", "~", "^", "`", "\ud7ff", "a\r\n", "\u2028"),
]
PLACES: dict[str, Json] = {
    "reference": document(statement(Condition={"StringEquals": {"iot:ClientId": ref("Serial")}})),
    "object": document(statement(Resource=sub(ARN + "client/${Serial}"))),
    "list": document(statement(Resource=[sub(ARN + "client/${Serial}")])),
    "text": sub(json.dumps(document(statement(Resource=ARN + "client/${Serial}")))),
    "own name": sub(json.dumps(document(statement(Resource=ARN + "client/${S}"))), S=ref("Serial")),
    "own name twice": sub(json.dumps(document(statement(Resource=ARN + "client/${S}"))), S=sub("${Serial}")),
    "condition": document(statement(Condition={"StringLike": {"iot:ClientId": ref("Serial")}})),
    "split": document(statement(Condition={"StringLike": {"iot:ClientId": {"Fn::Split": [",", ref("Serial")]}}})),
    "selected": document(statement(Resource=sub(ARN + "client/${S}", S={"Fn::Select": ["0", [ref("Serial")]]}))),
    "not": {"Statement": [{"Effect": "Deny", "Action": "*", "NotResource": sub(ARN + "client/${Serial}")}]},
}


@pytest.mark.parametrize("given", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("value", [each for each in DANGEROUS if each != ".."])
def test_a_value_with_a_meaning_is_refused_for_the_device_and_not_repeated(given: Json, value: str) -> None:
    parsed = parse_template(body(given), TemplateKind.FLEET_PROVISIONING)
    with pytest.raises(InvalidParameters, match="is put into a policy and must be letters, digits") as refused:
        plan(parsed, {"Serial": value}, FACTS)
    assert value.strip() in ("", ".") or f" {value} " not in refused.value.message


NAMES = st.text(st.sampled_from("abAB019_.:=@,-"), min_size=1, max_size=8)
ANYTHING = st.text(max_size=12) | NAMES | st.sampled_from(DANGEROUS)
REQUESTS = st.text(st.sampled_from("ab/*?+#$9-"), max_size=6)


@given(ANYTHING, REQUESTS)
@example("*", "anything")
@example("a", "a")
def test_no_value_widens_the_policy(value: str, asked: str) -> None:
    """The invariant: what a device gives is refused, or allows exactly the resource with this very text."""
    for place in ("object", "text", "own name twice"):
        try:
            text = text_of(PLACES[place], Serial=value)
        except InvalidParameters:
            continue
        authorizer = Authorizer([parse_iot_policy(text)], {"iot:ClientId": ("other",)})
        assert authorizer.allows("iot:Connect", f"{ARN}client/{value}")
        assert authorizer.allows("iot:Connect", f"{ARN}client/{asked}") is (asked == value)
        assert not authorizer.allows("iot:Publish", f"{ARN}client/{value}")


@pytest.mark.parametrize("element", ["Effect", "Action", "NotAction", "Principal"])
def test_a_device_says_neither_what_is_allowed_nor_whether(element: str) -> None:
    what = f"what a device gives cannot be a part of {element}; it can be of Resource and Condition"
    given = document(statement(**{element: ref("Serial")}))
    assert refusal(given) == f".Statement[0].{element}: {what}"
    assert refusal(document(statement(**{element: [sub("iot:${Serial}")]}))).endswith(what)
    in_text = sub(json.dumps(document(statement(**{element: "iot:${Serial}"}))))
    assert refusal(in_text) == f".Fn::Sub: {what}"


REFUSED: dict[str, tuple[Json, str]] = {
    "device's document": (ref("Serial"), ": what a device gives cannot be a policy; put it into the document with"),
    "device's part": (
        {"Fn::Select": ["0", {"Fn::Split": ["|", ref("Serial")]}]},
        ": what a device gives cannot be a policy",
    ),
    "version": ({**document(statement()), "Version": ref("Serial")}, ".Version: what a device gives cannot be a part"),
    "statements": (document(ref("Serial")), ": line 1, column"),
    "a whole resource": (
        document(statement(Resource=ref("Serial"))),
        ": line 1, column 90: a resource is an ARN or \"*\", not 'A' (with 'A' for what a device gives)",
    ),
    "outside of strings": (sub('{"Statement": ${Serial}}'), ".Fn::Sub: line 1, column 15: a value is expected"),
    "no JSON": (sub("{\n  'Statement'"), ".Fn::Sub: line 2, column 3: a key in double quotes is expected"),
    "in a key": (
        sub(json.dumps(document(statement(Condition={"StringEquals": {"iot:${Serial}": "x"}})))),
        ".Fn::Sub: the key 'iot:${Serial}' has a name to replace",
    ),
    "mistake": (
        sub('{"Statement": [\n {"Effect": "allow", "Action": "iot:Connect", "Resource": "${Serial}"}]}'),
        ".Fn::Sub: line 2, column 13: ",
    ),
    "mistake behind a name": (
        sub('{"Statement":[{"Effect":"Allow","Resource":"${!iot:ClientId}${Serial}","Action":"x:y"}]}'),
        ".Fn::Sub: line 1, column 81: an action",
    ),
    "mistake of a mapping": (
        document(statement(Effect={"Fn::FindInMap": ["Kinds", "lamp", "topic"]})),
        ": line 1, column ",
    ),
    "unknown name": (sub(json.dumps(document(statement(Resource="${Missing}")))), ".Fn::Sub: Cannot resolve reference"),
    "two keys": (document(statement(Resource={"Ref": "Serial", "x": 1})), ".Statement[0].Resource: Ref stands alone"),
    "join": (document(statement(Resource={"Fn::Join": ["", ["a"]]})), ".Statement[0].Resource: 'Fn::Join' is no"),
    "list in a text": (sub('{"Statement": "${L}"}', L={"Fn::Split": ["|", "x"]}), ".Fn::Sub[1].L: 'Fn::Split' is no"),
    "text that is none": ({"Fn::Sub": [1, {}]}, ".Fn::Sub[0]: a text is expected"),
}


@pytest.mark.parametrize(("given", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_mistake_is_found_with_the_template(given: Json, reason: str) -> None:
    assert refusal(given).startswith(reason)


def test_a_default_that_could_not_be_put_in_is_found_with_the_template() -> None:
    with pytest.raises(InvalidRequest, match=r"^Parameters\.Serial\.Default: it is put into the policy of"):
        parse_template(body(PLACES["own name twice"], {"Serial": "*"}), TemplateKind.FLEET_PROVISIONING)


@pytest.mark.parametrize(
    ("given", "parameters", "reason"),
    [
        (PLACES["text"], {}, "Cannot resolve reference value: Serial"),
        ({"Fn::FindInMap": ["Documents", ref("Kind"), "document"]}, {"Kind": "x"}, "Fn::FindInMap found nothing"),
        (document(statement(Resource={"Fn::Select": [ref("Index"), ["a"]]})), {"Index": "1"}, "has no element 1"),
        (
            {"Fn::FindInMap": ["Kinds", ref("Kind"), "topic"]},
            {"Kind": "lamp"},
            "PolicyDocument: line 1, column 1: ",
        ),
        (document(statement(Resource=mapped("topic"))), {"Kind": "lamp"}, "a resource is an ARN"),
        (PLACES["text"], {"Serial": "x" * 2049}, "PolicyDocument.Fn::Sub: .*2048"),
    ],
)
def test_what_only_a_device_shows_is_refused_for_the_device(
    given: Json, parameters: Mapping[str, str], reason: str
) -> None:
    parsed = parse_template(body(given), TemplateKind.FLEET_PROVISIONING)
    with pytest.raises(InvalidParameters, match=reason):
        plan(parsed, parameters, FACTS)


@pytest.mark.parametrize("common_name", ["lamp-7.example", "AA:BB:CC:00:11:22"])
def test_names_of_the_devices_certificate_may_stand_in_its_policy(common_name: str) -> None:
    given = sub(json.dumps(document(statement(Resource=ARN + "client/${AWS::IoT::Certificate::CommonName}"))))
    parsed = parse_template(template(resources={"p": policy(PolicyDocument=given)}), TemplateKind.JITP)
    facts = CertificateFacts(CERTIFICATE_ID, {"Subject.CommonName": (common_name,)})
    (planned,) = plan(parsed, {}, facts).policies
    assert planned.document is not None
    assert json.loads(planned.document)["Statement"][0]["Resource"] == f"{ARN}client/{common_name}"


@pytest.mark.parametrize("common_name", ["*", "lamp *", "a/b", "${iot:ClientId}"])
def test_a_certificate_cannot_widen_its_policy_by_its_name(common_name: str) -> None:
    given = document(statement(Resource=sub(ARN + "client/${AWS::IoT::Certificate::CommonName}")))
    parsed = parse_template(template(resources={"p": policy(PolicyDocument=given)}), TemplateKind.JITP)
    facts = CertificateFacts(CERTIFICATE_ID, {"Subject.CommonName": (common_name,)})
    with pytest.raises(InvalidParameters, match="the value of AWS::IoT::Certificate::CommonName is put into a policy"):
        plan(parsed, {}, facts)
