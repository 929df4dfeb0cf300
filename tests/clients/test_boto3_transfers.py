"""Transfers between accounts through AWS's SDK for Python: each account is a client of its own."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import ClientOf, IoT, Live, allow, deny, policy, refusal_of

TARGET, THIRD = "222222222222", "333333333333"


@pytest.fixture
def target(live: Live, client_of: ClientOf) -> IoT:
    """A client of the account that certificates go to."""
    return client_of(live, live.create_access_key(policy(allow("*")), "--account", TARGET))


def new_certificate(iot: IoT, *, active: bool = False) -> str:
    created = iot.create_certificate_from_csr(certificateSigningRequest=csr_pem("p-256"), setAsActive=active)
    certificate_id: str = created["certificateId"]
    return certificate_id


def described(iot: IoT, certificate_id: str) -> dict[str, Any]:
    description: dict[str, Any] = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    return description


def test_a_certificate_is_offered_seen_and_accepted(iot: IoT, target: IoT) -> None:
    certificate_id = new_certificate(iot)
    offered = iot.transfer_certificate(
        certificateId=certificate_id, targetAwsAccount=TARGET, transferMessage="for line 7"
    )
    arn = offered["transferredCertificateArn"]
    assert f":{TARGET}:cert/{certificate_id}" in arn
    (outgoing,) = [
        each
        for each in iot.list_outgoing_certificates(pageSize=250)["outgoingCertificates"]
        if each["certificateId"] == certificate_id
    ]
    assert (outgoing["transferredTo"], outgoing["transferMessage"], outgoing["certificateArn"]) == (
        TARGET,
        "for line 7",
        arn,
    )
    listed = {each["certificateId"]: each for each in target.list_certificates(pageSize=250)["certificates"]}
    assert (listed[certificate_id]["status"], listed[certificate_id]["certificateArn"]) == ("PENDING_TRANSFER", arn)
    pending = described(target, certificate_id)
    assert (pending["status"], pending["transferData"]["transferMessage"]) == ("PENDING_TRANSFER", "for line 7")
    target.accept_certificate_transfer(certificateId=certificate_id, setAsActive=True)
    accepted = described(target, certificate_id)
    assert (accepted["status"], accepted["certificateArn"], accepted["ownedBy"]) == ("ACTIVE", arn, TARGET)
    assert accepted["previousOwnedBy"] == pending["ownedBy"]
    assert accepted["transferData"]["acceptDate"] >= accepted["transferData"]["transferDate"]
    refusal = refusal_of(iot.describe_certificate, certificateId=certificate_id)
    assert (refusal.name, refusal.status) == ("ResourceNotFoundException", 404)
    target.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    target.delete_certificate(certificateId=certificate_id)


def test_a_certificate_comes_back_when_it_is_rejected_or_cancelled(iot: IoT, target: IoT) -> None:
    certificate_id = new_certificate(iot)
    iot.transfer_certificate(certificateId=certificate_id, targetAwsAccount=TARGET)
    target.reject_certificate_transfer(certificateId=certificate_id, rejectReason="not ours")
    back = described(iot, certificate_id)
    assert (back["status"], back["transferData"]["rejectReason"]) == ("INACTIVE", "not ours")
    iot.transfer_certificate(certificateId=certificate_id, targetAwsAccount=TARGET)
    iot.cancel_certificate_transfer(certificateId=certificate_id)
    assert described(iot, certificate_id)["status"] == "INACTIVE"
    refusal = refusal_of(target.describe_certificate, certificateId=certificate_id)
    assert (refusal.name, refusal.status) == ("ResourceNotFoundException", 404)


def test_a_transfer_ends_once_for_everybody(iot: IoT, target: IoT) -> None:
    ends: dict[str, Callable[[str], object]] = {
        "accept": lambda id_: target.accept_certificate_transfer(certificateId=id_),
        "reject": lambda id_: target.reject_certificate_transfer(certificateId=id_),
        "cancel": lambda id_: iot.cancel_certificate_transfer(certificateId=id_),
    }
    for first in ends.values():
        certificate_id = new_certificate(iot)
        iot.transfer_certificate(certificateId=certificate_id, targetAwsAccount=TARGET)
        first(certificate_id)
        for again in ends.values():
            refusal = refusal_of(again, id_=certificate_id)
            assert (refusal.name, refusal.status) == ("TransferAlreadyCompletedException", 410)


def test_transfers_are_refused_with_the_errors_of_the_model(iot: IoT, target: IoT) -> None:
    active, pending = new_certificate(iot, active=True), new_certificate(iot)
    iot.transfer_certificate(certificateId=pending, targetAwsAccount=TARGET)
    own = described(iot, active)["ownedBy"]
    idle = new_certificate(iot)
    cases: list[tuple[str, str, str, int]] = [
        ("0" * 64, TARGET, "ResourceNotFoundException", 404),
        (active, TARGET, "CertificateStateException", 406),
        (pending, THIRD, "CertificateStateException", 406),
        (idle, own, "InvalidRequestException", 400),
        (idle, "404404404404", "InvalidRequestException", 400),
        (idle, "x" * 12, "InvalidRequestException", 400),
    ]
    for certificate_id, account, name, status in cases:
        refusal = refusal_of(iot.transfer_certificate, certificateId=certificate_id, targetAwsAccount=account)
        assert (refusal.name, refusal.status) == (name, status), (certificate_id, account)
    for call in (iot.accept_certificate_transfer, iot.reject_certificate_transfer, target.cancel_certificate_transfer):
        refusal = refusal_of(call, certificateId=pending)
        assert (refusal.name, refusal.status) == ("InvalidRequestException", 400)
        refusal = refusal_of(call, certificateId="0" * 64)
        assert (refusal.name, refusal.status) == ("ResourceNotFoundException", 404)
    for client in (iot, target):
        for call, parameters in (
            (client.update_certificate, {"newStatus": "ACTIVE"}),
            (client.delete_certificate, {"forceDelete": True}),
        ):
            refusal = refusal_of(call, certificateId=pending, **parameters)
            assert (refusal.name, refusal.status) == ("CertificateStateException", 406)
    iot.cancel_certificate_transfer(certificateId=pending)


def test_attached_policies_are_a_conflict(iot: IoT, target: IoT) -> None:
    del target  # Its account must exist.
    certificate_id = new_certificate(iot)
    arn = described(iot, certificate_id)["certificateArn"]
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    name = f"transfer-{certificate_id[:8]}"
    iot.create_policy(policyName=name, policyDocument=json.dumps(document))
    iot.attach_policy(policyName=name, target=arn)
    refusal = refusal_of(iot.transfer_certificate, certificateId=certificate_id, targetAwsAccount=TARGET)
    assert (refusal.name, refusal.status) == ("TransferConflictException", 409)
    iot.detach_policy(policyName=name, target=arn)
    iot.transfer_certificate(certificateId=certificate_id, targetAwsAccount=TARGET)
    refusal = refusal_of(iot.attach_policy, policyName=name, target=arn)
    assert (refusal.name, refusal.status) == ("InvalidRequestException", 400)
    iot.cancel_certificate_transfer(certificateId=certificate_id)


def test_a_third_account_knows_of_nothing(live: Live, iot: IoT, target: IoT, client_of: ClientOf) -> None:
    third = client_of(live, live.create_access_key(policy(allow("*")), "--account", THIRD))
    certificate_id = new_certificate(iot)
    iot.transfer_certificate(certificateId=certificate_id, targetAwsAccount=TARGET)
    for call in (
        third.describe_certificate,
        third.accept_certificate_transfer,
        third.reject_certificate_transfer,
        third.cancel_certificate_transfer,
    ):
        refusal = refusal_of(call, certificateId=certificate_id)
        assert (refusal.name, refusal.status) == ("ResourceNotFoundException", 404)
    assert target.reject_certificate_transfer(certificateId=certificate_id)


def test_outgoing_certificates_are_paged_in_order(iot: IoT, target: IoT) -> None:
    ids = [new_certificate(iot) for _ in range(5)]
    for certificate_id in ids:
        iot.transfer_certificate(certificateId=certificate_id, targetAwsAccount=TARGET)
    for ascending, expected in ((True, ids), (False, ids[::-1])):
        pages = iot.get_paginator("list_outgoing_certificates").paginate(
            ascendingOrder=ascending, PaginationConfig={"PageSize": 2}
        )
        found = [each["certificateId"] for page in pages for each in page["outgoingCertificates"]]
        assert [certificate_id for certificate_id in found if certificate_id in ids] == expected
    for certificate_id in ids:
        target.accept_certificate_transfer(certificateId=certificate_id)


def test_policies_of_each_account_decide_over_its_own_step(live: Live, iot: IoT, client_of: ClientOf) -> None:
    certificate_id = new_certificate(iot)
    reader = client_of(live, live.create_access_key(policy(allow("iot:*"), deny("iot:*CertificateTransfer"))))
    clerk = client_of(live, live.create_access_key(policy(allow("iot:*"), deny("iot:Accept*")), "--account", TARGET))
    reader.transfer_certificate(certificateId=certificate_id, targetAwsAccount=TARGET)
    refusal = refusal_of(reader.cancel_certificate_transfer, certificateId=certificate_id)
    assert (refusal.name, refusal.status) == ("AccessDeniedException", 403)
    refusal = refusal_of(clerk.accept_certificate_transfer, certificateId=certificate_id)
    assert (refusal.name, refusal.status) == ("AccessDeniedException", 403)
    assert f"{TARGET}:cert/{certificate_id}" in refusal.message
    clerk.reject_certificate_transfer(certificateId=certificate_id)


def test_keys_of_an_account_are_listed_and_deleted_in_it(live: Live) -> None:
    key = live.create_access_key(policy(allow("iot:List*")), "--account", THIRD, "--user", "auditor")

    def listed(*options: str) -> list[str]:
        answer = json.loads(live.thingmint("access-key", "list", "--json", *options))
        return [each["AccessKeyId"] for each in answer]

    assert key.access_key_id in listed("--account", THIRD)
    assert key.access_key_id not in listed()
    live.thingmint("access-key", "delete", key.access_key_id, "--account", THIRD)
    assert key.access_key_id not in listed("--account", THIRD)
