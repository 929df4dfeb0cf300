"""Role aliases over the API."""

import json
from collections.abc import Mapping
from types import MappingProxyType

import pytest
from tests.support.registration.api import Api
from tests.support.registration.authority import ACCOUNT, NOW
from tests.support.registration.provisioning import ROLE_ARN

from thingmint.core.errors import InvalidRequest
from thingmint.registration.policies.authorization import Permission

PATH = "/role-aliases/devices"
ARN = f"arn:aws:iot:eu-west-1:{ACCOUNT}:rolealias/devices"


async def create(api: Api, members: Mapping[str, object] = MappingProxyType({}), path: str = PATH) -> object:
    return await api.call("POST", path, json.dumps({"roleArn": ROLE_ARN, **members}).encode())


async def test_an_alias_is_created_described_changed_listed_and_deleted(api: Api) -> None:
    assert await create(api) == {"roleAlias": "devices", "roleAliasArn": ARN}
    changed = await api.call("PUT", PATH, b'{"credentialDurationSeconds":900}')
    assert changed == {"roleAlias": "devices", "roleAliasArn": ARN}
    assert await api.call("GET", PATH) == {
        "roleAliasDescription": {
            "roleAlias": "devices",
            "roleAliasArn": ARN,
            "roleArn": ROLE_ARN,
            "owner": ACCOUNT,
            "credentialDurationSeconds": 900,
            "creationDate": round(NOW.timestamp(), 3),
            "lastModifiedDate": round(NOW.timestamp(), 3),
        }
    }
    await create(api, path="/role-aliases/second")
    first = await api.call("GET", "/role-aliases?pageSize=1")
    rest = await api.call("GET", f"/role-aliases?marker={first['nextMarker'].replace('+', '%2B')}")
    assert (first["roleAliases"], rest) == (["second"], {"roleAliases": ["devices"]})
    assert (await api.call("GET", "/role-aliases?isAscendingOrder=true"))["roleAliases"] == ["devices", "second"]
    assert await api.call("DELETE", PATH) == {}
    assert await api.call("GET", "/role-aliases") == {"roleAliases": ["second"]}


async def test_what_is_no_alias_is_refused(api: Api) -> None:
    with pytest.raises(InvalidRequest, match=r"'credentialDurationSeconds' .* greater than or equal to 900"):
        await create(api, {"credentialDurationSeconds": 899})
    assert not api.store.tables.rows("role_alias")


def test_the_role_must_be_allowed_to_be_passed_on(api: Api) -> None:
    body = json.dumps({"roleArn": ROLE_ARN}).encode()
    for action, method in (("CreateRoleAlias", "POST"), ("UpdateRoleAlias", "PUT")):
        assert api.permissions_of(method, PATH, body) == (
            Permission(f"iot:{action}", ARN),
            Permission("iam:PassRole", ROLE_ARN, {"iam:PassedToService": ("credentials.iot.amazonaws.com",)}),
        )
    for action, method in (("DescribeRoleAlias", "GET"), ("DeleteRoleAlias", "DELETE")):
        assert api.permissions_of(method, PATH) == (Permission(f"iot:{action}", ARN),)
    assert api.permissions_of("GET", "/role-aliases") == (Permission("iot:ListRoleAliases", "*"),)
