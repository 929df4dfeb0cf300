"""Owns the answer of GetEffectivePolicies. The rules are in `registration.policies.in_force`."""

from __future__ import annotations

from msgspec.structs import replace

from thingmint.core.errors import InvalidRequest, LimitExceeded, ResourceNotFound
from thingmint.core.identifiers import Scope, ThingName
from thingmint.core.policies.target import CertificateTarget, PolicyTarget
from thingmint.records.policies import policies as policy_table
from thingmint.records.policies import policy_attachments as policy_attachment_table
from thingmint.records.policies.policies import MOST_DOCUMENTS
from thingmint.records.policies.policy_attachments import EffectivePolicy, PolicySearchStart
from thingmint.records.registry import things as thing_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.compiled_policies import Versions, read_with_policies
from thingmint.registration.kernel.ports import Store
from thingmint.registration.kernel.turns import Pace
from thingmint.registration.policies.in_force import in_force
from thingmint.registration.policies.policy_attachments import beginning_of, require_target

# White space can make documents long. The limit allows ten of the longest documents or a thousand usual ones.
MAX_CHARACTERS = 4_194_304


async def policies_for(
    authority: RegistrationAuthority, scope: Scope, target: PolicyTarget | None, thing_name: ThingName | None
) -> tuple[EffectivePolicy, ...]:
    """Return the policies in force for a principal or a thing group, for a thing, or for both together.

    A certificate and a thing together are a client whose ID is the thing's name, and the result is that of the gateway.
    A certificate alone stands for all its clients: the result is what is in force for at least one of them. Raises
    InvalidRequest if neither is given, ResourceNotFound if one does not exist, LimitExceeded if the documents are too
    long for one answer or the principal has too many things and groups.
    """
    if target is None and thing_name is None:
        raise InvalidRequest("A principal or a thing name is required")

    def program(versions: Versions) -> Steps[tuple[EffectivePolicy, ...]]:
        if target is not None:
            yield from require_target(target)
        if thing_name is not None and (yield from thing_table.thing(scope, thing_name)) is None:
            raise ResourceNotFound(f"The thing given in the request does not exist (name={thing_name})")
        return (yield from _effective(versions, scope, target, thing_name))

    found = await read_with_policies(authority.store, authority.compiled_policies, program)
    return await _with_documents(authority.store, scope, found)


def _effective(
    versions: Versions,
    scope: Scope,
    target: PolicyTarget | None,
    thing_name: ThingName | None,
) -> Steps[tuple[EffectivePolicy, ...]]:
    if isinstance(target, CertificateTarget) and thing_name is not None:
        bound = yield from in_force(scope, target, thing_name)
        compiled = versions.policies_of(each.stored.key for each in bound.policies)
        return tuple(
            each.stored
            for each, policy in zip(bound.policies, compiled, strict=True)
            if each.in_force_of(policy).statements
        )
    origin = PolicySearchStart() if target is None else beginning_of(target)
    beginning = PolicySearchStart(origin.principal, thing_name or "", origin.group_name)
    return (yield from policy_attachment_table.effective_policies(scope, beginning)).policies


async def _with_documents(
    store: Store, scope: Scope, found: tuple[EffectivePolicy, ...]
) -> tuple[EffectivePolicy, ...]:
    """Return the policies with their documents, without policies whose version was deleted meanwhile."""
    policies: list[EffectivePolicy] = []
    room, pace = MAX_CHARACTERS, Pace()
    for start in range(0, len(found), MOST_DOCUMENTS):
        asked = found[start : start + MOST_DOCUMENTS]
        keys = [each.key for each in asked]
        documents = await store.read(lambda keys=keys: policy_table.policy_documents(scope, keys))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        room -= sum(map(len, documents.values()))
        if room < 0:
            raise LimitExceeded(f"The documents of the effective policies have more than {MAX_CHARACTERS} characters")
        policies += [replace(each, document=documents[each.key]) for each in asked if each.key in documents]
        await pace.rest()
    return tuple(policies)
