"""RegisterThing over HTTP, from the parts of a request to the JSON of the answer."""

import hashlib
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support.certificates.signing_requests import csr_pem
from tests.support.certificates.user_ca import new_ca
from tests.support.registration.api import Api
from tests.support.registration.authority import caller_with
from tests.support.registration.fleet import DOCUMENT

from thingmint.api.provisioning.register_thing import registration_steps
from thingmint.api.wire.reading.binding import RawRequest
from thingmint.core.errors import InvalidRequest, RegistrationFailed
from thingmint.issuance.foreign.certificate import load_foreign_pem

OURS = "arn:aws:iot:eu-west-1:123456789012"
TEMPLATE = {
    "Parameters": {"CSR": {"Type": "String"}, "Name": {"Type": "String", "Default": "lamp"}},
    "Resources": {
        "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Name"}}},
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateSigningRequest": {"Ref": "CSR"}},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": DOCUMENT}},
    },
}


def body(template: object = TEMPLATE, **parameters: object) -> bytes:
    return json.dumps({"templateBody": json.dumps(template), "parameters": parameters}).encode()


async def test_what_was_registered_is_answered_in_the_form_of_aws(api: Api) -> None:
    request = csr_pem("p-256")
    done = await api.call("POST", "/things", body(CSR=request, Name="bulb"))
    assert list(done) == ["certificatePem", "resourceArns"]
    certificate = x509.load_pem_x509_certificate(done["certificatePem"].encode())
    assert certificate.public_key() == x509.load_pem_x509_csr(request.encode()).public_key()
    (stored,) = api.store.tables.certificates
    ((policy_name,),) = api.store.tables.rows("policy", "name")
    assert done["resourceArns"] == {
        "thing": f"{OURS}:thing/bulb",
        "certificate": stored.arn,
        "policy": f"{OURS}:policy/{policy_name}",
    }
    assert len(policy_name) == 40


async def test_a_certificate_is_parsed_once_for_policies_template_and_registry(api: Api) -> None:
    ca = new_ca()
    pem = ca.issue_pem()
    certificate = {"Type": "AWS::IoT::Certificate", "Properties": {"CertificatePem": {"Ref": "PEM"}}}
    template = {"Parameters": {"PEM": {"Type": "String"}}, "Resources": {"certificate": certificate}}
    before = load_foreign_pem.cache_info()
    assert steps(template, parameters={"PEM": pem})
    with pytest.raises(RegistrationFailed, match="not registered"):
        await api.call("POST", "/things", body(template, PEM=pem))
    after = load_foreign_pem.cache_info()
    assert after.misses - before.misses == 1
    assert after.hits - before.hits >= 2


async def test_a_template_without_a_certificate_is_answered_without_one(api: Api) -> None:
    template = {"Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "lamp"}}}}
    sent = json.dumps({"templateBody": json.dumps(template)}).encode()
    assert await api.call("POST", "/things", sent) == {"resourceArns": {"thing": f"{OURS}:thing/lamp"}}


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"{}", "Value null at 'templateBody'"),
        (body(), "Cannot resolve reference value: CSR"),
        (body(CSR=7), "parameters"),
    ],
)
async def test_what_cannot_be_registered_is_refused_and_nothing_stored(api: Api, sent: bytes, reason: str) -> None:
    before = api.store.tables.dump()
    with pytest.raises(InvalidRequest, match=reason):
        await api.call("POST", "/things", sent)
    assert api.store.tables.dump() == before


def test_policies_are_asked_about_every_resource(api: Api) -> None:
    assert api.resource_of("POST", "/things", body()) == "*"


def steps(template: object, **members: object) -> list[tuple[str, str]]:
    """Return what a request needs not to be denied, as it came."""
    sent = {"templateBody": template if isinstance(template, str) else json.dumps(template), **members}
    found = registration_steps(caller_with().scope, RawRequest({}, (), (), json.dumps(sent).encode()))
    assert all(each.need_not_be_allowed for each in found)
    return [(each.action, each.resource) for each in found]


def certificate_template(**properties: str) -> object:
    return {"Resources": {"certificate": {"Type": "AWS::IoT::Certificate", "Properties": properties}}}


def test_what_a_template_does_is_named_by_the_certificates_id_where_it_is_known() -> None:
    certificate_id = "ab" * 32
    assert steps(certificate_template(CertificateId=certificate_id)) == [
        ("iot:UpdateCertificate", f"{OURS}:cert/{certificate_id}")
    ]
    pem = new_ca().issue_pem()
    with_policy = {
        "Resources": {
            "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificatePem": pem}},
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "named"}},
        }
    }
    digest = hashlib.sha256(x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)).hexdigest()
    assert steps(with_policy) == [
        ("iot:AttachPolicy", f"{OURS}:cert/{digest}"),
        ("iot:RegisterCertificate", "*"),
        ("iot:UpdateCertificate", f"{OURS}:cert/{digest}"),
    ]
    assert steps(TEMPLATE, parameters={"CSR": csr_pem("p-256")})[1] == ("iot:AttachPolicy", f"{OURS}:cert/*")
    thing = {"Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "lamp"}}}}
    assert steps(thing) == [("iot:CreateThing", f"{OURS}:thing/lamp")]


@pytest.mark.parametrize(
    ("template", "members"),
    [
        ("{", {}),
        (TEMPLATE, {}),
        (TEMPLATE, {"parameters": {"CSR": 5}}),
        (TEMPLATE, {"parameters": []}),
        (TEMPLATE, {"parameters": ["CSR"]}),
        (certificate_template(CertificatePem="garbage"), {}),
        ("", {"templateBody": 5}),
    ],
)
def test_a_request_that_makes_no_plan_does_nothing(template: object, members: dict[str, object]) -> None:
    assert steps(template, **members) == []
