"""Users' own CAs and what they sign, through AWS's SDK for Python: every operation, and every error it models."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.certificates.user_ca import UserCA, new_ca
from tests.support.clients.aws import ClientOf, IoT, Live, allow, deny, policy, refusal_of
from tests.support.registration.templates import template

ROLE = "arn:aws:iam::000000000000:role/JITP"
STRANGER = "333333333333"
CONFIG = {"templateBody": template(), "roleArn": ROLE}


def now() -> datetime:
    return datetime.now(UTC)


def fresh_ca(common_name: str) -> UserCA:
    return new_ca(common_name, at=now())


def register_ca(iot: IoT, ca: UserCA, **parameters: object) -> str:
    """Register the CA in SNI_ONLY mode, active, and return its id."""
    answer = iot.register_ca_certificate(
        caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True, **parameters
    )
    certificate_id: str = answer["certificateId"]
    assert answer["certificateArn"].endswith(f":cacert/{certificate_id}")
    return certificate_id


def create_template(iot: IoT, name: str) -> None:
    iot.create_provisioning_template(
        templateName=name, templateBody=template(), provisioningRoleArn=ROLE, type="JITP", enabled=True
    )


def remove_ca(iot: IoT, certificate_id: str) -> None:
    iot.update_ca_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    iot.delete_ca_certificate(certificateId=certificate_id)


@pytest.fixture
def stranger(live: Live, client_of: ClientOf) -> IoT:
    """A client of another account."""
    return client_of(live, live.create_access_key(policy(allow("*")), "--account", STRANGER))


def described(iot: IoT, certificate_id: str) -> dict[str, Any]:
    description: dict[str, Any] = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    return description


def test_a_ca_lives_in_default_mode(iot: IoT) -> None:
    ca = fresh_ca("CA in default mode")
    code = iot.get_registration_code()["registrationCode"]
    registered = iot.register_ca_certificate(
        caCertificate=ca.pem,
        verificationCertificate=ca.issue_pem(code, at=now()),
        setAsActive=True,
        allowAutoRegistration=True,
        registrationConfig=CONFIG,
    )
    certificate_id = registered["certificateId"]
    answer = iot.describe_ca_certificate(certificateId=certificate_id)
    description = answer["certificateDescription"]
    assert (description["status"], description["autoRegistrationStatus"], description["certificateMode"]) == (
        "ACTIVE",
        "ENABLE",
        "DEFAULT",
    )
    assert description["certificatePem"] == ca.pem
    assert description["validity"]["notAfter"] == ca.certificate.not_valid_after_utc
    assert answer["registrationConfig"] == CONFIG
    create_template(iot, "in-default-mode")
    iot.update_ca_certificate(
        certificateId=certificate_id,
        newStatus="INACTIVE",
        newAutoRegistrationStatus="DISABLE",
        registrationConfig={"templateName": "in-default-mode"},
    )
    answer = iot.describe_ca_certificate(certificateId=certificate_id)
    assert answer["registrationConfig"] == {"templateName": "in-default-mode"}
    assert answer["certificateDescription"]["customerVersion"] == 2
    iot.update_ca_certificate(certificateId=certificate_id, removeAutoRegistration=True)
    assert "registrationConfig" not in iot.describe_ca_certificate(certificateId=certificate_id)
    iot.delete_ca_certificate(certificateId=certificate_id)
    refusal = refusal_of(iot.describe_ca_certificate, certificateId=certificate_id)
    assert (refusal.name, refusal.status) == ("ResourceNotFoundException", 404)


def test_certificates_live_with_and_without_their_ca(iot: IoT) -> None:
    ca = fresh_ca("CA of certificates")
    ca_id = register_ca(iot, ca)
    pems = [ca.issue_pem(f"{number}", at=now()) for number in range(3)]
    first = iot.register_certificate(certificatePem=pems[0], setAsActive=True)
    second = iot.register_certificate(certificatePem=pems[1], caCertificatePem=ca.pem, status="INACTIVE")
    third = iot.register_certificate_without_ca(certificatePem=pems[2], status="ACTIVE")
    assert described(iot, first["certificateId"])["caCertificateId"] == ca_id
    assert [described(iot, each["certificateId"])["status"] for each in (first, second, third)] == [
        "ACTIVE",
        "INACTIVE",
        "ACTIVE",
    ]
    assert described(iot, third["certificateId"])["certificateMode"] == "SNI_ONLY"
    assert described(iot, first["certificateId"])["certificatePem"] == pems[0]
    listed = iot.list_certificates_by_ca(caCertificateId=ca_id, ascendingOrder=True)
    assert [each["certificateId"] for each in listed["certificates"]] == [
        first["certificateId"],
        second["certificateId"],
    ]
    remove_ca(iot, ca_id)
    assert described(iot, first["certificateId"])["status"] == "ACTIVE"
    assert len(iot.list_certificates_by_ca(caCertificateId=ca_id)["certificates"]) == 2
    iot.update_certificate(certificateId=first["certificateId"], newStatus="INACTIVE")
    iot.delete_certificate(certificateId=first["certificateId"])


def test_lists_are_paged_by_the_sdks_own_paginators(iot: IoT) -> None:
    cas = [fresh_ca(f"CA in pages {number}") for number in range(5)]
    create_template(iot, "in-pages")
    ids = [register_ca(iot, ca, registrationConfig={"templateName": "in-pages"}) for ca in cas]
    pages = iot.get_paginator("list_ca_certificates").paginate(
        templateName="in-pages", ascendingOrder=True, PaginationConfig={"PageSize": 2}
    )
    found = [[each["certificateId"] for each in page["certificates"]] for page in pages]
    assert found == [ids[:2], ids[2:4], ids[4:]]
    certificate_ids = [
        iot.register_certificate(certificatePem=cas[0].issue_pem(f"{number}", at=now()))["certificateId"]
        for number in range(5)
    ]
    pages = iot.get_paginator("list_certificates_by_ca").paginate(
        caCertificateId=ids[0], PaginationConfig={"PageSize": 2}
    )
    assert [each["certificateId"] for page in pages for each in page["certificates"]] == certificate_ids[::-1]
    for certificate_id in ids:
        remove_ca(iot, certificate_id)


def test_registering_a_ca_is_refused_with_the_errors_of_the_model(iot: IoT) -> None:
    ca, other = fresh_ca("Refused CA"), fresh_ca("Other CA")
    code = iot.get_registration_code()["registrationCode"]
    registered = register_ca(iot, ca)
    cases: list[tuple[dict[str, object], str, int]] = [
        ({"caCertificate": other.pem}, "InvalidRequestException", 400),
        (
            {"caCertificate": other.pem, "certificateMode": "SNI_ONLY", "verificationCertificate": other.issue_pem()},
            "InvalidRequestException",
            400,
        ),
        ({"caCertificate": "junk", "certificateMode": "SNI_ONLY"}, "CertificateValidationException", 400),
        (
            {"caCertificate": other.pem, "verificationCertificate": ca.issue_pem(code, at=now())},
            "CertificateValidationException",
            400,
        ),
        (
            {"caCertificate": other.pem, "verificationCertificate": other.issue_pem("somebody", at=now())},
            "RegistrationCodeValidationException",
            400,
        ),
        ({"caCertificate": ca.pem, "certificateMode": "SNI_ONLY"}, "ResourceAlreadyExistsException", 409),
        (
            {
                "caCertificate": other.pem,
                "certificateMode": "SNI_ONLY",
                "registrationConfig": {"templateName": "not-there"},
            },
            "ResourceNotFoundException",
            404,
        ),
    ]
    for parameters, name, status in cases:
        refusal = refusal_of(iot.register_ca_certificate, **parameters)
        assert (refusal.name, refusal.status) == (name, status), parameters
    refusal = refusal_of(iot.delete_ca_certificate, certificateId=registered)
    assert (refusal.name, refusal.status) == ("CertificateStateException", 406)
    remove_ca(iot, registered)
    for call in (iot.update_ca_certificate, iot.delete_ca_certificate):
        refusal = refusal_of(call, certificateId=registered)
        assert (refusal.name, refusal.status) == ("ResourceNotFoundException", 404)


def test_an_account_has_ten_cas_with_one_subject(iot: IoT) -> None:
    ids = [register_ca(iot, fresh_ca("One of ten")) for _ in range(10)]
    refusal = refusal_of(
        iot.register_ca_certificate, caCertificate=fresh_ca("One of ten").pem, certificateMode="SNI_ONLY"
    )
    assert (refusal.name, refusal.status) == ("LimitExceededException", 410)
    for certificate_id in ids:
        remove_ca(iot, certificate_id)


def test_registering_a_certificate_is_refused_with_the_errors_of_the_model(iot: IoT) -> None:
    ca, twin, unknown = fresh_ca("CA with a twin"), fresh_ca("CA with a twin"), fresh_ca("Unknown CA")
    ca_id = register_ca(iot, ca)
    pem = ca.issue_pem("device", at=now())
    registered = iot.register_certificate(certificatePem=pem)
    twin_id = register_ca(iot, twin)
    late = ca.issue_pem("late", at=now() - timedelta(days=60))
    cases: list[tuple[dict[str, object], str, int]] = [
        ({"certificatePem": unknown.issue_pem("x", at=now())}, "CertificateValidationException", 400),
        ({"certificatePem": late, "caCertificatePem": ca.pem}, "CertificateValidationException", 400),
        ({"certificatePem": twin.issue_pem("x", at=now())}, "CertificateConflictException", 409),
        (
            {"certificatePem": twin.issue_pem("x", at=now()), "caCertificatePem": ca.pem},
            "CertificateValidationException",
            400,
        ),
        ({"certificatePem": pem, "caCertificatePem": ca.pem}, "ResourceAlreadyExistsException", 409),
        (
            {"certificatePem": twin.issue_pem("x", at=now()), "status": "PENDING_ACTIVATION"},
            "InvalidRequestException",
            400,
        ),
    ]
    for parameters, name, status in cases:
        refusal = refusal_of(iot.register_certificate, **parameters)
        assert (refusal.name, refusal.status) == (name, status), parameters
    error = iot.exceptions.ResourceAlreadyExistsException
    with pytest.raises(error) as caught:
        iot.register_certificate_without_ca(certificatePem=pem)
    assert caught.value.response["resourceId"] == registered["certificateId"]
    assert caught.value.response["resourceArn"] == registered["certificateArn"]
    iot.update_ca_certificate(certificateId=twin_id, newStatus="INACTIVE")
    refusal = refusal_of(
        iot.register_certificate, certificatePem=twin.issue_pem("x", at=now()), caCertificatePem=twin.pem
    )
    assert (refusal.name, refusal.status) == ("CertificateStateException", 406)
    refusal = refusal_of(iot.register_certificate_without_ca, certificatePem="junk")
    assert (refusal.name, refusal.status) == ("CertificateValidationException", 400)
    for certificate_id in (ca_id, twin_id):
        remove_ca(iot, certificate_id)


def test_another_account_sees_neither_ca_nor_certificates(iot: IoT, stranger: IoT) -> None:
    ca = fresh_ca("CA of two accounts")
    ca_id = register_ca(iot, ca)
    pem = ca.issue_pem("device", at=now())
    registered = iot.register_certificate(certificatePem=pem)
    for call, parameters in (
        (stranger.describe_ca_certificate, {"certificateId": ca_id}),
        (stranger.update_ca_certificate, {"certificateId": ca_id, "newStatus": "INACTIVE"}),
        (stranger.delete_ca_certificate, {"certificateId": ca_id}),
        (stranger.describe_certificate, {"certificateId": registered["certificateId"]}),
    ):
        refusal = refusal_of(call, **parameters)
        assert (refusal.name, refusal.status) == ("ResourceNotFoundException", 404)
    assert stranger.list_certificates_by_ca(caCertificateId=ca_id)["certificates"] == []
    assert ca_id not in [each["certificateId"] for each in stranger.list_ca_certificates()["certificates"]]
    assert stranger.get_registration_code() != iot.get_registration_code()
    assert register_ca(stranger, ca) == ca_id
    theirs = stranger.register_certificate(certificatePem=pem)
    assert theirs["certificateId"] == registered["certificateId"]
    assert f":{STRANGER}:cert/" in theirs["certificateArn"]
    for client in (iot, stranger):
        remove_ca(client, ca_id)


def test_a_registration_code_can_be_deleted_once(stranger: IoT) -> None:
    code = stranger.get_registration_code()["registrationCode"]
    stranger.delete_registration_code()
    refusal = refusal_of(stranger.delete_registration_code)
    assert (refusal.name, refusal.status) == ("ResourceNotFoundException", 404)
    assert stranger.get_registration_code()["registrationCode"] != code


def test_policies_name_the_ca(live: Live, iot: IoT, client_of: ClientOf) -> None:
    ca_id = register_ca(iot, fresh_ca("CA under policies"))
    arn = iot.describe_ca_certificate(certificateId=ca_id)["certificateDescription"]["certificateArn"]
    other_id = register_ca(iot, fresh_ca("Other CA under policies"))
    key = live.create_access_key(policy(allow("iot:*CACertificate", resource=arn), deny("iot:DeleteCACertificate")))
    client = client_of(live, key)
    assert client.describe_ca_certificate(certificateId=ca_id.upper())
    for call, parameters in (
        (client.describe_ca_certificate, {"certificateId": other_id}),
        (client.delete_ca_certificate, {"certificateId": ca_id}),
        (client.register_ca_certificate, {"caCertificate": "x", "certificateMode": "SNI_ONLY"}),
        (client.get_registration_code, {}),
        (client.register_certificate, {"certificatePem": "x"}),
        (client.register_certificate_without_ca, {"certificatePem": "x"}),
        (client.list_certificates_by_ca, {"caCertificateId": ca_id}),
    ):
        refusal = refusal_of(call, **parameters)
        assert (refusal.name, refusal.status) == ("AccessDeniedException", 403)
    for certificate_id in (ca_id, other_id):
        remove_ca(iot, certificate_id)
