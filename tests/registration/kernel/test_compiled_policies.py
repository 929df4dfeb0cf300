"""How policies of devices are compiled: each version once, however long its document is, within a bound on memory."""

import json

import pytest
from tests.support.databases.memory_store import MemoryStore
from tests.support.devices.device_edge import new_data_plane
from tests.support.registration.api import Api, build_router
from tests.support.registration.authority import ACCOUNT, NOW, REGION, new_authority
from tests.support.registration.policies import document, statement

from thingmint.core.errors import LimitExceeded, MalformedPolicy
from thingmint.core.identifiers import CertificateId, PolicyName, Scope, ThingGroupName
from thingmint.core.policies.iot_policy import parse_iot_policy
from thingmint.core.policies.language import Policy
from thingmint.core.policies.target import CertificateTarget, ThingGroupTarget
from thingmint.records.policies import policies as policy_table
from thingmint.records.policies.policies import VersionKey
from thingmint.records.steps import Steps
from thingmint.registration.kernel.compiled_policies import (
    CompiledPolicies,
    NotCompiled,
    Versions,
    read_with_policies,
)
from thingmint.registration.policies.device_authorization import BoundDevice, bound_device
from thingmint.registration.policies.effective_policies import MAX_CHARACTERS, policies_for

SCOPE = Scope(ACCOUNT, REGION)
PADDING = " " * 400_000


class House:
    """A registry with a certificate."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.compiled = CompiledPolicies()
        self.authority = new_authority(self.store)
        self.api = Api(build_router(self.authority, "devices.example", new_data_plane()), self.store)

    async def begin(self) -> None:
        made = await self.api.call("POST", "/keys-and-certificate?setAsActive=true")
        self.target = CertificateTarget(SCOPE, CertificateId(made["certificateId"]))

    async def attach(self, name: str, text: str) -> None:
        await self.api.call("POST", f"/policies/{name}", json.dumps({"policyDocument": text}).encode())
        await self.api.call("PUT", f"/target-policies/{name}", json.dumps({"target": self.target.name}).encode())

    async def new_version(self, name: str, text: str) -> None:
        body = json.dumps({"policyDocument": text}).encode()
        await self.api.call("POST", f"/policies/{name}/version?setAsDefault=true", body)

    async def in_force(self) -> list[Policy]:
        def program(versions: Versions) -> Steps[BoundDevice]:
            return bound_device(versions, self.target, SCOPE, "lamp")

        return [each.policy for each in (await read_with_policies(self.store, self.compiled, program)).policies]


@pytest.fixture
async def house() -> House:
    house = House()
    await house.begin()
    return house


@pytest.mark.parametrize("padding", ["", PADDING], ids=["short", "long"])
async def test_an_unchanged_version_is_neither_read_nor_compiled_again(house: House, padding: str) -> None:
    await house.attach("own", document(statement(Action="iot:Connect")) + padding)
    (first,) = await house.in_force()
    house.store.execute("UPDATE policy_version SET document = 'no policy'")
    (second,) = await house.in_force()
    assert second is first


async def test_another_version_is_another_policy(house: House) -> None:
    await house.attach("own", document(statement(Action="iot:Connect")))
    (first,) = await house.in_force()
    await house.new_version("own", document(statement(Effect="Deny", Action="iot:Connect")))
    (second,) = await house.in_force()
    assert second == parse_iot_policy(document(statement(Effect="Deny", Action="iot:Connect")))
    assert second != first


async def test_a_namesake_of_a_deleted_policy_is_another_policy(house: House) -> None:
    await house.attach("own", document(statement(Action="iot:Connect")))
    (first,) = await house.in_force()
    target = json.dumps({"target": house.target.name}).encode()
    await house.api.call("POST", "/target-policies/own", target)
    await house.api.call("DELETE", "/policies/own")
    house.store.execute("DELETE FROM policy")
    await house.attach("own", document(statement(Action="iot:Publish")))
    house.store.execute("UPDATE policy SET generation_id = 'another'")
    (second,) = await house.in_force()
    assert second != first


async def test_what_does_not_fit_is_compiled_for_each_question(house: House) -> None:
    await house.attach("one", document(statement(Action="iot:Connect")))
    await house.attach("two", document(statement(Action="iot:Publish")))
    house.compiled = CompiledPolicies(max_weight=64)
    first, second = await house.in_force(), await house.in_force()
    assert first == second
    assert first[0] is not second[0]


async def test_a_stored_document_that_is_no_policy_is_refused_each_time(house: House) -> None:
    await house.attach("own", document(statement(Action="iot:Connect")))
    house.store.execute("UPDATE policy_version SET document = '{}'")
    for _ in range(2):
        with pytest.raises(MalformedPolicy):
            await house.in_force()


def key(name: str) -> VersionKey:
    return VersionKey(SCOPE, PolicyName(name), "generation", 1, NOW)


def test_what_was_not_used_for_the_longest_time_is_forgotten() -> None:
    policy = parse_iot_policy(document(statement(Action="iot:Connect")))
    compiled = CompiledPolicies(max_weight=3 * policy.weight)
    for name in ("a", "b", "c"):
        compiled.keep(key(name), policy)
    assert compiled.get(key("a")) is policy
    compiled.keep(key("c"), policy)
    compiled.keep(key("d"), policy)
    assert [name for name in "abcd" if compiled.get(key(name)) is not None] == ["a", "c", "d"]


async def test_a_version_that_is_deleted_meanwhile_is_not_waited_for() -> None:
    asked: list[int] = []

    def program(versions: Versions) -> Steps[str]:
        asked.append(len(asked))
        yield from policy_table.policy_document(key("gone"))
        if len(asked) == 1:
            versions.policies_of([key("gone")])
        return "done"

    assert await read_with_policies(MemoryStore(), CompiledPolicies(), program) == "done"
    assert len(asked) == 2


def test_all_versions_that_are_missing_are_named_at_once() -> None:
    with pytest.raises(NotCompiled) as refused:
        Versions(CompiledPolicies(), {}).policies_of([key("a"), key("b")])
    assert refused.value.missing == [key("a"), key("b")]


async def test_effective_policies_are_as_long_as_one_answer_may_be(house: House) -> None:
    await house.api.call("POST", "/thing-groups/g", b"{}")
    group = ThingGroupTarget(SCOPE, ThingGroupName("g"))
    for number in range(10):
        await house.attach(f"own-{number}", document(statement(Action="iot:Connect")) + PADDING)
        body = json.dumps({"target": group.name}).encode()
        await house.api.call("PUT", f"/target-policies/own-{number}", body)
    found = await policies_for(house.authority, SCOPE, house.target, None)
    assert sum(len(each.document) for each in found) > 4_000_000
    house.store.execute(f"UPDATE policy_version SET document = document || '{PADDING}'")
    with pytest.raises(LimitExceeded, match=str(MAX_CHARACTERS)):
        await policies_for(house.authority, SCOPE, house.target, None)
