"""Certificate providers over the API."""

import json

import pytest
from tests.support.registration.api import Api
from tests.support.registration.authority import ACCOUNT, NOW
from tests.support.registration.provisioning import HOOK_ARN

from thingmint.core.errors import InvalidRequest

PATH = "/certificate-providers/factory"
ARN = f"arn:aws:iot:eu-west-1:{ACCOUNT}:certificateprovider/factory"
NAMES = {"certificateProviderName": "factory", "certificateProviderArn": ARN}
OPERATIONS = ["CreateCertificateFromCsr"]


async def create(api: Api, **members: object) -> object:
    body = {"lambdaFunctionArn": HOOK_ARN, "accountDefaultForOperations": OPERATIONS, **members}
    return await api.call("POST", PATH, json.dumps(body).encode())


async def test_a_provider_is_created_described_changed_listed_and_deleted(api: Api) -> None:
    assert await create(api, clientToken="t" * 36, tags=[{"Key": "line"}]) == NAMES
    assert await create(api, clientToken="t" * 36) == NAMES
    assert await api.call("PUT", PATH, json.dumps({"lambdaFunctionArn": HOOK_ARN + "2"}).encode()) == NAMES
    assert await api.call("PUT", PATH, json.dumps({"accountDefaultForOperations": OPERATIONS}).encode()) == NAMES
    assert await api.call("GET", PATH) == {
        **NAMES,
        "lambdaFunctionArn": HOOK_ARN + "2",
        "accountDefaultForOperations": OPERATIONS,
        "creationDate": round(NOW.timestamp(), 3),
        "lastModifiedDate": round(NOW.timestamp(), 3),
    }
    for path in ("/certificate-providers/", "/certificate-providers", "/certificate-providers/?isAscendingOrder=true"):
        assert await api.call("GET", path) == {"certificateProviders": [NAMES]}
    assert await api.call("DELETE", PATH) == {}
    assert await api.call("GET", "/certificate-providers/") == {"certificateProviders": []}


async def test_what_is_no_provider_is_refused(api: Api) -> None:
    with pytest.raises(InvalidRequest, match=r"'accountDefaultForOperations\.1\.member' .* enum value set"):
        await create(api, accountDefaultForOperations=["CreateKeysAndCertificate"])
    assert not api.store.tables.rows("certificate_provider")


def test_policies_are_asked_about_the_provider(api: Api) -> None:
    assert [api.resource_of(method, PATH) for method in ("POST", "GET", "PUT", "DELETE")] == [ARN] * 4
    assert api.resource_of("GET", "/certificate-providers/") == "*"
