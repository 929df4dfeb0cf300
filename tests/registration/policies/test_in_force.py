"""Which policies are in force for a client, and as which thing it connects: one answer for all who ask."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.support.databases.memory_store import MemoryStore
from tests.support.databases.stores import insert, sample_certificate
from tests.support.devices.device_identities import new_identity
from tests.support.registration.authority import caller_with, new_authority
from tests.support.registration.memberships import Memberships, store_memberships
from tests.support.registration.policies import document, statement

from thingmint.core.identifiers import PolicyName, ThingGroupName, ThingName
from thingmint.core.policies.simulation import ActionType, AuthDecision, AuthRequest
from thingmint.core.policies.target import CertificateTarget, CognitoTarget, PolicyTarget, ThingGroupTarget
from thingmint.core.registry.thing import ThingPrincipalType
from thingmint.records.registry import thing_principals as thing_principal_table
from thingmint.records.registry.thing_principals import Attachment
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.compiled_policies import CompiledPolicies, Versions, read_with_policies
from thingmint.registration.policies import policies, policy_attachments
from thingmint.registration.policies.device_authorization import BoundDevice, PolicyOverrides, bound_device, simulated
from thingmint.registration.policies.effective_policies import policies_for

CALLER = caller_with()
SCOPE = CALLER.scope
CERTIFICATE = CertificateTarget(SCOPE, sample_certificate(1, scope=SCOPE).certificate_id)
OTHER_CERTIFICATE = CertificateTarget(SCOPE, sample_certificate(2, scope=SCOPE).certificate_id)
LAMPS, PUMPS, HOUSE = ("House", "Lamps"), ("House", "Pumps"), ("House",)
NOBODY = ["not-a-thing", "", None, "lamp ", "LAMP", "a/b", "lamp\0", "ä" * 200]


def group(name: str) -> ThingGroupTarget:
    return ThingGroupTarget(SCOPE, ThingGroupName(name))


@dataclass
class Registry:
    """A lamp among the lamps and a pump among the pumps of a house, and whatever is attached."""

    store: MemoryStore = field(default_factory=MemoryStore)

    @property
    def authority(self) -> RegistrationAuthority:
        return new_authority(self.store)

    async def fill(self) -> None:
        for number in (1, 2):
            await insert(self.store, sample_certificate(number, scope=SCOPE))
        members = (("lamp", LAMPS), ("pump", PUMPS))
        await store_memberships(
            self.store, SCOPE, Memberships((HOUSE, LAMPS, PUMPS), ("lamp", "pump", "radio"), members)
        )

    async def attach_thing(self, thing: str, *, exclusive: bool = False, to: CertificateTarget = CERTIFICATE) -> None:
        kind = ThingPrincipalType.EXCLUSIVE_THING if exclusive else ThingPrincipalType.NON_EXCLUSIVE_THING
        attachment = Attachment(ThingName(thing), to.name, kind)
        await self.store.write(lambda: thing_principal_table.attach_principal(SCOPE, attachment))

    async def attach(self, name: str, target: PolicyTarget, *statements: dict[str, Any]) -> None:
        text = document(*(statements or (statement(Action="iot:Publish", Resource=topic(name)),)))
        await policies.create(self.authority, CALLER, PolicyName(name), text, {})
        await policy_attachments.attach(self.authority, CALLER, "AttachPolicy", PolicyName(name), target)

    async def bound(self, client_id: str | None, target: PolicyTarget = CERTIFICATE) -> BoundDevice:
        def program(versions: Versions) -> Steps[BoundDevice]:
            return bound_device(versions, target, SCOPE, client_id)

        return await read_with_policies(self.store, CompiledPolicies(), program)

    async def in_force(self, client_id: str | None, target: PolicyTarget = CERTIFICATE) -> list[str]:
        return [policy.name for policy in (await self.bound(client_id, target)).policies]

    async def effective(self, target: PolicyTarget | None, thing: str | None = None) -> list[str]:
        found = await policies_for(self.authority, SCOPE, target, None if thing is None else ThingName(thing))
        return [policy.name for policy in found]

    async def decision(self, client_id: str | None, topic_name: str) -> AuthDecision:
        requests = [AuthRequest(ActionType.PUBLISH, (topic(topic_name),))]
        (result,) = await simulated(self.authority, SCOPE, CERTIFICATE, client_id, requests, PolicyOverrides())
        return result.decision


def topic(name: str) -> str:
    return f"arn:aws:iot:{SCOPE.region}:{SCOPE.account}:topic/{name}"


@pytest.fixture
async def registry() -> Registry:
    made = Registry()
    await made.fill()
    return made


async def with_policies(registry: Registry) -> None:
    await registry.attach("own", CERTIFICATE)
    for name in ("House", "Lamps", "Pumps"):
        await registry.attach(name, group(name))


async def test_groups_of_the_thing_that_the_client_id_names_count_and_no_others(registry: Registry) -> None:
    await with_policies(registry)
    for thing in ("lamp", "pump", "radio"):
        await registry.attach_thing(thing)

    assert await registry.in_force("lamp") == await registry.effective(CERTIFICATE, "lamp") == ["own", "House", "Lamps"]
    assert await registry.in_force("pump") == await registry.effective(CERTIFICATE, "pump") == ["own", "House", "Pumps"]
    assert await registry.in_force("radio") == await registry.effective(CERTIFICATE, "radio") == ["own"]
    assert await registry.effective(CERTIFICATE) == ["own", "House", "Lamps", "Pumps"]


@pytest.mark.parametrize("client_id", NOBODY)
@pytest.mark.parametrize("things", [["lamp"], ["lamp", "pump"], []])
async def test_groups_do_not_count_for_a_client_that_is_no_thing_of_the_certificate(
    registry: Registry, client_id: str | None, things: list[str]
) -> None:
    await with_policies(registry)
    for thing in things:
        await registry.attach_thing(thing)

    assert await registry.in_force(client_id) == ["own"]
    assert (await registry.bound(client_id)).connection.thing is None
    assert await registry.decision(client_id, "Lamps") is AuthDecision.IMPLICIT_DENY


async def test_names_in_a_certificate_are_parsed_only_for_policies_that_refer_to_them(registry: Registry) -> None:
    identity = new_identity("lamp 7")
    stored = replace(sample_certificate(3, scope=SCOPE), certificate_id=identity.certificate_id, der=identity.der)
    await insert(registry.store, stored)
    named = CertificateTarget(SCOPE, stored.certificate_id)
    await registry.attach("plain", named, statement(Resource=topic("${iot:CertificateId}/${iot:ClientId}")))
    plain = (await registry.bound("lamp", named)).connection
    assert (plain.certificate_id, plain.certificate_names) == (stored.certificate_id, {})

    common_name = "${IOT:certificate.subject.CommonName}"
    await registry.attach("by-name", named, statement(Effect="Deny", Resource=topic(common_name)))
    assert (await registry.bound("lamp", named)).connection.certificate_names["Subject.CommonName"] == ("lamp 7",)


async def test_policies_that_a_test_adds_may_refer_to_names_in_the_certificate(registry: Registry) -> None:
    identity = new_identity("lamp7")
    stored = replace(sample_certificate(3, scope=SCOPE), certificate_id=identity.certificate_id, der=identity.der)
    await insert(registry.store, stored)
    text = document(statement(Action="iot:Publish", Resource=topic("${iot:Certificate.Subject.CommonName}")))
    await policies.create(registry.authority, CALLER, PolicyName("by-name"), text, {})
    requests = [AuthRequest(ActionType.PUBLISH, (topic("lamp7"),))]
    named, overrides = CertificateTarget(SCOPE, stored.certificate_id), PolicyOverrides(added=[PolicyName("by-name")])
    (result,) = await simulated(registry.authority, SCOPE, named, "lamp", requests, overrides)
    assert result.decision is AuthDecision.ALLOWED


class NeverSearched(list[PolicyName]):
    """Ten thousand names, with thousands of policies in force, must not be gone through for each policy."""

    def __contains__(self, name: object) -> bool:
        raise AssertionError(f"the list was searched for {name}")


async def test_policies_that_are_skipped_count_for_nothing(registry: Registry) -> None:
    await with_policies(registry)
    requests = [AuthRequest(ActionType.PUBLISH, (topic("own"),))]
    for skipped, decision in ((["own"], AuthDecision.IMPLICIT_DENY), (["House", "unknown"], AuthDecision.ALLOWED)):
        overrides = PolicyOverrides(skipped=NeverSearched(map(PolicyName, skipped)))
        results = await simulated(registry.authority, SCOPE, CERTIFICATE, "lamp", requests, overrides)
        assert results[0].decision is decision


async def test_the_thing_of_another_certificate_counts_for_that_one_alone(registry: Registry) -> None:
    await with_policies(registry)
    await registry.attach_thing("lamp")
    await registry.attach_thing("pump", to=OTHER_CERTIFICATE)

    assert await registry.in_force("pump") == ["own"]
    assert await registry.effective(CERTIFICATE, "pump") == ["own"]
    assert await registry.in_force("pump", OTHER_CERTIFICATE) == ["House", "Pumps"]


@pytest.mark.parametrize("client_id", ["lamp", "pump", *NOBODY])
async def test_an_exclusive_thing_counts_under_any_client_id(registry: Registry, client_id: str | None) -> None:
    await with_policies(registry)
    await registry.attach_thing("lamp", exclusive=True)

    assert await registry.in_force(client_id) == ["own", "House", "Lamps"]
    thing = (await registry.bound(client_id)).connection.thing
    assert thing is not None
    assert thing.name == "lamp"
    assert await registry.effective(CERTIFICATE, "pump") == ["own", "House", "Lamps"]


async def test_a_policy_that_is_attached_twice_counts_if_one_attachment_does(registry: Registry) -> None:
    await registry.attach("shared", CERTIFICATE)
    for target in (group("Lamps"), group("Pumps")):
        await policy_attachments.attach(registry.authority, CALLER, "AttachPolicy", PolicyName("shared"), target)
    await registry.attach("floors", group("Pumps"))
    await policy_attachments.attach(registry.authority, CALLER, "AttachPolicy", PolicyName("floors"), group("Lamps"))
    for thing in ("lamp", "pump"):
        await registry.attach_thing(thing)

    assert await registry.in_force("lamp") == ["shared", "floors"]
    assert await registry.in_force("nobody") == ["shared"]


@pytest.mark.parametrize("client_id", ["lamp", "pump", *NOBODY])
async def test_what_a_group_denies_is_denied_whatever_the_client_id(registry: Registry, client_id: str | None) -> None:
    await registry.attach("own", CERTIFICATE, statement(Action="iot:Publish"))
    both = statement(Effect="Deny", Resource=topic("barred")), statement(Action="iot:Connect")
    await registry.attach("Lamps", group("Lamps"), *both)
    for thing in ("lamp", "pump"):
        await registry.attach_thing(thing)

    assert await registry.decision(client_id, "barred") is AuthDecision.EXPLICIT_DENY
    assert await registry.decision(client_id, "free") is AuthDecision.ALLOWED
    bound = await registry.bound(client_id)
    assert [policy.name for policy in bound.policies] == ["own", "Lamps"]
    assert len(bound.policies[1].policy.statements) == (2 if client_id == "lamp" else 1)
    assert await registry.effective(CERTIFICATE, "pump") == ["own", "Lamps"]


async def test_a_policy_whose_denials_count_is_not_equal_to_the_whole_policy(registry: Registry) -> None:
    await registry.attach("Lamps", group("Lamps"), statement(), statement(Effect="Deny", Action="iot:Connect"))
    await registry.attach_thing("lamp")

    ((whole,), (denying,)) = [(await registry.bound(client_id)).policies for client_id in ("lamp", "pump")]

    assert whole.policy != denying.policy
    # The statement that decides keeps its place in the document.
    assert denying.policy.statement_position(0) == whole.policy.statement_position(1)


async def test_a_decision_depends_on_the_same_resources_whatever_the_client_id(registry: Registry) -> None:
    await with_policies(registry)
    for thing in ("lamp", "pump"):
        await registry.attach_thing(thing)

    resources = {(await registry.bound(client_id)).depends_on for client_id in ("lamp", "pump", "nobody", None)}

    (only,) = resources
    assert {CERTIFICATE.name, *(group(name).name for name in ("House", "Lamps", "Pumps"))} < only


@pytest.mark.parametrize("target", [group("Lamps"), CognitoTarget(f"{SCOPE.region}:1")])
async def test_what_has_no_things_has_its_policies_whatever_the_client_id(
    registry: Registry, target: PolicyTarget
) -> None:
    await registry.attach("own", target)
    for client_id in ("lamp", None):
        assert await registry.in_force(client_id, target) == ["own"]
        assert (await registry.bound(client_id, target)).connection.certificate_id is None
