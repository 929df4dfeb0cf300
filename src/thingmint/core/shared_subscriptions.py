"""Owns how policies are asked about shared subscriptions, whose resources have two forms.

A client subscribes to ``$share/GROUP/FILTER``. Policies name the whole of it (``topicfilter/$share/GROUP/FILTER``, as
the samples of AWS's SDKs do) or the filter alone (``topicfilter/FILTER``). Both forms are asked: a Deny of either
refuses, and an Allow of either is enough. The same holds for iot:Receive of a message that comes through a shared
subscription, on ``topic/$share/GROUP/TOPIC`` and ``topic/TOPIC``.
"""

import re
from collections.abc import Callable

from thingmint.core.policy import Decision, DecisionEffect

_KINDS = {"iot:subscribe": "topicfilter", "iot:receive": "topic"}
# The end of an ARN, or all that there is of it.
_SHARED = re.compile(r"(?P<before>(?:[^/]*:)?)(?P<kind>topicfilter|topic)/\$share/[^/]+/(?P<rest>.+)", re.DOTALL)
_MARK = "/$share/"


def resource_forms(action: str, resource: str) -> tuple[str, ...]:
    """Return the resource as it was given and, for a shared subscription, without ``$share/GROUP/``."""
    if _MARK not in resource:
        return (resource,)
    shared = _SHARED.fullmatch(resource)
    if shared is None or _KINDS.get(action.lower()) != shared["kind"]:
        return (resource,)
    return resource, f"{shared['before']}{shared['kind']}/{shared['rest']}"


def decided(decide: Callable[[str], Decision], action: str, resource: str) -> Decision:
    """Return the decision about the action on the resource, made of what ``decide`` says about each of its forms."""
    if _MARK not in resource:
        return decide(resource)
    decisions = [decide(form) for form in resource_forms(action, resource)]
    for effect in (DecisionEffect.EXPLICIT_DENY, DecisionEffect.ALLOWED):
        for decision in decisions:
            if decision.effect is effect:
                return decision
    return decisions[0]
