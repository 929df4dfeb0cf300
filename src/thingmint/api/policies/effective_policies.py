"""Owns GetEffectivePolicies and its messages. The rules are in `registration.policies.effective_policies`."""

from typing import Annotated, TypeAlias

from thingmint.api.wire.messages import Message
from thingmint.api.wire.reading.binding import BODY, QUERY
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.identifiers import parse_thing_name
from thingmint.core.policies.target import parse_policy_target
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.policies.effective_policies import policies_for

ThingNameText: TypeAlias = Annotated[str, Constraint(min_length=1, max_length=128, pattern="[a-zA-Z0-9:_-]+")]


class GetEffectivePoliciesRequest(Message, frozen=True, kw_only=True):
    principal: Annotated[str | None, BODY] = None
    cognito_identity_pool_id: Annotated[str | None, BODY] = None
    thing_name: Annotated[ThingNameText | None, QUERY] = None


class EffectivePolicyEntry(Message, frozen=True, kw_only=True):
    policy_name: str
    policy_arn: str
    policy_document: str


class GetEffectivePoliciesResponse(Message, frozen=True, kw_only=True):
    effective_policies: list[EffectivePolicyEntry]


async def get_effective_policies(
    authority: RegistrationAuthority, caller: Caller, request: GetEffectivePoliciesRequest
) -> GetEffectivePoliciesResponse:
    """Answer with the policies in force for a principal, a thing group, a thing, or a principal with a thing.

    An identity pool adds none.
    """
    target = None if request.principal is None else parse_policy_target(caller.scope, request.principal)
    thing_name = None if request.thing_name is None else parse_thing_name(request.thing_name)
    found = await policies_for(authority, caller.scope, target, thing_name)
    return GetEffectivePoliciesResponse(
        effective_policies=[
            EffectivePolicyEntry(policy_name=policy.name, policy_arn=policy.arn, policy_document=policy.document)
            for policy in found
        ]
    )
