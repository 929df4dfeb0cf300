"""Owns the authorization of callers, and AWS's error text for a denial. Independent of operations."""

import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TypeAlias

from msgspec import Struct, field

from thingmint.core.caller import Caller
from thingmint.core.errors import AccessDenied
from thingmint.core.identifiers import iot_arn
from thingmint.core.policies.language import Decision, DecisionEffect, Policy, evaluate

_USER = ":user/"
_RESOURCE_TAG = "aws:ResourceTag/"
_FOLDED_RESOURCE_TAG = _RESOURCE_TAG.lower()
_USER_ID_PREFIX = "AIDA"
_USER_ID_DIGITS = 17
# Most callers come again, and share their policy with others.
_REMEMBERED = 1024

_CURRENT_TIME, _EPOCH_TIME = TIME_KEYS = ("aws:CurrentTime", "aws:EpochTime")

TagsOf: TypeAlias = Callable[[str], Awaitable[Mapping[str, str]]]
"""Returns the tags of the resource with this ARN; raises ServiceUnavailable if they cannot be read."""


class Permission(Struct, frozen=True):
    """An action that policies must allow on a resource, and its condition keys.

    A permission that ``need_not_be_allowed`` is part of a larger one that must be allowed. No policy may deny it, but
    no policy has to allow it.
    """

    action: str
    resource: str
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    need_not_be_allowed: bool = False


async def authorize_all(
    caller: Caller, permissions: Sequence[Permission], context: Mapping[str, tuple[str, ...]], tags_of: TagsOf
) -> None:
    """Raise AccessDenied with the first permission that the caller's policies do not allow.

    Tags of resources are condition keys, too. They are read only if the caller's policies use them.
    """
    asks_for_tags = any(key.startswith(_FOLDED_RESOURCE_TAG) for key in _condition_keys(caller.principal.policies))
    for permission in permissions:
        tags = await tags_of(permission.resource) if asks_for_tags and _is_own(caller, permission.resource) else {}
        tag_context = {f"{_RESOURCE_TAG}{key}": (value,) for key, value in tags.items()}
        own_context = {**context, **permission.context, **tag_context}
        _require(caller, permission, own_context)


def authorize(caller: Caller, action: str, resource: str, context: Mapping[str, tuple[str, ...]]) -> None:
    """Raise AccessDenied unless the caller's policies allow the action (``iot:…``) on the resource.

    ``context`` has the condition keys of the request. This adds those of the caller.
    """
    _require(caller, Permission(action, resource), context)


def _require(caller: Caller, permission: Permission, context: Mapping[str, tuple[str, ...]]) -> None:
    action, resource = permission.action, permission.resource
    if depends_on_request(caller):
        own = {**caller_conditions(caller), "aws:ResourceAccount": (_account_of(resource) or caller.account,)}
        decision = evaluate(caller.principal.policies, action, resource, {**context, **own})
    else:
        policies = caller.principal.policies
        decision = _decision_for_every_resource(policies, action) or evaluate(policies, action, resource, {})
    is_refused = decision.effect is DecisionEffect.EXPLICIT_DENY or (
        decision.effect is DecisionEffect.IMPLICIT_DENY and not permission.need_not_be_allowed
    )
    if is_refused:
        raise AccessDenied(_refusal(caller, action, resource, decision))


def depends_on_request(caller: Caller) -> bool:
    """Return whether a policy of the caller has a condition or a variable, so that condition keys have an effect."""
    return bool(_condition_keys(caller.principal.policies))


@lru_cache(_REMEMBERED)
def _decision_for_every_resource(policies: tuple[Policy, ...], action: str) -> Decision | None:
    """Return the decision of policies without conditions if it is the same for every resource, as administrators'."""
    folded = action.lower()
    spoken = [each for policy in policies for each in policy.statements if each.speaks_of(folded)]
    return evaluate(policies, action, "", {}) if all(each.is_about_every_resource for each in spoken) else None


@lru_cache(_REMEMBERED)
def _condition_keys(policies: tuple[Policy, ...]) -> frozenset[str]:
    """Return the condition keys that the policies depend on, in lower case."""
    statements = [statement for policy in policies for statement in policy.statements]
    return frozenset().union(*(statement.condition_keys() for statement in statements))


def _is_own(caller: Caller, resource: str) -> bool:
    # Refusals must not show tags of other accounts' resources. Names cannot have NUL, which not every database can look
    # up.
    return resource.startswith(iot_arn(caller.scope, "")) and "\0" not in resource


def caller_conditions(caller: Caller) -> dict[str, tuple[str, ...]]:
    """Return the condition keys that all requests of a caller have."""
    context: dict[str, tuple[str, ...]] = {
        "aws:PrincipalArn": (caller.principal.arn,),
        "aws:PrincipalAccount": (caller.account,),
        "aws:RequestedRegion": (caller.region,),
        "aws:SourceIp": (caller.source_address,),
        # No caller calls on behalf of another one here.
        "aws:PrincipalIsAWSService": ("false",),
        "aws:ViaAWSService": ("false",),
    }
    _, is_user, user_name = caller.principal.arn.partition(_USER)
    if is_user:
        context["aws:username"] = (user_name,)
        context["aws:PrincipalType"] = ("User",)
        context["aws:userid"] = (user_id(caller.principal.arn),)
    if caller.principal.token_issued_at is not None:
        # IAM: only temporary credentials have both keys, and here these are never created with a second factor.
        context["aws:TokenIssueTime"] = (iso_time(caller.principal.token_issued_at),)
        context["aws:MultiFactorAuthPresent"] = ("false",)
    return context


def time_conditions(now: datetime) -> dict[str, tuple[str, ...]]:
    """Return the condition keys of the time, as ISO 8601 and in seconds since 1970. Every request has them."""
    return {_CURRENT_TIME: (iso_time(now),), _EPOCH_TIME: (str(int(now.timestamp())),)}


def iso_time(at: datetime) -> str:
    """Return a time in the format of condition keys."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(_REMEMBERED)
def user_id(arn: str) -> str:
    """Return the unique id of a user in IAM's format. It is computed from the user's ARN."""
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
