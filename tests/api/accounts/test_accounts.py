"""The operations on accounts: what they answer, to whom, and what they refuse."""

from datetime import UTC, datetime

import pytest
from tests.support.devices.device_edge import FakeDataPlane, FakeDeviceEdge, new_data_plane
from tests.support.registration.authority import ACCOUNT, REGION
from tests.support.registration.own_api import OwnApi, new_own_api

from thingmint.api.devices.data_plane import RetainedMessage
from thingmint.core.errors import AccessDenied, InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import AccountId, Scope

OTHER = AccountId("222222222222")
POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:List*","Resource":"*"}]}'


@pytest.fixture
def api() -> OwnApi:
    return new_own_api(new_data_plane())


async def test_an_account_is_made_with_a_number_or_without(api: OwnApi) -> None:
    made = await api.call("POST", "/thingmint/accounts", {"account": OTHER})
    assert (made["account"], made["userName"]) == (OTHER, "administrator")
    assert made.keys() == {"account", "userName", "accessKeyId", "secretAccessKey"}
    another = await api.call("POST", "/thingmint/accounts")
    listed = await api.call("GET", "/thingmint/accounts")
    assert listed == {"accounts": [{"account": each, "accessKeys": 1} for each in sorted((OTHER, another["account"]))]}


async def test_accounts_are_listed_in_pages(api: OwnApi) -> None:
    for account in ("111111111111", OTHER):
        await api.call("POST", "/thingmint/accounts", {"account": account})
    first = await api.call("GET", "/thingmint/accounts?maxResults=1")
    assert (first["accounts"][0]["account"], first["after"]) == ("111111111111", "111111111111")
    rest = await api.call("GET", f"/thingmint/accounts?maxResults=1&after={first['after']}")
    assert [each["account"] for each in rest["accounts"]] == [OTHER]
    assert "after" not in rest


@pytest.mark.parametrize("account", ["1234567890123", 7])
async def test_a_number_that_is_none_is_refused(api: OwnApi, account: object) -> None:
    with pytest.raises(InvalidRequest):
        await api.call("POST", "/thingmint/accounts", {"account": account})
    assert api.store.tables.access_keys == {}


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/thingmint/accounts", {}),
        ("GET", "/thingmint/accounts", None),
        ("DELETE", "/thingmint/accounts/333333333333", None),
        ("POST", "/thingmint/accounts/222222222222/access-keys", {"policy": POLICY}),
        ("POST", "/thingmint/test/clock", {"advanceSeconds": 1}),
        ("POST", "/thingmint/test/reset", {}),
        ("POST", "/thingmint/test/seed", {"operations": []}),
    ],
)
async def test_other_accounts_administer_nothing(api: OwnApi, method: str, target: str, body: object) -> None:
    await api.call("POST", "/thingmint/accounts", {"account": OTHER})
    before = api.store.tables.dump()
    with pytest.raises(AccessDenied):
        await api.call(method, target, body, account=OTHER)
    assert api.store.tables.dump() == before


async def test_a_key_is_made_in_an_account_that_has_one(api: OwnApi) -> None:
    target = f"/thingmint/accounts/{OTHER}/access-keys"
    with pytest.raises(ResourceNotFound):
        await api.call("POST", target, {"policy": POLICY})
    await api.call("POST", "/thingmint/accounts", {"account": OTHER})
    made = await api.call("POST", target, {"policy": POLICY, "userName": "line-7"})
    key = api.store.tables.access_keys[made["accessKeyId"]]
    assert (key.account, key.user_name, key.policy_text) == (OTHER, "line-7", POLICY)
    temporary = await api.call("POST", target, {"policy": POLICY, "expiresInSeconds": 60})
    assert temporary["sessionToken"]
    assert datetime.fromisoformat(temporary["expiration"]).tzinfo == UTC


async def test_a_deleted_account_is_gone_with_its_retained_messages(api: OwnApi) -> None:
    edge = FakeDeviceEdge()
    for topic in ("a", "b"):
        edge.kept[topic] = RetainedMessage(topic, b"x", qos=0, stored_at=datetime(2026, 1, 1, tzinfo=UTC))
    api.api.data_plane.edges[Scope(OTHER, REGION)] = edge
    await api.call("POST", "/thingmint/accounts", {"account": OTHER})
    assert await api.call("DELETE", f"/thingmint/accounts/{OTHER}") == {"removedRows": 1}
    assert edge.kept == {}
    with pytest.raises(ResourceNotFound):
        await api.call("DELETE", f"/thingmint/accounts/{OTHER}")


async def test_an_account_without_devices_here_is_deleted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(self: FakeDataPlane, scope: Scope) -> FakeDeviceEdge:
        raise InvalidRequest("no devices here")

    monkeypatch.setattr(FakeDataPlane, "edge_of", nowhere)
    api = new_own_api(FakeDataPlane())
    await api.call("POST", "/thingmint/accounts", {"account": OTHER})
    assert await api.call("DELETE", f"/thingmint/accounts/{OTHER}") == {"removedRows": 1}


def test_policies_are_asked_for_actions_of_an_own_name(api: OwnApi) -> None:
    asked = api.api.permissions_of("DELETE", f"/thingmint/accounts/{OTHER}")
    assert [(each.action, each.resource) for each in asked] == [
        ("thingmint:DeleteAccount", f"arn:aws:thingmint:{REGION}:{ACCOUNT}:account/{OTHER}")
    ]
    (listing,) = api.api.permissions_of("GET", "/thingmint/accounts")
    assert (listing.action, listing.resource) == ("thingmint:ListAccounts", "*")
