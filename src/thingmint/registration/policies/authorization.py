"""Owns the question whether a caller may do something, and AWS's sentence for no; knows no operations."""

import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from thingmint.core.caller import Caller
from thingmint.core.errors import AccessDenied
from thingmint.core.identifiers import iot_arn
from thingmint.core.policies.language import Decision, DecisionEffect, evaluate

_USER = ":user/"
_RESOURCE_TAG = "aws:ResourceTag/"
_USER_ID_PREFIX = "AIDA"
_USER_ID_DIGITS = 17

TagsOf: TypeAlias = Callable[[str], Awaitable[Mapping[str, str]]]
"""Returns the tags of the resource with this ARN; raises ServiceUnavailable if they cannot be read."""


@dataclass(frozen=True, slots=True)
class Permission:
    """An action that policies must allow on a resource, and the condition keys that come with it.

    What ``need_not_be_allowed`` is a part of something bigger that must be: no policy may deny it, and none must allow
    it.
    """

    action: str
    resource: str
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    need_not_be_allowed: bool = False


async def authorize_all(
    caller: Caller, permissions: Sequence[Permission], context: Mapping[str, tuple[str, ...]], tags_of: TagsOf
) -> None:
    """Return if the caller's policies allow all of it; raise AccessDenied naming what they do not.

    The tags of resources are condition keys too. They are read only for a caller whose policies ask for them.
    """
    asks_for_tags = any(policy.asks_for(_RESOURCE_TAG) for policy in caller.principal.policies)
    for permission in permissions:
        tags = await tags_of(permission.resource) if asks_for_tags and _is_own(caller, permission.resource) else {}
        tag_context = {f"{_RESOURCE_TAG}{key}": (value,) for key, value in tags.items()}
        own_context = {**context, **permission.context, **tag_context}
        _require(caller, permission, own_context)


def authorize(caller: Caller, action: str, resource: str, context: Mapping[str, tuple[str, ...]]) -> None:
    """Return if the caller's policies allow the action (``iot:…``) on the resource; raise AccessDenied otherwise.

    ``context`` holds the condition keys of the request; those of the caller itself are added here.
    """
    _require(caller, Permission(action, resource), context)


def _require(caller: Caller, permission: Permission, context: Mapping[str, tuple[str, ...]]) -> None:
    action, resource = permission.action, permission.resource
    own = {**caller_conditions(caller), "aws:ResourceAccount": (_account_of(resource) or caller.account,)}
    decision = evaluate(caller.principal.policies, action, resource, {**context, **own})
    is_refused = decision.effect is DecisionEffect.EXPLICIT_DENY or (
        decision.effect is DecisionEffect.IMPLICIT_DENY and not permission.need_not_be_allowed
    )
    if is_refused:
        raise AccessDenied(_refusal(caller, action, resource, decision))


def _is_own(caller: Caller, resource: str) -> bool:
    # Nobody learns by refusals how the resources of other accounts are tagged; and no name holds a NUL, which not every
    # database can be asked for.
    return resource.startswith(iot_arn(caller.scope, "")) and "\0" not in resource


def caller_conditions(caller: Caller) -> dict[str, tuple[str, ...]]:
    """Return the condition keys that all requests of a caller have."""
    context: dict[str, tuple[str, ...]] = {
        "aws:PrincipalArn": (caller.principal.arn,),
        "aws:PrincipalAccount": (caller.account,),
        "aws:RequestedRegion": (caller.region,),
        "aws:SourceIp": (caller.source_address,),
        # Nobody calls for somebody else here.
        "aws:PrincipalIsAWSService": ("false",),
        "aws:ViaAWSService": ("false",),
    }
    _, is_user, user_name = caller.principal.arn.partition(_USER)
    if is_user:
        context["aws:username"] = (user_name,)
        context["aws:PrincipalType"] = ("User",)
        context["aws:userid"] = (user_id(caller.principal.arn),)
    if caller.principal.token_issued_at is not None:
        # IAM: both are there with temporary credentials alone, and these are never made with a second factor.
        context["aws:TokenIssueTime"] = (iso_time(caller.principal.token_issued_at),)
        context["aws:MultiFactorAuthPresent"] = ("false",)
    return context


def time_conditions(now: datetime) -> dict[str, tuple[str, ...]]:
    """Return the condition keys of the time, which every request has: as ISO 8601, and in seconds since 1970."""
    return {"aws:CurrentTime": (iso_time(now),), "aws:EpochTime": (str(int(now.timestamp())),)}


def iso_time(at: datetime) -> str:
    """Return a time as condition keys tell it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def user_id(arn: str) -> str:
    """Return the unique id of a user, in the form that IAM's have; it is made of the user's ARN."""
    return _USER_ID_PREFIX + base64.b32encode(hashlib.sha256(arn.encode()).digest()).decode()[:_USER_ID_DIGITS]


def _account_of(resource: str) -> str | None:
    """Return the account that an ARN names; None for ``*`` and for ARNs without one."""
    parts = resource.split(":", 5)
    return parts[4] or None if len(parts) > 5 and parts[0] == "arn" else None


def _refusal(caller: Caller, action: str, resource: str, decision: Decision) -> str:
    refused = f"User: {caller.principal.arn} is not authorized to perform: {action} on resource: {resource}"
    if decision.effect is DecisionEffect.EXPLICIT_DENY:
        return f"{refused} with an explicit deny in an identity-based policy"
    return f"{refused} because no identity-based policy allows the {action} action"
