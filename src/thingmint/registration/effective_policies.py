"""Owns which policies are in force for a device; knows neither how they are evaluated nor who asks.

In force are the default versions of the policies attached to a principal, and of those attached to the thing groups,
and the groups above them, of the things that the principal is attached to.
"""

from __future__ import annotations

from dataclasses import replace

from thingmint.core.errors import InvalidRequest, LimitExceeded, ResourceNotFound
from thingmint.core.identifiers import Scope, ThingName, thing_arn
from thingmint.core.policy_target import PolicyTarget
from thingmint.registration.policy_attachments import beginning_of, require_target
from thingmint.registration.ports import Store, Transaction
from thingmint.registration.steps import Steps
from thingmint.registration.verbs.policy_attachments import Beginning, EffectivePolicies, EffectivePolicy

# White space makes a document long: ten of the longest are an answer, and a thousand policies of usual length.
MAX_CHARACTERS = 4_194_304


async def effective_policies(store: Store, scope: Scope, principal: str) -> EffectivePolicies:
    """Return what is in force for a principal that is known to exist.

    With it come the ARNs that `registration.changes` tells of when the answer is no longer true.
    """

    def program(transaction: Transaction) -> Steps[EffectivePolicies]:
        found = yield from transaction.effective_policies(scope, Beginning(principal))
        return (yield from _with_documents(transaction, found))

    return await store.read(program)


async def policies_for(
    store: Store, scope: Scope, target: PolicyTarget | None, thing_name: ThingName | None
) -> EffectivePolicies:
    """Return what is in force for a principal or a thing group, for a thing, or for both together.

    Raises InvalidRequest if neither is named, ResourceNotFound if what is named does not exist, LimitExceeded if the
    documents are too long for one answer.
    """
    if target is None and thing_name is None:
        raise InvalidRequest("A principal or a thing name is required")

    def program(transaction: Transaction) -> Steps[EffectivePolicies]:
        if target is not None:
            yield from require_target(transaction, target)
        beginning = Beginning() if target is None else beginning_of(target)
        found = yield from transaction.effective_policies(
            scope, Beginning(beginning.principal, thing_name or "", beginning.group_name)
        )
        if thing_name is not None and thing_arn(scope, thing_name) not in found.depends_on:
            raise ResourceNotFound(f"The thing given in the request does not exist (name={thing_name})")
        return (yield from _with_documents(transaction, found))

    return await store.read(program)


def _with_documents(transaction: Transaction, found: EffectivePolicies) -> Steps[EffectivePolicies]:
    policies: tuple[EffectivePolicy, ...] = ()
    room = MAX_CHARACTERS
    for each in found.policies:
        document = (yield from transaction.policy_document(each.key)) or ""
        room -= len(document)
        if room < 0:
            raise LimitExceeded(f"The documents of the effective policies have more than {MAX_CHARACTERS} characters")
        policies += (replace(each, document=document),)
    return EffectivePolicies(policies, found.depends_on)
