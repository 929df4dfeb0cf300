"""Owns short ways to write policies in tests, to read those in force, and to simulate requests."""

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

from msgspec.structs import replace

from thingmint.core.identifiers import Scope
from thingmint.core.policies.conditions import RequestContext
from thingmint.core.policies.simulation import AuthRequest, AuthResult, NamedPolicy, simulation
from thingmint.records.policies import policies as policy_table
from thingmint.records.policies import policy_attachments as policy_attachment_table
from thingmint.records.policies.policy_attachments import EffectivePolicies, PolicySearchStart
from thingmint.registration.kernel.ports import Store

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


def statement(**elements: Json) -> dict[str, Json]:
    """Return a statement that allows everything, with these elements instead; None leaves one out."""
    merged: dict[str, Json] = {"Effect": "Allow", "Action": "*", "Resource": "*", **elements}
    return {name: value for name, value in merged.items() if value is not None}


def document(*statements: Mapping[str, Json], version: str | None = "2012-10-17") -> str:
    """Return the text of a policy."""
    head: dict[str, Json] = {} if version is None else {"Version": version}
    return json.dumps({**head, "Statement": [dict(each) for each in statements]})


def simulate(
    requests: Sequence[AuthRequest], policies: Sequence[NamedPolicy], context: RequestContext
) -> tuple[AuthResult, ...]:
    """Return the decision about each request without pauses; raise as `simulation` does."""
    steps = simulation(requests, policies, context)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("tuple[AuthResult, ...]", end.value)


async def effective_policies(store: Store, scope: Scope, principal: str) -> EffectivePolicies:
    """Return the policies that are in force for at least one client ID of a principal, with their documents."""
    found = await store.read(lambda: policy_attachment_table.effective_policies(scope, PolicySearchStart(principal)))
    if not found.policies:
        return found
    keys = [each.key for each in found.policies]
    documents = await store.read(lambda: policy_table.policy_documents(scope, keys))
    return replace(found, policies=tuple([replace(each, document=documents[each.key]) for each in found.policies]))
