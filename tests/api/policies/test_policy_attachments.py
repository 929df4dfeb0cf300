"""The operations that attach policies and tell what is in force, old ones included, from request to answer."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from tests.support.registration.api import Api
from tests.support.registration.authority import caller_with
from tests.support.registration.memberships import Memberships, store_memberships
from tests.support.registration.policies import document, statement

from thingmint.core.errors import InvalidRequest, ResourceNotFound

DOCUMENT = document(statement(Action="iot:Connect"))
PREFIX = "arn:aws:iot:eu-west-1:123456789012:"
GROUP = PREFIX + "thinggroup/Lamps"
IDENTITY = "eu-west-1:0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


async def create(api: Api, *names: str) -> None:
    for name in names:
        await api.call("POST", f"/policies/{name}", json.dumps({"policyDocument": DOCUMENT}).encode())


async def new_certificate(api: Api) -> str:
    arn: str = (await api.call("POST", "/keys-and-certificate"))["certificateArn"]
    return arn


async def store_group(api: Api) -> None:
    memberships = Memberships(
        groups=(("House",), ("House", "Lamps")), things=("lamp",), members=(("lamp", ("House", "Lamps")),)
    )
    await store_memberships(api.store, caller_with().scope, memberships)


def body(**members: object) -> bytes:
    return json.dumps(members).encode()


def principal(name: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-amzn-iot-principal", name.encode())]


async def attach(api: Api, name: str, target: str) -> None:
    assert await api.call("PUT", f"/target-policies/{name}", body(target=target)) == {}


async def attached(api: Api, target: str, query: str = "") -> Any:
    return await api.call("POST", f"/attached-policies/{quote(target, safe='')}{query}")


def entry(name: str) -> dict[str, str]:
    return {"policyName": name, "policyArn": f"{PREFIX}policy/{name}"}


async def test_a_policy_is_attached_listed_from_both_sides_and_detached(api: Api) -> None:
    await create(api, "Lamp")
    await store_group(api)
    certificate = await new_certificate(api)
    for target in (certificate, GROUP, IDENTITY):
        await attach(api, "Lamp", target)
        await attach(api, "Lamp", target)
        assert await attached(api, target) == {"policies": [entry("Lamp")]}
    assert await api.call("POST", "/policy-targets/Lamp") == {"targets": [certificate, GROUP, IDENTITY]}
    for target in (certificate, GROUP, IDENTITY):
        assert await api.call("POST", "/target-policies/Lamp", body(target=target)) == {}
        assert await attached(api, target) == {"policies": []}
    assert await api.call("POST", "/policy-targets/Lamp") == {"targets": []}


async def test_lists_of_attachments_have_pages_of_their_own(api: Api) -> None:
    await create(api, "a", "b", "c")
    for name in ("b", "c", "a"):
        await attach(api, name, IDENTITY)

    first = await attached(api, IDENTITY, "?pageSize=2")
    last = await attached(api, IDENTITY, f"?pageSize=2&marker={first['nextMarker']}")

    assert first["policies"] + last["policies"] == [entry("b"), entry("c"), entry("a")]
    assert "nextMarker" not in last
    for query in ("&recursive=true", ""):
        with pytest.raises(InvalidRequest, match="marker"):
            await attached(api, "eu-west-1:1" if not query else IDENTITY, f"?marker={first['nextMarker']}{query}")
    await attach(api, "a", "eu-west-1:1")
    targets = await api.call("POST", "/policy-targets/a?pageSize=1")
    rest = await api.call("POST", f"/policy-targets/a?marker={targets['nextMarker']}")
    assert targets["targets"] + rest["targets"] == [IDENTITY, "eu-west-1:1"]


async def test_policies_of_the_groups_above_are_listed_if_asked_for(api: Api) -> None:
    await create(api, "a", "b")
    await store_group(api)
    await attach(api, "a", PREFIX + "thinggroup/House")
    await attach(api, "b", GROUP)
    assert (await attached(api, GROUP))["policies"] == [entry("b")]
    assert (await attached(api, GROUP, "?recursive=true"))["policies"] == [entry("a"), entry("b")]
    page = await attached(api, GROUP, "?recursive=true&pageSize=1")
    assert (await attached(api, GROUP, f"?recursive=true&marker={page['nextMarker']}"))["policies"] == [entry("b")]


@pytest.mark.parametrize(
    ("target", "error"), [(GROUP.replace("eu-west-1", "us-east-1"), ResourceNotFound), ("lamp", InvalidRequest)]
)
async def test_what_takes_no_policy_is_refused(
    api: Api, target: str, error: type[InvalidRequest | ResourceNotFound]
) -> None:
    await create(api, "Lamp")
    await store_group(api)
    for method in ("PUT", "POST"):
        with pytest.raises(error):
            await api.call(method, "/target-policies/Lamp", body(target=target))
    with pytest.raises(error):
        await attached(api, target)
    with pytest.raises(error):
        await api.call("POST", "/effective-policies", body(principal=target))
    assert not api.store.tables.rows("policy_attachment")


async def test_the_old_operations_work_on_principals_in_headers(api: Api) -> None:
    await create(api, "a", "b")
    certificate = await new_certificate(api)
    for name in ("a", "b"):
        assert await api.call("PUT", f"/principal-policies/{name}", headers=principal(certificate)) == {}
    await attach(api, "a", IDENTITY)

    latest = await api.call("GET", "/principal-policies?pageSize=1", headers=principal(certificate))
    rest = await api.call("GET", f"/principal-policies?marker={latest['nextMarker']}", headers=principal(certificate))
    ascending = await api.call("GET", "/principal-policies?isAscendingOrder=true", headers=principal(certificate))
    principals = await api.call("GET", "/policy-principals", headers=[(b"x-amzn-iot-policy", b"a")])
    earliest = await api.call(
        "GET", "/policy-principals?isAscendingOrder=true&pageSize=1", headers=[(b"x-amzn-iot-policy", b"a")]
    )

    assert latest["policies"] + rest["policies"] == [entry("b"), entry("a")]
    assert ascending["policies"] == [entry("a"), entry("b")]
    assert principals == {"principals": [IDENTITY, certificate]}
    assert earliest["principals"] == [certificate]
    assert earliest["nextMarker"]
    assert await api.call("DELETE", "/principal-policies/a", headers=principal(certificate)) == {}
    assert await attached(api, certificate) == {"policies": [entry("b")]}


async def test_the_old_operations_attach_nothing_to_groups_but_list_them(api: Api) -> None:
    await create(api, "a")
    await store_group(api)
    await attach(api, "a", GROUP)
    for method in ("PUT", "DELETE"):
        with pytest.raises(InvalidRequest, match="A principal is"):
            await api.call(method, "/principal-policies/a", headers=principal(GROUP))
    assert await api.call("GET", "/principal-policies", headers=principal(GROUP)) == {"policies": [entry("a")]}


async def test_the_old_operations_require_their_headers(api: Api) -> None:
    await create(api, "a")
    for method, path, name in (
        ("PUT", "/principal-policies/a", "x-amzn-iot-principal"),
        ("DELETE", "/principal-policies/a", "x-amzn-iot-principal"),
        ("GET", "/principal-policies", "x-amzn-iot-principal"),
        ("GET", "/policy-principals", "x-amzn-iot-policy"),
    ):
        with pytest.raises(InvalidRequest, match=f"Value null at '{name}'"):
            await api.call(method, path)


async def test_what_is_in_force_is_told_with_documents(api: Api) -> None:
    await create(api, "a", "b")
    await store_group(api)
    certificate = await new_certificate(api)
    await attach(api, "a", GROUP)
    await attach(api, "b", certificate)
    told = {name: {**entry(name), "policyDocument": DOCUMENT} for name in ("a", "b")}

    of_thing = await api.call("POST", "/effective-policies?thingName=lamp")
    of_principal = await api.call("POST", "/effective-policies", body(principal=certificate))
    of_both = await api.call("POST", "/effective-policies?thingName=lamp", body(principal=certificate))
    pool = body(principal=IDENTITY, cognitoIdentityPoolId="eu-west-1:1")

    assert of_thing == {"effectivePolicies": [told["a"]]}
    assert of_principal == {"effectivePolicies": [told["b"]]}
    # The certificate is not attached to the thing, so the thing's groups do not count.
    assert of_both == {"effectivePolicies": [told["b"]]}
    await api.call("PUT", "/things/lamp/principals", headers=[(b"x-amzn-principal", certificate.encode())])
    of_both = await api.call("POST", "/effective-policies?thingName=lamp", body(principal=certificate))
    assert of_both == {"effectivePolicies": [told["a"], told["b"]]}
    assert await api.call("POST", "/effective-policies", pool) == {"effectivePolicies": []}


CERTIFICATE = PREFIX + "cert/" + "ab" * 32


@pytest.mark.parametrize(
    ("method", "path", "sent", "resource"),
    [
        ("PUT", "/target-policies/a", body(target=CERTIFICATE), CERTIFICATE),
        ("PUT", "/target-policies/a", body(target=CERTIFICATE.replace("ab", "AB")), CERTIFICATE),
        ("POST", "/target-policies/a", body(target=GROUP), GROUP),
        ("POST", "/target-policies/a", body(target="something else"), "something else"),
        ("PUT", "/target-policies/a", body(target=1), "*"),
        ("PUT", "/target-policies/a", body(target=""), "*"),
        ("PUT", "/target-policies/a", b"", "*"),
        ("PUT", "/target-policies/a", b"{", "*"),
        ("POST", "/effective-policies", body(principal=CERTIFICATE), CERTIFICATE),
        ("POST", "/effective-policies?thingName=lamp", b"", "*"),
        ("POST", "/attached-policies/x", b"", "*"),
        ("GET", "/principal-policies", b"", "*"),
        ("GET", "/policy-principals", b"", "*"),
    ],
)
def test_policies_are_asked_about_the_target(api: Api, method: str, path: str, sent: bytes, resource: str) -> None:
    assert api.resource_of(method, path, sent) == resource


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_policies_are_asked_about_the_principal_of_the_header(api: Api, method: str) -> None:
    path = "/principal-policies/a"
    assert api.resource_of(method, path, headers=principal(CERTIFICATE.replace("ab", "AB"))) == CERTIFICATE
    assert api.resource_of(method, path) == "*"
