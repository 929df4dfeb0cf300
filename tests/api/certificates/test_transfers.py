"""The operations of transfers, from the parts of a request to the JSON of the answer."""

import json
from typing import Any

import pytest
from tests.support.databases.stores import sample_access_key
from tests.support.registration.api import Api
from tests.support.registration.authority import ACCOUNT

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import AccountId
from thingmint.records.access import access_keys as access_key_table

TARGET = AccountId("222222222222")


@pytest.fixture
async def pending(api: Api) -> str:
    """The id of a certificate that waits for the target to accept it."""
    key = sample_access_key(1, account=TARGET)
    await api.store.write(lambda: access_key_table.insert_access_key(key))
    certificate_id: str = (await api.call("POST", "/keys-and-certificate"))["certificateId"]
    body = json.dumps({"transferMessage": "yours"}).encode()
    answer = await api.call("PATCH", f"/transfer-certificate/{certificate_id}?targetAwsAccount={TARGET}", body)
    assert answer == {"transferredCertificateArn": f"arn:aws:iot:eu-west-1:{TARGET}:cert/{certificate_id}"}
    return certificate_id


async def described(api: Api, certificate_id: str, account: AccountId = ACCOUNT) -> dict[str, Any]:
    answer = await api.call("GET", f"/certificates/{certificate_id}", account=account)
    description: dict[str, Any] = answer["certificateDescription"]
    return description


async def test_a_pending_certificate_is_described_to_both_accounts(api: Api, pending: str) -> None:
    for account in (ACCOUNT, TARGET):
        description = await described(api, pending, account)
        assert description["certificateArn"] == f"arn:aws:iot:eu-west-1:{account}:cert/{pending}"
        assert (description["status"], description["ownedBy"]) == ("PENDING_TRANSFER", ACCOUNT)
        assert description["transferData"] == {"transferMessage": "yours", "transferDate": 1541022751.983}
        assert "previousOwnedBy" not in description


async def test_an_accepted_certificate_names_its_previous_account(api: Api, pending: str) -> None:
    assert await api.call("PATCH", f"/accept-certificate-transfer/{pending}?setAsActive=true", account=TARGET) == {}
    description = await described(api, pending, TARGET)
    assert (description["status"], description["ownedBy"], description["previousOwnedBy"]) == (
        "ACTIVE",
        TARGET,
        ACCOUNT,
    )
    assert description["transferData"]["acceptDate"] == 1541022751.983


async def test_a_certificate_is_accepted_inactive_unless_asked_otherwise(api: Api, pending: str) -> None:
    await api.call("PATCH", f"/accept-certificate-transfer/{pending}", account=TARGET)
    assert (await described(api, pending, TARGET))["status"] == "INACTIVE"


async def test_a_rejected_certificate_tells_why(api: Api, pending: str) -> None:
    body = json.dumps({"rejectReason": "not ours"}).encode()
    assert await api.call("PATCH", f"/reject-certificate-transfer/{pending}", body, account=TARGET) == {}
    description = await described(api, pending)
    assert description["status"] == "INACTIVE"
    assert description["transferData"] == {
        "transferMessage": "yours",
        "rejectReason": "not ours",
        "transferDate": 1541022751.983,
        "rejectDate": 1541022751.983,
    }


async def test_outgoing_certificates_are_listed_until_the_transfer_ends(api: Api, pending: str) -> None:
    assert await api.call("GET", "/certificates-out-going") == {
        "outgoingCertificates": [
            {
                "certificateArn": f"arn:aws:iot:eu-west-1:{TARGET}:cert/{pending}",
                "certificateId": pending,
                "transferredTo": TARGET,
                "transferDate": 1541022751.983,
                "transferMessage": "yours",
                "creationDate": 1541022751.983,
            }
        ]
    }
    assert await api.call("PATCH", f"/cancel-certificate-transfer/{pending}") == {}
    assert await api.call("GET", "/certificates-out-going") == {"outgoingCertificates": []}


async def test_an_account_is_twelve_digits(api: Api, pending: str) -> None:
    with pytest.raises(InvalidRequest, match="targetAwsAccount"):
        await api.call("PATCH", f"/transfer-certificate/{pending}?targetAwsAccount=12345678901x")


async def test_a_message_has_128_characters_at_most(api: Api, pending: str) -> None:
    await api.call("PATCH", f"/cancel-certificate-transfer/{pending}")
    target = f"/transfer-certificate/{pending}?targetAwsAccount={TARGET}"
    with pytest.raises(InvalidRequest, match="transferMessage"):
        await api.call("PATCH", target, json.dumps({"transferMessage": "x" * 129}).encode())
    odd = "\x00\u2028" + "x" * 126
    await api.call("PATCH", target, json.dumps({"transferMessage": odd}).encode())
    assert (await described(api, pending))["transferData"]["transferMessage"] == odd


def test_policies_are_asked_about_the_certificate_in_the_callers_account(api: Api) -> None:
    for verb in ("transfer-certificate", "accept-certificate-transfer", "reject-certificate-transfer"):
        assert api.resource_of("PATCH", f"/{verb}/{'AB' * 32}") == f"arn:aws:iot:eu-west-1:{ACCOUNT}:cert/{'ab' * 32}"
    assert api.resource_of("PATCH", f"/cancel-certificate-transfer/{'ab' * 32}") != "*"
    assert api.resource_of("GET", "/certificates-out-going") == "*"
