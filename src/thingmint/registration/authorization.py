"""Owns the question whether a caller may do something, and AWS's sentence for no; knows no operations."""

from collections.abc import Mapping

from thingmint.core.caller import Caller
from thingmint.core.errors import AccessDenied
from thingmint.core.policy import Decision, DecisionEffect, evaluate

_USER = ":user/"


def authorize(caller: Caller, action: str, resource: str, context: Mapping[str, tuple[str, ...]]) -> None:
    """Return if the caller's policies allow the action (``iot:…``) on the resource; raise AccessDenied otherwise.

    ``context`` holds the condition keys of the request; those of the caller itself are added here.
    """
    decision = evaluate(caller.principal.policies, action, resource, {**context, **_caller_context(caller)})
    if decision.effect is not DecisionEffect.ALLOWED:
        raise AccessDenied(_refusal(caller, action, resource, decision))


def _caller_context(caller: Caller) -> dict[str, tuple[str, ...]]:
    context: dict[str, tuple[str, ...]] = {
        "aws:PrincipalArn": (caller.principal.arn,),
        "aws:PrincipalAccount": (caller.account,),
        "aws:RequestedRegion": (caller.region,),
        "aws:SourceIp": (caller.source_address,),
    }
    _, is_user, user_name = caller.principal.arn.partition(_USER)
    if is_user:
        context["aws:username"] = (user_name,)
    return context


def _refusal(caller: Caller, action: str, resource: str, decision: Decision) -> str:
    refused = f"User: {caller.principal.arn} is not authorized to perform: {action} on resource: {resource}"
    if decision.effect is DecisionEffect.EXPLICIT_DENY:
        return f"{refused} with an explicit deny in an identity-based policy"
    return f"{refused} because no identity-based policy allows the {action} action"
