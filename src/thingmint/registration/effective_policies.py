"""Owns what GetEffectivePolicies answers; `registration.in_force` decides what is in force for a connection."""

from __future__ import annotations

from thingmint.core.errors import InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import Scope, ThingName
from thingmint.core.policy_target import CertificateTarget, PolicyTarget
from thingmint.registration.device_authorization import parsed_policy
from thingmint.registration.in_force import in_force
from thingmint.registration.policy_attachments import beginning_of, require_target
from thingmint.registration.ports import Store, Transaction
from thingmint.registration.steps import Steps
from thingmint.registration.verbs.policy_attachments import Beginning, EffectivePolicies, EffectivePolicy


async def effective_policies(store: Store, scope: Scope, principal: str) -> EffectivePolicies:
    """Return what is in force for some client ID of a principal that is known to exist, in one round trip.

    With it come the ARNs that `registration.changes` tells of when the answer is no longer true.
    """
    return await store.read(lambda transaction: transaction.effective_policies(scope, Beginning(principal)))


async def policies_for(
    store: Store, scope: Scope, target: PolicyTarget | None, thing_name: ThingName | None
) -> tuple[EffectivePolicy, ...]:
    """Return what is in force for a principal or a thing group, for a thing, or for both together.

    A certificate and a thing together are a client whose ID is the thing's name, and the answer is the gateway's. A
    certificate alone stands for all its clients: the answer is what is in force for one of them at least. Raises
    InvalidRequest if neither is named, ResourceNotFound if what is named does not exist.
    """
    if target is None and thing_name is None:
        raise InvalidRequest("A principal or a thing name is required")

    def program(transaction: Transaction) -> Steps[tuple[EffectivePolicy, ...]]:
        if target is not None:
            yield from require_target(transaction, target)
        if thing_name is not None and (yield from transaction.thing(scope, thing_name)) is None:
            raise ResourceNotFound(f"The thing given in the request does not exist (name={thing_name})")
        if isinstance(target, CertificateTarget) and thing_name is not None:
            bound = yield from in_force(transaction, scope, target, thing_name)
            effective = [
                each for each in bound.policies if each.in_force_of(parsed_policy(each.stored.document)).statements
            ]
            return tuple(each.stored for each in effective)
        origin = Beginning() if target is None else beginning_of(target)
        beginning = Beginning(origin.principal, thing_name or "", origin.group_name)
        return (yield from transaction.effective_policies(scope, beginning)).policies

    return await store.read(program)
