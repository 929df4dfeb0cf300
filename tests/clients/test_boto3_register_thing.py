"""RegisterThing through AWS's SDK and CLI: all of a template or nothing, and every error that it models."""

import json
import ssl
from typing import Any

import pytest
from cryptography import x509
from tests.clients.test_aws_cli import Shell, shell_of
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import ClientOf, IoT, Live, allow, policy, refusal_of
from tests.support.devices.live_devices import unique
from tests.support.registration.fleet import DOCUMENT
from tests.support.services.forked import run_thingmint


def template(**overrides: object) -> str:
    """Return a template for lamps with a signing request, a policy and a thing."""
    return json.dumps(
        {
            "Parameters": {name: {"Type": "String"} for name in ("Name", "CSR", "Colour")},
            "Resources": {
                "lamp": {
                    "Type": "AWS::IoT::Thing",
                    "Properties": {
                        "ThingName": {"Fn::Join": ["-", ["lamp", {"Ref": "Name"}]]},
                        "AttributePayload": {"colour": {"Ref": "Colour"}},
                    },
                    "OverrideSettings": overrides,
                },
                "certificate": {
                    "Type": "AWS::IoT::Certificate",
                    "Properties": {"CertificateSigningRequest": {"Ref": "CSR"}, "Status": "ACTIVE"},
                },
                "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": json.dumps(DOCUMENT)}},
            },
        }
    )


def parameters(name: str | None = None, colour: str = "red") -> dict[str, str]:
    return {"Name": name or unique("thing"), "CSR": csr_pem("p-256"), "Colour": colour}


def certificates_of(iot: IoT) -> set[str]:
    pages = iot.get_paginator("list_certificates").paginate(PaginationConfig={"PageSize": 250})
    return {entry["certificateId"] for page in pages for entry in page["certificates"]}


def test_a_lamp_is_registered_with_all_that_belongs_to_it(iot: IoT) -> None:
    given = parameters()

    done = iot.register_thing(templateBody=template(), parameters=given)

    arns = done["resourceArns"]
    name = f"lamp-{given['Name']}"
    assert arns["lamp"] == f"arn:aws:iot:us-east-1:000000000000:thing/{name}"
    certificate = x509.load_der_x509_certificate(ssl.PEM_cert_to_DER_cert(done["certificatePem"]))
    assert certificate.public_key() == x509.load_pem_x509_csr(given["CSR"].encode()).public_key()
    certificate_id = arns["certificate"].rpartition("/")[2]
    described = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    assert (described["status"], described["certificatePem"]) == ("ACTIVE", done["certificatePem"])


def test_a_certificate_that_exists_is_registered_again_without_a_change(iot: IoT) -> None:
    certificate_id = iot.create_keys_and_certificate()["certificateId"]
    body = json.dumps(
        {
            "Parameters": {"Id": {"Type": "String"}},
            "Resources": {
                "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "Id"}}},
                "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": DOCUMENT}},
            },
        }
    )
    first = iot.register_thing(templateBody=body, parameters={"Id": certificate_id})
    versions = []
    for _ in range(2):
        iot.register_thing(templateBody=body, parameters={"Id": certificate_id})
        described = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        versions.append(described["customerVersion"])
    assert versions == [2, 2]
    assert first["resourceArns"]["policy"].startswith("arn:aws:iot:us-east-1:000000000000:policy/")


def test_the_errors_of_the_model_are_raised_and_nothing_is_left(iot: IoT) -> None:
    iot.register_thing(templateBody=template(), parameters=parameters("conflict"))
    before = certificates_of(iot)
    with pytest.raises(iot.exceptions.ConflictingResourceUpdateException):
        iot.register_thing(
            templateBody=template(AttributePayload="FAIL"), parameters=parameters("conflict", colour="blue")
        )
    missing = json.loads(template())
    missing["Resources"]["policy"]["Properties"] = {"PolicyName": "no-such-policy"}
    with pytest.raises(iot.exceptions.ResourceRegistrationFailureException):
        iot.register_thing(templateBody=json.dumps(missing), parameters=parameters())
    with pytest.raises(iot.exceptions.InvalidRequestException, match="Cannot resolve reference value: CSR"):
        iot.register_thing(templateBody=template(), parameters={"Name": "x", "Colour": "red"})
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.register_thing(templateBody="no template")
    assert certificates_of(iot) == before


def test_a_key_without_the_action_registers_nothing(live: Live, client_of: ClientOf) -> None:
    client = client_of(live, live.create_access_key(policy(allow("iot:Create*"))))
    refusal = refusal_of(client.register_thing, templateBody=template(), parameters=parameters())
    assert (refusal.name, refusal.status) == ("AccessDeniedException", 403)


@pytest.fixture
def shell(live_on_sqlite: Live, tmp_path: Any) -> Shell:
    """A shell for the service."""
    return shell_of(live_on_sqlite, tmp_path)


def test_the_command_line_registers_from_files(shell: Shell) -> None:
    (shell.home / "template.json").write_text(template())
    (shell.home / "parameters.json").write_text(json.dumps(parameters()))

    done = shell.json("aws iot register-thing --template-body file://template.json --parameters file://parameters.json")

    assert done["resourceArns"].keys() == {"lamp", "certificate", "policy"}
    assert done["certificatePem"].startswith("-----BEGIN CERTIFICATE-----\n")


def test_parameters_that_tell_of_the_production_go_into_the_audit_trail(live: Live, iot: IoT) -> None:
    told = {"Thingmint::Batch": "B-17", "Thingmint::Operator": "ann", "Thingmint::Station": "line 2"}
    given = parameters()
    done = iot.register_thing(templateBody=template(), parameters=given | told)
    database = () if live.database_url is None else ("--database-url", live.database_url)
    words = ("audit", "--data-dir", str(live.service.data_dir), "--json", "--limit", "1000", *database)
    shown = run_thingmint(*words, check=True)
    entries = [json.loads(line) for line in shown.stdout.splitlines()]
    arn = done["resourceArns"]["certificate"]
    found = {each["action"]: each["detail"] for each in entries if each["resource"] == arn}
    assert set(found) == {"CreateCertificateFromCsr", "RegisterThing"}
    for detail in found.values():
        assert (detail["batch"], detail["operator"], detail["station"]) == ("B-17", "ann", "line 2")
    refusal = refusal_of(
        lambda: iot.register_thing(
            templateBody=template(), parameters=parameters() | {"Thingmint::Batch": "two\nlines"}
        )
    )
    assert "Thingmint::Batch has 1 to 128 characters" in str(refusal)
