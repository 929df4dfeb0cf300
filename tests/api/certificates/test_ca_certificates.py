"""The operations of users' CAs and of what they sign, from the parts of a request to the JSON of the answer."""

import json
from typing import Any

import pytest
from tests.support.certificates.user_ca import UserCA, der_of, new_ca
from tests.support.registration.api import Api
from tests.support.registration.authority import ACCOUNT
from tests.support.registration.provisioning import JITP_BODY
from tests.support.registration.templates import template

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import certificate_id_of

ROLE = "arn:aws:iam::123456789012:role/JITP"


async def registration_code(api: Api) -> str:
    code: str = (await api.call("GET", "/registrationcode"))["registrationCode"]
    return code


async def register_ca(api: Api, ca: UserCA, query: str = "", **members: object) -> str:
    """Register the CA in SNI_ONLY mode unless told otherwise and return its id."""
    body = {"caCertificate": ca.pem, "certificateMode": "SNI_ONLY", **members}
    created = await api.call("POST", f"/cacertificate{query}", json.dumps(body).encode())
    assert list(created) == ["certificateArn", "certificateId"]
    assert created["certificateArn"] == f"arn:aws:iot:eu-west-1:{ACCOUNT}:cacert/{created['certificateId']}"
    certificate_id: str = created["certificateId"]
    return certificate_id


async def create_template(api: Api) -> None:
    """Create the template that CAs here name."""
    body = {"templateName": "fleet", "templateBody": JITP_BODY, "provisioningRoleArn": ROLE, "type": "JITP"}
    await api.call("POST", "/provisioning-templates", json.dumps(body).encode())


async def described(api: Api, certificate_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = await api.call("GET", f"/cacertificate/{certificate_id}")
    return answer


async def register(api: Api, pem: str, query: str = "", **members: object) -> dict[str, Any]:
    body = json.dumps({"certificatePem": pem, **members}).encode()
    created = await api.call("POST", f"/certificate/register{query}", body)
    answer: dict[str, Any] = (await api.call("GET", f"/certificates/{created['certificateId']}"))[
        "certificateDescription"
    ]
    assert created == {"certificateArn": answer["certificateArn"], "certificateId": answer["certificateId"]}
    return answer


async def test_a_registration_code_is_64_hexadecimal_digits(api: Api) -> None:
    code = await registration_code(api)
    assert len(code) == 64
    assert int(code, 16)
    assert await api.call("DELETE", "/registrationcode") == {}


async def test_a_ca_is_described_in_the_form_of_aws(api: Api) -> None:
    ca = new_ca()
    certificate_id = await register_ca(api, ca)
    assert await described(api, certificate_id) == {
        "certificateDescription": {
            "certificateArn": f"arn:aws:iot:eu-west-1:{ACCOUNT}:cacert/{certificate_id}",
            "certificateId": certificate_id,
            "status": "INACTIVE",
            "certificatePem": ca.pem,
            "ownedBy": ACCOUNT,
            "creationDate": 1541022751.983,
            "autoRegistrationStatus": "DISABLE",
            "lastModifiedDate": 1541022751.983,
            "customerVersion": 1,
            "generationId": "5d6c2a0c-6f7d-4a8e-9c1b-0e2f3a4b5c6d",
            "validity": {
                "notBefore": ca.certificate.not_valid_before_utc.timestamp(),
                "notAfter": ca.certificate.not_valid_after_utc.timestamp(),
            },
            "certificateMode": "SNI_ONLY",
        }
    }


async def test_default_mode_is_the_default_and_flags_are_in_the_query(api: Api) -> None:
    ca = new_ca()
    verification = ca.issue_pem(await registration_code(api))
    certificate_id = await register_ca(
        api,
        ca,
        "?setAsActive=true&allowAutoRegistration=true",
        certificateMode=None,
        verificationCertificate=verification,
        registrationConfig={"templateBody": template(), "roleArn": ROLE},
    )
    answer = await described(api, certificate_id)
    description = answer["certificateDescription"]
    assert (description["status"], description["autoRegistrationStatus"], description["certificateMode"]) == (
        "ACTIVE",
        "ENABLE",
        "DEFAULT",
    )
    assert answer["registrationConfig"] == {"templateBody": template(), "roleArn": ROLE}


async def test_pem_with_carriage_returns_is_the_same_certificate(api: Api) -> None:
    ca = new_ca()
    sent = ca.pem.replace("\n", "\r\n")
    body = {"caCertificate": sent, "certificateMode": "SNI_ONLY"}
    created = await api.call("POST", "/cacertificate", json.dumps(body).encode())
    assert created["certificateId"] == certificate_id_of(der_of(ca.certificate))
    assert (await described(api, created["certificateId"]))["certificateDescription"]["certificatePem"] == sent


async def test_a_ca_is_updated_listed_and_deleted(api: Api) -> None:
    await create_template(api)
    first, second = await register_ca(api, new_ca()), await register_ca(api, new_ca("Second CA"))
    body = json.dumps({"registrationConfig": {"templateName": "fleet"}}).encode()
    target = f"/cacertificate/{first.upper()}?newStatus=ACTIVE&newAutoRegistrationStatus=ENABLE"
    assert await api.call("PUT", target, body) == {}
    listed = await api.call("GET", "/cacertificates?isAscendingOrder=true")
    assert [(each["certificateId"], each["status"]) for each in listed["certificates"]] == [
        (first, "ACTIVE"),
        (second, "INACTIVE"),
    ]
    assert list(listed["certificates"][0]) == ["certificateArn", "certificateId", "status", "creationDate"]
    by_template = await api.call("GET", "/cacertificates?templateName=fleet")
    assert [each["certificateId"] for each in by_template["certificates"]] == [first]
    removal = json.dumps({"removeAutoRegistration": True}).encode()
    await api.call("PUT", f"/cacertificate/{first}?newStatus=INACTIVE", removal)
    answer = await described(api, first)
    assert answer["certificateDescription"]["autoRegistrationStatus"] == "DISABLE"
    assert "registrationConfig" not in answer
    assert await api.call("DELETE", f"/cacertificate/{first}") == {}


async def test_markers_of_ca_lists_belong_to_their_filter(api: Api) -> None:
    await create_template(api)
    for number in range(3):
        await register_ca(api, new_ca(f"CA {number}"), registrationConfig={"templateName": "fleet"})
    page = await api.call("GET", "/cacertificates?pageSize=2&templateName=fleet")
    rest = await api.call("GET", f"/cacertificates?pageSize=2&templateName=fleet&marker={page['nextMarker']}")
    assert (len(page["certificates"]), len(rest["certificates"])) == (2, 1)
    assert "nextMarker" not in rest
    with pytest.raises(InvalidRequest, match="marker"):
        await api.call("GET", f"/cacertificates?marker={page['nextMarker']}")


async def test_a_certificate_is_registered_with_its_ca(api: Api) -> None:
    ca = new_ca()
    ca_id = await register_ca(api, ca, "?setAsActive=true")
    description = await register(api, ca.issue_pem(), caCertificatePem=ca.pem)
    assert (description["status"], description["certificateMode"], description["caCertificateId"]) == (
        "INACTIVE",
        "SNI_ONLY",
        ca_id,
    )
    listed = await api.call("GET", f"/certificates-by-ca/{ca_id}")
    assert [each["certificateId"] for each in listed["certificates"]] == [description["certificateId"]]
    assert list(listed["certificates"][0]) == [
        "certificateArn",
        "certificateId",
        "status",
        "certificateMode",
        "creationDate",
    ]


@pytest.mark.parametrize(
    ("query", "status", "expected"),
    [
        ("", None, "INACTIVE"),
        ("?setAsActive=true", None, "ACTIVE"),
        ("?setAsActive=false", "ACTIVE", "ACTIVE"),
        ("?setAsActive=true", "ACTIVE", "ACTIVE"),
        ("", "REVOKED", "REVOKED"),
    ],
)
async def test_the_status_may_be_given_in_two_ways(api: Api, query: str, status: str | None, expected: str) -> None:
    ca = new_ca()
    await register_ca(api, ca, "?setAsActive=true")
    assert (await register(api, ca.issue_pem(), query, status=status))["status"] == expected


async def test_two_statuses_that_contradict_each_other_are_refused(api: Api) -> None:
    ca = new_ca()
    await register_ca(api, ca, "?setAsActive=true")
    with pytest.raises(InvalidRequest, match="setAsActive contradicts the status INACTIVE"):
        await register(api, ca.issue_pem(), "?setAsActive=true", status="INACTIVE")
    assert not api.store.tables.certificates


@pytest.mark.parametrize(("members", "status"), [({}, "INACTIVE"), ({"status": "ACTIVE"}, "ACTIVE")])
async def test_a_certificate_is_registered_without_a_ca(api: Api, members: dict[str, str], status: str) -> None:
    body = json.dumps({"certificatePem": new_ca().issue_pem(), **members}).encode()
    created = await api.call("POST", "/certificate/register-no-ca", body)
    answer = await api.call("GET", f"/certificates/{created['certificateId']}")
    description = answer["certificateDescription"]
    assert (description["status"], description["certificateMode"]) == (status, "SNI_ONLY")
    assert "caCertificateId" not in description


async def test_a_ca_certificate_is_registered_with_its_tags(api: Api) -> None:
    await register_ca(api, new_ca(), tags=[])
    await register_ca(api, new_ca(), tags=[{"Key": "line", "Value": "7"}, {"Key": "hall"}])
    assert [row[1:] for row in api.store.tables.rows("tag")] == [("line", "7"), ("hall", "")]


def test_policies_are_asked_about_the_ca_in_lower_case(api: Api) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert (
            api.resource_of(method, f"/cacertificate/{'AB' * 32}")
            == f"arn:aws:iot:eu-west-1:{ACCOUNT}:cacert/{'ab' * 32}"
        )
    for method, path in (
        ("POST", "/cacertificate"),
        ("GET", "/cacertificates"),
        ("GET", f"/certificates-by-ca/{'ab' * 32}"),
        ("GET", "/registrationcode"),
        ("POST", "/certificate/register"),
        ("POST", "/certificate/register-no-ca"),
    ):
        assert api.resource_of(method, path) == "*"
